//! Any text is a location that is listed, or an error, and never leaves the roots.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use swath::dataset::location::{Places, list};
use swath::roots::Roots;

fn places() -> &'static (Places, PathBuf, tempfile::TempDir) {
    static PLACES: OnceLock<(Places, PathBuf, tempfile::TempDir)> = OnceLock::new();
    PLACES.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["a/year=2024", "a/year=2025", "b"] {
            std::fs::create_dir_all(dir.path().join(folder)).expect("made");
            std::fs::write(dir.path().join(folder).join("f.csv"), "x\n1\n").expect("written");
        }
        let root = dir.path().canonicalize().expect("there");
        std::env::set_current_dir(&root).expect("the folder");
        let roots = Roots::new(std::slice::from_ref(&root)).expect("a folder");
        (Places { home: Some(root.join("b")), stdin: None, roots }, root, dir)
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (places, root, _) = places();
    let Ok(listing) = list(&[text.to_string()], places) else { return };
    for file in &listing.files {
        let path = file.path().expect("local").canonicalize().expect("there");
        assert!(path.starts_with(root), "{text:?} gave {path:?}");
    }
});
