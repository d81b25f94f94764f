use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use swath::cluster::{ExecutorOptions, Running, SchedulerOptions, run_executor, run_scheduler};
use swath::{Engine, NoteKind};

/// The cluster that SWATH_TEST_CLUSTER names, or one within this process, which lives as long as it:
/// one scheduler, two executors.
pub(crate) fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        if let Ok(running) = std::env::var("SWATH_TEST_CLUSTER") {
            return running;
        }
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
                    places: swath::dataset::location::Places {
                        objects: super::objects::objects(),
                        ..Default::default()
                    },
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

#[test]
fn a_sample_of_the_files_is_run_here_and_compared() {
    let builder = || Engine::builder().cluster(address()).expect("an address");
    assert!(builder().verify_local(1.5).is_err() && Engine::builder().verify_local(0.5).is_err());
    let engine = builder().verify_local(0.5).expect("a share").build().expect("an engine");
    let sql = "SELECT region, sum(amount) AS total FROM 'testdata/sales'
               WHERE amount > (SELECT avg(amount) FROM 'testdata/sales')
               GROUP BY region ORDER BY total DESC";
    let (there, here) = (engine.query(sql).expect("there"), Engine::open().expect("an engine"));
    assert_eq!(there.to_string(), here.query(sql).expect("here").to_string());
    let note = there.notes().iter().find(|note| note.kind == NoteKind::Verified).expect("a note");
    assert!(note.message.contains("gave the same rows"), "{note}");
}

#[test]
fn explain_stages_shows_what_the_cluster_will_run() {
    let sql = "EXPLAIN STAGES SELECT region, sum(amount) AS total FROM 'testdata/sales'
               WHERE amount > (SELECT avg(amount) FROM 'testdata/sales')
               GROUP BY region ORDER BY total DESC";
    let drawn = engine().query(sql).expect("stages").to_string();
    // The subquery is a job of its own, before the other.
    assert_eq!(drawn.matches("  the answer").count(), 2, "{drawn}");
    for part in ["Stage 1: 6 tasks", "exchange: hash(region) into 4 tasks", "merged into 1 task"] {
        assert!(drawn.contains(part), "{part}:\n{drawn}");
    }
}

/// A number with the digits that do not depend on the order of additions: `stddev` has others.
fn rounded(cell: &mut String) {
    if let (true, Ok(number)) = (cell.contains('.'), cell.parse::<f64>()) {
        *cell = format!("{number:.9e}");
    }
}

/// Queries that stop where it does not matter which rows come first have answers in many orders.
#[test]
fn all_queries_give_the_answers_that_they_give_here() {
    let (there, here) = (engine(), Engine::open().expect("an engine"));
    let mut count = 0;
    for folder in ["seeds", "tour", "graph", "h2o", "hits", "tpch"] {
        let listing = std::fs::read_dir(format!("queries/{folder}")).expect("a folder");
        for path in listing.map(|entry| entry.expect("an entry").path()) {
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let sql = std::fs::read_to_string(&path).expect("a query");
            let rows = |engine: &Engine| {
                let params = swath::params! { "key" => 2 };
                let answer = engine
                    .query_with(&sql, &params)
                    .unwrap_or_else(|error| panic!("{path:?}: {error}"));
                let mut rows = super::slt::rows(&answer);
                rows.iter_mut().flatten().for_each(rounded);
                rows.sort();
                rows
            };
            assert_eq!(rows(&there), rows(&here), "{path:?}");
            count += 1;
        }
    }
    assert!(count >= 80, "{count} queries");
}

#[test]
fn a_value_far_down_widens_its_column_on_the_executors() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = String::from("id,v\n");
    // Beyond what is looked at before planning.
    for id in 0..400_000 {
        let value = if id == 150_000 { "oops".to_string() } else { (id % 10).to_string() };
        text += &format!("{id},{value}\n");
    }
    std::fs::write(dir.path().join("a.csv"), text).expect("written");
    let sql = format!("SELECT v, count(*) FROM '{}' GROUP BY v ORDER BY v", dir.path().display());
    let answer = engine().query(&sql).expect("an answer");
    assert_eq!(super::slt::rows(&answer).last().expect("rows")[0], "oops");
    assert!(answer.notes().iter().any(|note| note.kind == NoteKind::Widened));
}

/// A process of a cluster, killed with the test.
struct Part(Child);

impl Part {
    fn start(args: &[&str]) -> (Part, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_swath"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.split_whitespace().nth(1).unwrap_or_default();
        (Part(child), address.trim_start_matches("df://").to_string())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Rows of two kinds that are joined and counted.
fn many_rows(folder: &Path) -> String {
    for part in 0..6 {
        let mut file = std::fs::File::create(folder.join(format!("{part}.csv"))).expect("made");
        let mut text = String::from("id,key,amount\n");
        (0..60_000).for_each(|row| {
            let id = part * 60_000 + row;
            text += &format!("{id},{},{}.25\n", id % 5000, id % 97);
        });
        file.write_all(text.as_bytes()).expect("written");
    }
    let place = folder.display();
    format!(
        "SELECT a.key % 7 AS k, count(*) AS n, sum(a.amount) AS s, count(DISTINCT b.id) AS d
         FROM '{place}' a JOIN '{place}' b ON a.id = b.id GROUP BY ALL ORDER BY ALL"
    )
}

#[test]
fn executors_that_are_killed_leave_the_answer_right() {
    let (_scheduler, address) = Part::start(&["scheduler", "--listen", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().expect("a folder");
    let work = tempfile::tempdir().expect("a folder");
    let work_dir = work.path().to_str().expect("a path");
    let start = || {
        let args = ["executor", "--scheduler", &address, "--cores", "1", "--work-dir", work_dir];
        Part::start(&args).0
    };
    let mut executors: Vec<Part> = (0..3).map(|_| start()).collect();
    let sql = many_rows(folder.path());
    let expected = Engine::open().expect("an engine").query(&sql).expect("here").to_string();
    let engine = Engine::builder().cluster(&address).expect("an address").build();
    let session = engine.expect("an engine").session();
    let come = Instant::now();
    while session.members().expect("a scheduler").expect("a cluster").len() < 3 {
        assert!(come.elapsed() < Duration::from_secs(30), "the executors did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
    let begun = Instant::now();
    assert_eq!(session.query(&sql).expect("there").to_string(), expected);
    let usual = begun.elapsed();
    for (round, share) in [0.2, 0.5, 0.8].into_iter().enumerate() {
        let begun = Instant::now();
        let asked = {
            let (session, sql) = (session.clone(), sql.clone());
            std::thread::spawn(move || session.query(&sql).map(|answer| answer.to_string()))
        };
        std::thread::sleep(usual.mul_f64(share));
        executors[round].0.kill().expect("it runs");
        let answer = asked.join().expect("no panic");
        assert_eq!(answer.expect("another executor goes on"), expected, "round {round}");
        assert!(begun.elapsed() < Duration::from_secs(120), "in bounded time");
        executors[round] = start();
    }
    // What a dead executor left behind is swept by the next one that starts beside it.
    drop(executors);
    drop(start());
    let left = std::fs::read_dir(work.path()).expect("a folder").count();
    assert!(left <= 1, "{left} folders are left");
}

#[test]
fn without_scheduler_or_executors_the_error_says_what_to_start() {
    let (scheduler, address) = Part::start(&["scheduler", "--listen", "127.0.0.1:0"]);
    let engine = || Engine::builder().cluster(&address).expect("an address").build();
    let ask = || engine().expect("an engine").query("SELECT * FROM 'testdata/sales'");
    let error = ask().expect_err("nobody works").to_string();
    assert!(error.contains("has no executors") && error.contains("swath executor"), "{error}");
    drop(scheduler);
    let error = ask().expect_err("nobody listens").to_string();
    assert!(error.contains("cannot reach the scheduler"), "{error}");
    assert!(Engine::builder().cluster("df://").is_err());
    assert!(Engine::builder().cluster("http://user@host:1").is_err());
}

#[test]
fn jobs_are_run_tried_again_and_fetched_later() {
    let kept = tempfile::tempdir().expect("a folder");
    let kept = kept.path().to_str().expect("a path");
    let (scheduler, address) =
        Part::start(&["scheduler", "--listen", "127.0.0.1:0", "--jobs", kept]);
    let swath = |args: &[&str], address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_swath"))
            .args(args)
            .args(["--cluster", address])
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let sql = "SELECT region, count(*) AS n FROM 'testdata/sales' GROUP BY ALL ORDER BY region";
    assert_eq!(swath(&["submit", sql], &address).1, "1");
    // Nobody works yet: the job is tried again until there is someone.
    let (_executor, _) = Part::start(&["executor", "--scheduler", &address, "--cores", "1"]);
    let (ended, rows, said) = swath(&["job", "1", "--wait", "--format", "csv"], &address);
    assert!(ended && rows == "region,n\neast,43\nnorth,41\nsouth,48\nwest,41", "{rows}{said}");
    assert_eq!(swath(&["submit", "SELECT nothing FROM 'testdata/sales'"], &address).1, "2");
    let (ended, _, said) = swath(&["job", "2", "--wait"], &address);
    assert!(!ended && said.contains("no column named `nothing`"), "{said}");
    // They outlive the scheduler.
    drop(scheduler);
    let (_scheduler, address) =
        Part::start(&["scheduler", "--listen", "127.0.0.1:0", "--jobs", kept]);
    assert_eq!(swath(&["job", "1", "--format", "csv"], &address).1, rows);
    let (_, listed, _) = swath(&["jobs"], &address);
    assert!(listed.contains("1  done") && listed.contains("2  failed"), "{listed}");
}

/// Hosts of their own on one machine: namespaces of the network on one bridge.
#[cfg(target_os = "linux")]
struct Hosts(String);

#[cfg(target_os = "linux")]
impl Hosts {
    /// This many hosts, or None where the system does not let us make any.
    fn new(count: u8) -> Option<Self> {
        let hosts = Hosts(format!("sw{}", std::process::id() % 100_000));
        let name = &hosts.0;
        hosts.run(&format!("ip link add {name}b type bridge && ip link set {name}b up"))?;
        for number in 1..=count {
            hosts.run(&format!(
                "ip netns add {name}n{number} &&
                 ip link add {name}v{number} type veth peer name eth0 netns {name}n{number} &&
                 ip link set {name}v{number} master {name}b up &&
                 ip -n {name}n{number} addr add 10.87.0.{number}/24 dev eth0 &&
                 ip -n {name}n{number} link set eth0 up && ip -n {name}n{number} link set lo up"
            ))?;
        }
        Some(hosts)
    }

    fn run(&self, script: &str) -> Option<()> {
        let done = Command::new("sh").args(["-c", script]).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then_some(())
    }

    fn command(&self, host: u8, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}n{host}", self.0)]);
        command.arg(env!("CARGO_BIN_EXE_swath")).args(args);
        command
    }

    fn start(&self, host: u8, args: &[&str]) -> Part {
        let mut command = self.command(host, args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut String::new()).expect("a line");
        Part(child)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Hosts {
    fn drop(&mut self) {
        let name = &self.0;
        self.run(&format!(
            "for n in 1 2 3 4; do ip netns del {name}n$n; done; ip link del {name}b"
        ));
    }
}

/// Where namespaces may not be made, there is nothing to be seen.
#[cfg(target_os = "linux")]
#[test]
fn a_host_that_is_cut_off_leaves_the_answer_right() {
    let Some(hosts) = Hosts::new(4) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let sql = many_rows(folder.path());
    let expected = Engine::open().expect("an engine").query(&sql).expect("here");
    let expected = super::slt::rows(&expected);
    let _scheduler = hosts.start(1, &["scheduler", "--listen", "10.87.0.1:50050"]);
    let executors: Vec<Part> = (2..=4)
        .map(|host| {
            let own = format!("10.87.0.{host}");
            let scheduler = "10.87.0.1:50050";
            let args = ["executor", "--scheduler", scheduler, "--listen", &own, "--cores", "1"];
            hosts.start(host, &args)
        })
        .collect();
    std::thread::sleep(Duration::from_secs(3));
    let ask = |cut: Option<Duration>| {
        let args = ["--cluster", "10.87.0.1:50050", "--format", "csv", &sql];
        let child = hosts.command(1, &args).stdout(Stdio::piped()).spawn().expect("it starts");
        if let Some(after) = cut {
            std::thread::sleep(after);
            hosts.run(&format!("ip link set {}v4 down", hosts.0)).expect("it is cut off");
        }
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        let cells = |line: &str| line.split(',').map(str::to_string).collect::<Vec<_>>();
        text.lines().skip(1).map(cells).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    assert_eq!(ask(None), expected);
    assert_eq!(ask(Some(begun.elapsed().mul_f64(0.4))), expected);
    drop(executors);
}

#[test]
fn progress_counts_what_executors_have_read() {
    let folder = tempfile::tempdir().expect("a folder");
    many_rows(folder.path());
    // Slow, row by row: whoever looks on sees the rows come.
    let sql = format!(
        "SELECT count(*) FROM '{}' WHERE regexp_replace(repeat(md5(id::VARCHAR), 4), '[a-f]+', 'x', 'g') <> ''",
        folder.path().display()
    );
    let (session, handle) = (engine().session(), swath::Handle::default());
    let statement = || session.query_stream(&sql, &swath::Params::new(), &handle);
    let seen = std::thread::scope(|scope| {
        let running = scope.spawn(|| statement().and_then(swath::AnswerStream::collect_all));
        let mut seen = Vec::new();
        while !running.is_finished() {
            seen.extend(handle.progress());
            std::thread::sleep(Duration::from_millis(50));
        }
        running.join().expect("ends").expect("an answer");
        seen
    });
    let read =
        |progress: &&swath::exec::progress::Progress| (1..360_000).contains(&progress.rows_read);
    let midway = seen.iter().find(read).expect("some rows, not all");
    assert!(midway.bytes_total > 0 && midway.bytes_read > 0, "{midway:?}");
    assert!(seen.iter().all(|progress| progress.bytes_read <= progress.bytes_total), "{seen:?}");
}
