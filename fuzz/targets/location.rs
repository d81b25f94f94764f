//! Any text is a location that is listed, or an error, and never leaves the roots.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use swath::dataset::location::{Places, list};
use swath::roots::Roots;

fn places() -> &'static (Places, PathBuf) {
    static PLACES: OnceLock<(Places, PathBuf, tempfile::TempDir)> = OnceLock::new();
    let (places, ..) = PLACES.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["a/year=2024", "a/year=2025", "b"] {
            std::fs::create_dir_all(dir.path().join(folder)).expect("made");
            std::fs::write(dir.path().join(folder).join("f.csv"), "x\n1\n").expect("written");
        }
        std::env::set_current_dir(dir.path()).expect("the folder");
        let roots = Roots::new(&[dir.path().to_path_buf()]).expect("a folder");
        let home = Some(dir.path().join("b"));
        let root = dir.path().canonicalize().expect("there");
        (Places { home, stdin: None, roots }, root, dir)
    });
    static FOUND: OnceLock<(Places, PathBuf)> = OnceLock::new();
    FOUND.get_or_init(|| (places.clone(), std::env::current_dir().expect("there")))
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (places, root) = places();
    let Ok(listing) = list(&[text.to_string()], places) else { return };
    for file in &listing.files {
        let path = file.path().expect("local").canonicalize().expect("there");
        assert!(path.starts_with(root), "{text:?} gave {path:?}");
    }
});
