//! Whatever lies in a cache folder, an entry is what was kept, or not there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swath::store::Store;

fuzz_target!(|data: &[u8]| {
    let Some((&knob, noise)) = data.split_first() else { return };
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let keep = |key: &str, body: &[u8]| {
        let store = Store::new(dir.path(), 1 << 20);
        store.keep(key, body.to_vec());
        store.flush();
    };
    keep("first", b"one");
    keep("second", b"two");
    // One of the files is damaged at some place, and a foreign one lies beside them.
    let mut files: Vec<_> = std::fs::read_dir(dir.path())
        .expect("lists")
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_file()))
        .collect();
    files.sort();
    if let Some(path) = files.get(knob as usize % files.len().max(1)) {
        let mut bytes = std::fs::read(path).expect("reads");
        let at = (knob as usize * 7) % bytes.len().max(1);
        let end = bytes.len().min(at + noise.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        std::fs::write(path, bytes).expect("written");
    }
    std::fs::write(dir.path().join("pack-0"), noise).expect("written");
    let store = Store::new(dir.path(), 1 << 20);
    for (key, body) in [("first", "one"), ("second", "two"), ("third", "")] {
        if let Some(found) = store.load(key) {
            assert_eq!(found, body.as_bytes(), "{key}");
        }
    }
});
