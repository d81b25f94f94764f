//! Objects: files that lie in a store at the other end of a network, under `s3://`, `gs://`, `az://`
//! or `https://`.
//!
//! ```text
//! connect   a store for the first part of a URL, from settings that the caller passes in
//! (here)    finding, listing, and waiting for requests
//! read      ranges of one state of an object, from front to back ahead of whoever reads
//! write     an object that appears whole or not at all
//! ```
//!
//! Invariant: a request asks for the state of the object that was found; another one is an error that
//! names the object. Messages hold neither keys nor tokens.

mod connect;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

pub use self::read::{Object, ObjectReader, is_same_state};
use crate::error::{Error, ErrorKind, Place, Result};

/// Requests run here, whatever runs the code that waits for them.
static REQUESTS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).thread_name("swath-requests").enable_all().build()
});

/// Nobody waits longer to see what is in a folder.
const LOOK_WAIT: Duration = Duration::from_secs(2);

/// The stores that locations may name, each connected to when it is first named. Cheap to clone.
#[derive(Clone, Default)]
pub struct Objects(Arc<Inner>);

/// Names in lower case, and values, which may be secret.
type Settings = BTreeMap<String, String>;

type Lookup = fn() -> Vec<(String, String)>;

#[derive(Default)]
struct Inner {
    settings: OnceLock<Settings>,
    /// Gives them when a store is first named.
    lookup: Option<Lookup>,
    /// By the part of the URL before the key.
    stores: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.settings.get().into_iter().flat_map(Settings::keys)).finish()
    }
}

/// Whether a location names an object or a folder of them.
pub fn is_url(location: &str) -> bool {
    split(location).is_some()
}

/// A URL as its store (`s3://bucket`) and the key within it; None for what is none, and for `file://`.
fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme || scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    let root_len = scheme.len() + 3 + rest.find('/').unwrap_or(rest.len());
    Some((&url[..root_len], url[root_len..].trim_start_matches('/')))
}

/// Whether an address is one of the web, whose servers tell of what they are asked for only.
pub(crate) fn is_web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// An address as it is shown: what stands in a query may open doors.
pub(crate) fn shown(url: &str) -> String {
    let Some((root, _)) = split(url) else { return url.to_string() };
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    // Elsewhere a question mark is a glob, unless somebody took it for a query.
    let is_query = is_web(url) || query.to_lowercase().contains("sig=");
    let address = match root.split_once("://").and_then(|(_, host)| host.rsplit_once('@')) {
        // Whose container it is is no secret; a password is.
        Some((user, _)) if is_web(url) => address.replacen(user, "...", 1),
        _ => address.to_string(),
    };
    match (url.contains('?'), is_query) {
        (true, true) => format!("{address}?({:08x})", digest(query).0 as u32),
        (true, false) => format!("{address}?{query}"),
        (false, _) => address,
    }
}

/// What lies directly under a prefix.
#[derive(Debug, Default)]
pub struct Folder {
    /// The names of the folders.
    pub folders: Vec<String>,
    /// The names of the objects.
    pub objects: Vec<String>,
}

impl Objects {
    /// Stores with settings: `aws_region`, `aws_access_key_id`, `google_application_credentials`,
    /// `azure_storage_account_name`, and so on, by the names of the environment's variables.
    pub fn new(settings: impl IntoIterator<Item = (String, String)>) -> Self {
        Objects(Arc::new(Inner { settings: lower(settings).into(), ..Inner::default() }))
    }

    /// Stores whose settings are looked up when one is first named.
    pub fn with_lookup(lookup: Lookup) -> Self {
        Objects(Arc::new(Inner { lookup: Some(lookup), ..Inner::default() }))
    }

    /// These, with one more setting.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut settings = self.settings().clone();
        settings.insert(name.to_lowercase(), value.to_string());
        let stores = Mutex::new(self.stores().clone());
        Objects(Arc::new(Inner { settings: settings.into(), lookup: None, stores }))
    }

    fn settings(&self) -> &Settings {
        let lookup = || lower(self.0.lookup.map(|lookup| lookup()).unwrap_or_default());
        self.0.settings.get_or_init(lookup)
    }

    /// Gives the store of URLs that begin so: `s3://bucket`.
    pub fn register(&self, root: &str, store: Arc<dyn ObjectStore>) {
        let root = split(root).map_or(root, |(root, _)| root);
        self.stores().insert(root.to_string(), store);
    }

    /// The object of a URL, as it is now; None if there is none.
    ///
    /// # Errors
    /// When the store cannot be asked, or refuses.
    pub fn find(&self, url: &str) -> Result<Option<Object>> {
        let (store, key) = self.place(url)?;
        if key.as_ref().is_empty() && !is_web(url) {
            return Ok(None);
        }
        let asked = Arc::clone(&store);
        let is_web = is_web(url);
        let found = wait(async move {
            if is_web {
                // Not every address that may be read may be asked about, nor the other way round.
                let one = GetOptions::new().with_range(Some(0..1));
                match asked.get_opts(&key, one).await {
                    Ok(result) => return Ok(result.meta),
                    Err(object_store::Error::NotFound { path, source }) => {
                        return Err(object_store::Error::NotFound { path, source });
                    }
                    Err(_) => {}
                }
            }
            asked.head(&key).await
        })?;
        match found {
            Ok(meta) => Ok(Some(Object::new(url.to_string(), store, meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at", url, &error)),
        }
    }

    /// All objects in a folder and the folders in it, at most `count_max` of them.
    ///
    /// # Errors
    /// When the store cannot be asked, or refuses, or there are more.
    pub fn list(&self, url: &str, count_max: usize) -> Result<Vec<Object>> {
        let (store, prefix) = self.place(url)?;
        let asked = Arc::clone(&store);
        let listed = wait(async move {
            let mut listing = asked.list(Some(&prefix));
            let mut metas: Vec<ObjectMeta> = Vec::new();
            while let Some(meta) = listing.try_next().await? {
                metas.push(meta);
                if metas.len() > count_max {
                    break;
                }
            }
            Ok(metas)
        })?;
        let metas = listed.map_err(|error| failed("list", url, &error))?;
        if metas.len() > count_max {
            let message = format!("the location holds more than {count_max} objects");
            let error = Error::new(ErrorKind::Limit, message).at(Place::file(shown(url)));
            return Err(error.hint("name a folder further down"));
        }
        let root = split(url).map_or("", |(root, _)| root);
        let object = |meta: ObjectMeta| {
            Object::new(format!("{root}/{}", meta.location), Arc::clone(&store), meta)
        };
        Ok(metas.into_iter().map(object).collect())
    }

    /// What lies directly in a folder, as a help to whoever types: it is looked for some seconds at
    /// most.
    ///
    /// # Errors
    /// When the store cannot be asked, or refuses, or takes too long.
    pub fn look_into(&self, url: &str) -> Result<Folder> {
        let (store, prefix) = self.place(url)?;
        let looked = async move {
            let listing = store.list_with_delimiter(Some(&prefix));
            tokio::time::timeout(LOOK_WAIT, listing).await
        };
        let listed = wait(looked)?
            .map_err(|_| {
                Error::data("the store takes too long to answer").at(Place::file(shown(url)))
            })?
            .map_err(|error| failed("list", url, &error))?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_string();
        Ok(Folder {
            folders: listed.common_prefixes.iter().map(name).collect(),
            objects: listed.objects.iter().map(|meta| name(&meta.location)).collect(),
        })
    }

    /// Refuses what cannot be written to.
    ///
    /// # Errors
    /// When it is an address of the web.
    pub fn check_writable(url: &str) -> Result<()> {
        match is_web(url) {
            true => Err(Error::sql("files of the web cannot be written")
                .at(Place::file(shown(url)))
                .hint("name a file on this machine, or in s3://, gs://, az://")),
            false => Ok(()),
        }
    }

    /// The store of a URL, and the key within it.
    fn place(&self, url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let at = |error: Error| error.at(Place::file(shown(url)));
        let (root, key) = split(url).ok_or_else(|| at(Error::sql("this is no URL")))?;
        if root.ends_with("://") {
            return Err(at(Error::sql("a bucket is missing")
                .hint("write it behind the slashes: s3://bucket/folder")));
        }
        if is_web(url) && root.contains('@') {
            return Err(at(Error::sql("addresses with a user or a password are not read")
                .hint("fetch the file first, and name it where it lies then")));
        }
        // A web address is written with escapes, which may mean something to its server: it is asked for
        // as it is. A key is a key.
        let url = if is_web(url) { url.split('#').next().unwrap_or(url) } else { url };
        let (root, path) = match (is_web(url), url.contains(['?', '%']) || url.ends_with('/')) {
            (true, true) => (url, Ok(Path::default())),
            (true, false) => (root, Path::from_url_path(key)),
            (false, _) => (root, Path::parse(key.trim_end_matches('/'))),
        };
        let path =
            path.map_err(|error| at(Error::sql(format!("this is no key of an object: {error}"))))?;
        if let Some(store) = self.stores().get(root) {
            return Ok((Arc::clone(store), path));
        }
        let store = connect::connect(root, self.settings()).map_err(at)?;
        Ok((Arc::clone(self.stores().entry(root.to_string()).or_insert(store)), path))
    }

    fn stores(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<dyn ObjectStore>>> {
        self.0.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lower(settings: impl IntoIterator<Item = (String, String)>) -> Settings {
    settings.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()
}

/// Runs a request and waits for it.
fn wait<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> Result<T> {
    Pending::begin(request)?.wait()
}

/// A request that is under way; dropping it gives it up.
struct Pending<T> {
    receiver: Receiver<T>,
    _given_up: GivenUp,
}

/// Stops a task when it is dropped.
struct GivenUp(tokio::task::AbortHandle);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Pending<T> {
    fn begin(request: impl Future<Output = T> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let task = requests()?.spawn(async move {
            // Nobody waits for it any more.
            let _ = sender.send(request.await);
        });
        Ok(Pending { receiver, _given_up: GivenUp(task.abort_handle()) })
    }

    /// Waits, as blocking code may: other tasks of the thread go on elsewhere.
    fn wait(self) -> Result<T> {
        let receive = || {
            self.receiver.recv().map_err(|_| {
                Error::new(ErrorKind::Internal, "a request to an object store was lost")
            })
        };
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(receive),
            _ => receive(),
        }
    }
}

fn requests() -> Result<&'static Runtime> {
    REQUESTS.as_ref().map_err(|error| {
        Error::new(ErrorKind::Limit, format!("cannot start threads for requests: {error}"))
    })
}

/// What could not be done with an object, and why, without what is secret.
fn failed(what: &str, url: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    let place = Place::file(shown(url));
    match error {
        Store::NotFound { .. } if what == "write" || reason(error).contains("NoSuchBucket") => {
            Error::data(format!("cannot {what} the object: there is no such bucket")).at(place)
        }
        Store::NotFound { .. } => {
            Error::data(format!("cannot {what} the object: there is none")).at(place).passing()
        }
        Store::Precondition { .. } => changed(url),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            let error = Error::data(format!("cannot {what} the object: {}", reason(error)));
            error.at(place).hint(connect::how_to_sign_in(url))
        }
        _ => {
            let reason = reason(error);
            let refused = Error::data(format!("cannot {what} the object: {reason}")).at(place);
            if reason.contains("region") {
                return refused.hint("set AWS_REGION to the region of the bucket");
            }
            refused
        }
    }
}

fn changed(url: &str) -> Error {
    Error::data("the object changed while it was read: it was replaced")
        .at(Place::file(shown(url)))
        .hint("run the statement again once it is complete")
        .passing()
}

/// The cause at the bottom of an error: what the store says, where it says something.
fn reason(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        (Some(code), None) => code.to_string(),
        _ => without_queries(&text),
    }
}

/// A text in which URLs end at their query: signatures and tokens stand in it.
fn without_queries(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => address,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A number for what a store says about the state of an object.
fn digest(of: &(impl Hash + ?Sized)) -> (u64, u64) {
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        of.hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

/// A store in memory with objects, for tests.
#[cfg(test)]
pub(crate) fn in_memory(objects: &[(&str, &[u8])]) -> Arc<object_store::memory::InMemory> {
    let store = Arc::new(object_store::memory::InMemory::new());
    for (key, bytes) in objects {
        let key = Path::parse(key).expect("a key");
        pollster::block_on(store.put(&key, bytes.to_vec().into())).expect("kept");
    }
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_before_the_key() {
        assert_eq!(split("s3://b/a/x.csv"), Some(("s3://b", "a/x.csv")));
        assert_eq!(split("s3://b"), Some(("s3://b", "")));
        assert_eq!(split("http://h:80/x"), Some(("http://h:80", "x")));
        assert_eq!(split("file:///x"), None);
        assert_eq!(split("a/b://c"), None);
        assert_eq!(split("x.csv"), None);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let text = "GET https://a.blob.core.windows.net/c/x?sv=1&sig=SECRET failed, why?";
        assert_eq!(without_queries(text), "GET https://a.blob.core.windows.net/c/x failed, why?");
        let address = "https://me:SECRET@host/x.csv?sig=SECRET";
        assert!(shown(address).starts_with("https://...@host/x.csv?("), "{}", shown(address));
        assert!(!shown("az://c/*.csv?sv=1&sig=SECRET").contains("SECRET"));
        for plain in
            ["s3://b/year=202?/x=1/*.csv", "abfss://c@account.dfs/x", "https://h/x.csv", "a?"]
        {
            assert_eq!(shown(plain), plain);
        }
        let objects = Objects::new([("AWS_SECRET_ACCESS_KEY".to_string(), "SECRET".to_string())]);
        assert_eq!(format!("{objects:?}"), r#"{"aws_secret_access_key"}"#);
    }
}
