//! Any text is SQL that is answered, or an error: no crash, no hang, no file outside the roots.
#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use swath::Engine;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<(Engine, tempfile::TempDir)> = OnceLock::new();
    let (engine, _) = ENGINE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("t.csv"), "id,name,day\n1,a,2024-01-01\n2,,\n")
            .expect("a file");
        std::env::set_current_dir(dir.path()).expect("the folder");
        let builder = Engine::builder().threads(1).memory("100MB").expect("a size");
        let builder = builder.timeout(Duration::from_secs(2));
        let builder = builder.roots(&[dir.path().to_path_buf()]).expect("the folder");
        // Panics below the session are errors of the statement: libFuzzer must not see them.
        std::panic::set_hook(Box::new(|_| {}));
        (builder.build().expect("an engine"), dir)
    });
    engine
}

fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    let session = engine().session();
    let _ = session.query("SET swath.planning_limit = '1s'");
    let Ok(answer) = session.query_stream(sql, &swath::Params::new(), &swath::Handle::default())
    else {
        return;
    };
    let _ = answer.take(100).try_for_each(|batch| batch.map(drop));
});
