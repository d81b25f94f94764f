use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use swath::cluster::{ExecutorOptions, Running, SchedulerOptions, run_executor, run_scheduler};
use swath::{Engine, NoteKind};

/// A cluster within this process, which lives as long as it: one scheduler, two executors.
pub(crate) fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let listen = (Ipv4Addr::LOCALHOST, 0).into();
            let options = SchedulerOptions {
                listen,
                advertise: None,
                jobs_dir: None,
                allowed_dirs: Vec::new(),
            };
            let started = move |running: Running| {
                sender.send(running.address.to_string()).expect("someone waits");
            };
            let never = std::future::pending();
            runtime.block_on(run_scheduler(options, started, never)).expect("it runs");
        });
        let scheduler = receiver.recv().expect("an address");
        let (sender, receiver) = std::sync::mpsc::channel();
        for number in 1..=2 {
            let (scheduler, sender) = (scheduler.clone(), sender.clone());
            std::thread::spawn(move || {
                let folder = tempfile::tempdir().expect("a folder");
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                let options = ExecutorOptions {
                    scheduler,
                    listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    ports: (0, 0),
                    advertise: None,
                    name: Some(number.to_string()),
                    cores: 2,
                    memory_bytes: Some(2 << 30),
                    work_dir: folder.path().into(),
                    roots: Default::default(),
                };
                let started = move |_| sender.send(()).expect("someone waits");
                runtime.block_on(run_executor(options, started)).expect("it runs");
            });
        }
        receiver.recv().expect("one executor");
        receiver.recv().expect("two executors");
        // They have still to be heard of.
        let session = Engine::open().expect("an engine").session();
        let both = || session.connect(Some(&scheduler)).is_ok_and(|members| members.len() == 2);
        for _ in 0..200 {
            if both() {
                return scheduler;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the executors did not come");
    })
}

fn engine() -> Engine {
    Engine::builder().cluster(address()).expect("an address").build().expect("an engine")
}

#[test]
fn a_statement_runs_on_the_executors_and_says_what_it_read() {
    let sql = "SELECT region, sum(amount) AS total, count(*) AS n
               FROM 'testdata/sales' GROUP BY region ORDER BY total DESC";
    let (there, here) = (engine().query(sql).expect("there"), Engine::open().expect("an engine"));
    let here = here.query(sql).expect("here");
    assert_eq!(there.to_string(), here.to_string());
    assert_eq!(there.notes(), here.notes());
    assert!(!there.notes().iter().any(|note| note.kind == NoteKind::RanHere));
}

#[test]
fn no_statement_of_the_sql_files_runs_here() {
    let mut here: Vec<String> = Vec::new();
    let mut there = 0;
    for file in super::slt::files(std::path::Path::new("testdata/slt")) {
        let engine = engine();
        let session = engine.session();
        let text = std::fs::read_to_string(&file).expect("a file");
        for block in text.split("\n\n") {
            let Some((head, sql)) = block.trim_start().split_once('\n') else { continue };
            if !(head.starts_with("query") || head.starts_with("statement ok")) {
                continue;
            }
            let sql = sql.split("\n----").next().expect("a statement");
            let Ok(answer) = session.query(sql) else { continue };
            match answer.notes().iter().find(|note| note.kind == NoteKind::RanHere) {
                Some(note) => here.push(format!("{note}: {sql}")),
                None => there += 1,
            }
        }
    }
    assert!(here.is_empty(), "{there} ran there, but here:\n{}", here.join("\n"));
    assert!(there > 150, "the test looks at {there} statements");
}
