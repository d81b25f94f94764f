//! Writing an object.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};

use super::{Objects, failed, wait};
use crate::error::{Error, Result};

/// What is sent at once.
const PART_LEN_BYTES: usize = 16 << 20;
/// Parts that are under way at once.
const PARTS_MAX: usize = 4;

impl Objects {
    /// Makes an object of a file: readers see all of it, or what was there before.
    ///
    /// # Errors
    /// When the file cannot be read, or the store fails or refuses.
    pub fn upload(&self, url: &str, mut file: File) -> Result<()> {
        let (store, path) = self.place(url)?;
        let unreadable = |error| Error::io("read what goes into", url, &error);
        let len = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        if len <= PART_LEN_BYTES as u64 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unreadable)?;
            let put = wait(async move { store.put(&path, PutPayload::from(bytes)).await })?;
            return put.map(drop).map_err(|error| failed("write", url, &error));
        }
        let url = url.to_string();
        wait(async move {
            let fail = |error| failed("write", &url, &error);
            let upload = store.put_multipart(&path).await.map_err(fail)?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_LEN_BYTES);
            match send(&url, &mut parts, file).await {
                Ok(()) => parts.finish().await.map(drop).map_err(fail),
                Err(error) => {
                    // Parts without an object cost money; why there are some matters more.
                    let _ = parts.abort().await;
                    Err(error)
                }
            }
        })?
    }
}

async fn send(url: &str, parts: &mut WriteMultipart, mut file: File) -> Result<()> {
    loop {
        let mut bytes = Vec::with_capacity(PART_LEN_BYTES);
        let read = file.by_ref().take(PART_LEN_BYTES as u64).read_to_end(&mut bytes);
        if read.map_err(|error| Error::io("read what goes into", url, &error))? == 0 {
            // All have arrived, or what failed is known while parts can still be deleted.
            let arrived = parts.wait_for_capacity(1).await;
            return arrived.map_err(|error| failed("write", url, &error));
        }
        parts.wait_for_capacity(PARTS_MAX).await.map_err(|error| failed("write", url, &error))?;
        parts.put(bytes.into());
    }
}
