//! Any bytes named as Parquet are read, or an error: no crash, no hang, bounded memory.
#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use swath::Engine;

fn engine() -> &'static (Engine, tempfile::TempDir) {
    static ENGINE: OnceLock<(Engine, tempfile::TempDir)> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let builder = Engine::builder().threads(1).memory("200MB").expect("a size");
        let engine = builder.timeout(Duration::from_secs(5)).build().expect("an engine");
        std::panic::set_hook(Box::new(|_| {}));
        (engine, dir.expect("a folder"))
    })
}

fuzz_target!(|data: &[u8]| {
    let (engine, dir) = engine();
    let path = dir.path().join("f.parquet");
    std::fs::write(&path, data).expect("written");
    let sql = format!("SELECT * FROM read_parquet('{}')", path.display());
    let _ = engine.session().query(&sql);
});
