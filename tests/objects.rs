use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use swath::{Engine, EngineBuilder, ErrorKind};

const KEY: &str = "test-key";
const SECRET: &str = "test/secret+of=all";

/// An S3 server within this process, which lives as long as it, over a folder of its own.
struct Store {
    address: SocketAddr,
    /// The folder of the bucket `test`, which holds a copy of `testdata`.
    bucket: PathBuf,
}

fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let root = tempfile::tempdir().expect("a folder").keep();
        let bucket = root.join("test");
        copy_folder(Path::new("testdata"), &bucket.join("testdata"));
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let files = s3s_fs::FileSystem::new(root).expect("a folder");
            let mut service = S3ServiceBuilder::new(files);
            service.set_auth(SimpleAuth::from_single(KEY, SECRET));
            runtime.block_on(serve(service.build(), sender));
        });
        Store { address: receiver.recv().expect("it listens"), bucket }
    })
}

async fn serve(service: s3s::service::S3Service, started: std::sync::mpsc::Sender<SocketAddr>) {
    use hyper::service::{Service, service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    started.send(listener.local_addr().expect("an address")).expect("someone waits");
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let service = service.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, is_head) = (service.clone(), request.method() == hyper::Method::HEAD);
            async move {
                let mut response = Service::call(&service, request).await?;
                // The server stumbles over folders, which no store has.
                if is_head && response.status() == hyper::StatusCode::INTERNAL_SERVER_ERROR {
                    *response.status_mut() = hyper::StatusCode::NOT_FOUND;
                }
                Ok::<_, s3s::HttpError>(response)
            }
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // Whoever asked may have gone.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            std::fs::copy(from, to).expect("copied");
        }
    }
}

/// The settings of a store that listens there.
fn settings(address: SocketAddr) -> [(&'static str, String); 3] {
    [
        ("aws_endpoint_url", format!("http://{address}")),
        ("aws_access_key_id", KEY.to_string()),
        ("aws_secret_access_key", SECRET.to_string()),
    ]
}

/// What executors of tests know of the store.
pub(crate) fn objects() -> swath::objects::Objects {
    let settings = settings(store().address);
    swath::objects::Objects::new(settings.map(|(name, value)| (name.to_string(), value)))
}

/// An engine that knows the store.
pub(crate) fn with_store(builder: EngineBuilder) -> EngineBuilder {
    with(builder, store().address)
}

fn with(builder: EngineBuilder, address: SocketAddr) -> EngineBuilder {
    settings(address)
        .iter()
        .fold(builder, |builder, (name, value)| builder.object_store_option(name, value))
}

fn engine() -> Engine {
    with_store(Engine::builder()).build().expect("an engine")
}

/// Writes an object as any other program might.
fn put(key: &str, bytes: &[u8]) {
    let path = store().bucket.join(key);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, bytes).expect("written");
}

/// The same rows, whether they lie on disk or in a store.
fn same(sql: &str) {
    let here = Engine::open().expect("an engine").query(sql).expect("here");
    let there_sql = sql.replace("'testdata/", "'s3://test/testdata/");
    assert_ne!(there_sql, sql);
    let there = engine().query(&there_sql).expect("there");
    let mut rows = super::slt::rows(&there);
    rows.iter_mut().flatten().for_each(|text| *text = text.replace("s3://test/", ""));
    assert_eq!(rows, super::slt::rows(&here));
    let notes = |answer: &swath::Answer| -> Vec<String> {
        answer.notes().iter().map(|note| note.to_string().replace("s3://test/", "")).collect()
    };
    assert_eq!(notes(&there), notes(&here));
}

#[test]
fn a_folder_in_a_bucket_is_a_table() {
    same("SELECT region, sum(amount) AS total FROM 'testdata/sales' GROUP BY region ORDER BY ALL");
    same("SELECT count(*) FROM 'testdata/sales'");
    same("SELECT * FROM 'testdata/sales' WHERE region = 'north' ORDER BY ALL");
    same("SELECT * FROM 'testdata/sales/**/*.parquet' ORDER BY ALL");
    same(
        "SELECT DISTINCT filename FROM read_csv('testdata/sales/**/*.csv', filename => true) ORDER BY 1",
    );
}

/// Rows of a CSV file that several tasks read, with newlines in quotes.
fn many_rows() -> String {
    let mut text = String::from("id,name,amount\n");
    for id in 0..300_000_u64 {
        let name = if id % 7 == 0 { "\"a\nb, c\"" } else { "plain" };
        text.push_str(&format!("{id},{name},{}.{:02}\n", id * 7919 % 1000, id % 100));
    }
    text
}

#[test]
fn a_large_file_is_read_in_pieces() {
    put("large.csv", many_rows().as_bytes());
    let sql = "SELECT name, count(*) AS n, sum(amount) AS total, max(id) FROM 's3://test/large.csv'
               GROUP BY name ORDER BY name";
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("large.csv");
    std::fs::write(&path, many_rows()).expect("written");
    let local = sql.replace("s3://test/large.csv", path.to_str().expect("a path"));
    let here = Engine::open().expect("an engine").query(&local).expect("here");
    for threads in [1, 4, 13] {
        let engine = with_store(Engine::builder().threads(threads)).build().expect("an engine");
        assert_eq!(engine.query(sql).expect("there").to_string(), here.to_string());
    }
}

#[test]
fn what_is_written_is_there_as_a_whole() {
    let engine = engine();
    put("in.csv", many_rows().as_bytes());
    // One of them is longer than what is sent at once.
    let wide = "SELECT *, repeat(md5(id::VARCHAR), 4) AS more FROM 's3://test/in.csv' ORDER BY id";
    for (name, sql) in [("out/a.parquet", wide), ("out/b.csv.gz", wide), ("out/c.csv", wide)] {
        let copied = engine.query(&format!("COPY ({sql}) TO 's3://test/{name}'")).expect("copied");
        assert!(copied.to_string().contains("300000"), "{copied}");
        let count =
            format!("SELECT count(*), count(DISTINCT id), max(more) FROM 's3://test/{name}'");
        let there = engine.query(&count).expect("read").to_string();
        let here =
            engine.query(&count.replace(&format!("'s3://test/{name}'"), &format!("({sql})")));
        assert_eq!(there.lines().last(), here.expect("read").to_string().lines().last(), "{name}");
    }
    let failing = "COPY (SELECT CASE WHEN id = 299999 THEN error('stop') ELSE name END
                   FROM 's3://test/in.csv') TO 's3://test/out/never.csv'";
    assert!(engine.query(failing).is_err());
    assert!(!store().bucket.join("out/never.csv").exists());
    let error = engine.query("COPY (SELECT 1 AS x) TO 's3://test/folder/'").expect_err("a folder");
    assert!(error.to_string().contains("one object"), "{error}");
}

#[test]
fn what_is_missing_is_named_with_what_is_there() {
    let error = engine().query("FROM 's3://test/testdata/sale'").expect_err("none").to_string();
    assert!(error.contains("did you mean 's3://test/testdata/sales'?"), "{error}");
    let error = engine().query("FROM 's3://none/x.csv'").expect_err("no bucket").to_string();
    assert!(error.contains("s3://none/x.csv"), "{error}");
    let error = engine().query("FROM 's3://'").expect_err("no bucket").to_string();
    assert!(error.contains("a bucket is missing"), "{error}");
    let error = engine().query("FROM 'hdfs://host/x.csv'").expect_err("no scheme").to_string();
    assert!(error.contains("there are no hdfs:// locations"), "{error}");
    put("bad.csv", b"id,n\n1,2\n2,\"x\n");
    let error = engine().query("FROM 's3://test/bad.csv'").expect_err("a quote").to_string();
    assert!(error.contains("s3://test/bad.csv:3"), "{error}");
}

fn swath(args: &[&str], variables: &[(&str, String)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command.args(args).env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn credentials_come_from_the_environment_and_are_never_shown() {
    let sql = "SELECT count(*) AS n FROM 's3://test/testdata/sales'";
    let known = settings(store().address).map(|(name, value)| (name, value));
    let upper: Vec<(String, String)> =
        known.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
    let variables: Vec<(&str, String)> =
        upper.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let (code, stdout, stderr) = swath(&["--format", "csv", sql], &variables);
    assert_eq!((code, stdout.lines().next()), (0, Some("n")), "{stderr}");

    let mut wrong = variables.clone();
    wrong[2].1 = "another".to_string();
    let (code, _, stderr) = swath(&[sql], &wrong);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("AWS_SECRET_ACCESS_KEY"), "{stderr}");

    let (code, _, stderr) = swath(&[sql], &variables[..1]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("AWS_ACCESS_KEY_ID"), "{stderr}");

    // A profile of Amazon's tools.
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("made");
    let profile = format!("[me]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("written");
    let with_profile = [
        variables[0].clone(),
        ("HOME", home.path().display().to_string()),
        ("AWS_PROFILE", "me".to_string()),
    ];
    let (code, _, stderr) = swath(&[sql], &with_profile);
    assert_eq!(code, 0, "{stderr}");

    for statement in [format!("EXPLAIN {sql}"), format!("EXPLAIN ANALYZE {sql}"), "SHOW ALL".into()]
    {
        let (_, stdout, stderr) = swath(&[&statement], &variables);
        assert!(!format!("{stdout}{stderr}").contains(SECRET), "{statement}");
    }
    // -o, as jobs use it.
    let (code, _, stderr) = swath(&[sql, "-o", "s3://test/one.json"], &variables);
    assert_eq!(code, 0, "{stderr}");
    assert!(store().bucket.join("one.json").exists());
}

#[test]
fn statements_are_confined_to_folders_of_buckets() {
    let roots = ["s3://test/testdata/sales", "https://host/in/"].map(PathBuf::from);
    let engine = with_store(Engine::builder()).roots(&roots).expect("roots").build().expect("one");
    engine.query("SELECT count(*) FROM 's3://test/testdata/sales'").expect("inside");
    for sql in [
        "FROM 's3://test/testdata/hive'",
        "FROM 's3://test/testdata/sales2'",
        "FROM 's3://test/testdata/sales/../hive'",
        "FROM 's3://test/*/*'",
        "FROM 'testdata/sales'",
        "COPY (SELECT 1 AS x) TO 's3://test/x.csv'",
        "FROM 'https://host/in/../out.csv'",
        "FROM 'https://host/in/%2e%2E/out.csv?x=1'",
        r"FROM 'https://host/in/..\..\out.csv?x=1'",
        "FROM 'https://host/in/.\t./out.csv?x=1'",
        "FROM 'https://host/inner.csv'",
        "FROM 'https://host/in/x%2F..%2F..%2Fout.csv?x=1'",
    ] {
        let error = engine.query(sql).expect_err("outside").to_string();
        assert!(error.contains("outside the allowed folders"), "{sql}: {error}");
    }
}

#[test]
fn executors_read_the_store_themselves() {
    let sql = "SELECT region, sum(amount) AS total FROM 's3://test/testdata/sales'
               GROUP BY region ORDER BY total DESC";
    let cluster = Engine::builder().cluster(super::cluster::address()).expect("an address");
    let there = with_store(cluster).build().expect("an engine").query(sql).expect("there");
    assert!(!there.notes().iter().any(|note| note.kind == swath::NoteKind::RanHere));
    assert_eq!(there.to_string(), engine().query(sql).expect("here").to_string());
}

/// Hands bytes on between the store and whoever asks, and cuts a connection now and then.
fn unreliable(cut_after: impl Fn(u64) -> Option<usize> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let store = store().address;
    std::thread::spawn(move || {
        let count = AtomicU64::new(0);
        for client in listener.incoming() {
            let left = cut_after(count.fetch_add(1, Ordering::Relaxed));
            let Ok(client) = client else { continue };
            let Ok(server) = TcpStream::connect(store) else { continue };
            let (mut to_server, mut from_client) =
                (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let (mut server, mut client) = (server, client);
                let mut left = left.unwrap_or(usize::MAX);
                let mut buffer = [0; 16 * 1024];
                while let Ok(count @ 1..) = server.read(&mut buffer) {
                    if client.write_all(&buffer[..count.min(left)]).is_err() || count >= left {
                        break;
                    }
                    left -= count;
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

/// Settings say much about a store, but not which bucket a statement names.
#[test]
fn the_bucket_is_the_one_that_the_statement_names() {
    std::fs::create_dir_all(store().bucket.with_file_name("other")).expect("made");
    put("one.csv", b"n\n1\n");
    let builder = with_store(Engine::builder())
        .object_store_option("aws_bucket", "other")
        .object_store_option("AWS_BUCKET_NAME", "other");
    let answer = builder.build().expect("an engine").query("FROM 's3://test/one.csv'");
    assert_eq!(super::slt::rows(&answer.expect("read")), [["1"]]);
}

/// Connections that are cut give the answer all the same, or an error: never other rows.
#[test]
fn a_network_that_fails_gives_the_answer_or_an_error() {
    put("faults/large.csv", many_rows().as_bytes());
    let copy = "COPY (FROM 's3://test/faults/large.csv') TO 's3://test/faults/large.parquet'";
    engine().query(copy).expect("copied");
    let sql = |name: &str| {
        format!(
            "SELECT count(*), sum(id), sum(amount), count(DISTINCT name)
             FROM 's3://test/faults/{name}'"
        )
    };
    let mut right = 0;
    let rounds = std::env::var("SWATH_FAULT_ROUNDS").map_or(6, |rounds| rounds.parse().expect("n"));
    for round in 0..rounds {
        let name = ["large.csv", "large.parquet"][round % 2];
        let expected = engine().query(&sql(name)).expect("whole").to_string();
        // Of some connections, the first bytes arrive, other ones each time.
        let seed = round as u64;
        let address = unreliable(move |connection| {
            let mixed = (connection + 1).wrapping_mul(6_364_136_223_846_793_005 + 2 * seed) >> 33;
            (connection % 3 != 2).then_some(100 + (mixed % 900_000) as usize)
        });
        match with(Engine::builder(), address).build().expect("an engine").query(&sql(name)) {
            Ok(answer) => {
                assert_eq!(answer.to_string(), expected);
                right += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Data, "{error}"),
        }
    }
    assert!(right > 0, "what is tried again can succeed");
}

#[test]
fn a_store_that_is_away_is_an_error_that_says_so() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let engine = with(Engine::builder(), address).build().expect("an engine");
    let started = std::time::Instant::now();
    let error = engine.query("FROM 's3://test/x.csv'").expect_err("away").to_string();
    assert!(error.contains("refused") && error.contains("s3://test/x.csv"), "{error}");
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "in bounded time");
}

/// A server of the web that gives one text, as a whole or in ranges.
fn web(page: Arc<Mutex<Arc<str>>>, knows_ranges: bool) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let text = Arc::clone(&page.lock().expect("a page"));
            let Ok(mut client) = client else { continue };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(client.try_clone().expect("a handle")).lines();
                let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
                let request = line();
                let mut range = None;
                loop {
                    let header = line().to_lowercase();
                    if header.is_empty() {
                        break;
                    }
                    if let (true, Some(asked)) =
                        (knows_ranges, header.strip_prefix("range: bytes="))
                    {
                        let (start, end) = asked.split_once('-').expect("a range");
                        range = Some((
                            start.parse::<usize>().expect("a number"),
                            end.parse::<usize>().expect("a number") + 1,
                        ));
                    }
                }
                let (status, head, body) = match range {
                    _ if !request.contains(" /a%20b.csv ") => ("404 Not Found", String::new(), ""),
                    None => ("200 OK", String::new(), &text[..]),
                    Some((start, end)) => (
                        "206 Partial Content",
                        format!(
                            "ETag: \"1\"\r\nContent-Range: bytes {start}-{}/{}\r\n",
                            end - 1,
                            text.len()
                        ),
                        &text[start..end],
                    ),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{head}\r\n",
                    body.len()
                );
                let body = if request.starts_with("HEAD") { "" } else { body };
                let _ = client
                    .write_all(head.as_bytes())
                    .and_then(|()| client.write_all(body.as_bytes()));
            });
        }
    });
    address
}

#[test]
fn a_file_of_the_web_is_a_table() {
    let text: Arc<str> = many_rows().into();
    let engine = Engine::open().expect("an engine");
    for knows_ranges in [true, false] {
        let address = web(Arc::new(Mutex::new(Arc::clone(&text))), knows_ranges);
        let sql = format!("SELECT count(*) AS n, sum(id) AS ids FROM 'http://{address}/a%20b.csv'");
        let answer = engine.query(&sql).expect("read").to_string();
        assert!(answer.contains("300000") && answer.contains("44999850000"), "{answer}");
        let error = engine.query(&format!("FROM 'http://{address}/x.csv'")).expect_err("none");
        assert!(error.to_string().contains("no file matches"), "{error}");
        let error = engine.query(&format!("FROM 'http://me:SECRET@{address}/a.csv'"));
        let error = error.expect_err("a password").to_string();
        assert!(error.contains("are not read") && !error.contains("SECRET"), "{error}");
        let copy = format!("COPY (SELECT 1 AS x) TO 'http://{address}/x.csv?sig=SECRET'");
        let error = engine.query(&copy).expect_err("no place to write").to_string();
        assert!(error.contains("cannot be written") && !error.contains("SECRET"), "{error}");
        let error = engine.query(&format!("FROM 'http://{address}/*.csv'")).expect_err("a glob");
        assert!(error.to_string().contains("name each file"), "{error}");
    }
}

/// Where a server tells neither time nor tag, nothing is kept of what a file held.
#[test]
fn a_file_of_the_web_may_change_without_a_sign() {
    let page = Arc::new(Mutex::new(Arc::from(many_rows())));
    let address = web(Arc::clone(&page), false);
    let cache = tempfile::tempdir().expect("a folder");
    let engine = Engine::builder().cache_dir(cache.path()).build().expect("an engine");
    let sql = format!("SELECT count(*) FROM 'http://{address}/a%20b.csv' WHERE name = 'plain'");
    let count = || super::slt::rows(&engine.query(&sql).expect("read"))[0][0].clone();
    assert_eq!(count(), "257142");
    assert_eq!(count(), "257142");
    let changed = many_rows().replace("plain", "other");
    *page.lock().expect("a page") = Arc::from(changed);
    assert_eq!(count(), "0");
}
