use std::fs;
use std::io::Write;
use std::path::Path;

use swath::{Engine, ErrorKind, Handle, Params, Place};

fn engine(threads: usize) -> Engine {
    Engine::builder().threads(threads).build().expect("an engine")
}

fn count(engine: &Engine, path: &Path) -> String {
    let sql = format!("SELECT count(*) AS n, sum(id) AS s FROM '{}'", path.display());
    match engine.query(&sql) {
        Ok(answer) => answer.to_string().lines().nth(3).unwrap_or_default().trim().to_string(),
        Err(error) => format!("error: {error}"),
    }
}

/// A file large enough to be cut into pieces, with quotes and newlines wherever a cut may fall.
fn quoted_file(path: &Path, row_count: usize) -> u64 {
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("create"));
    writeln!(file, "id,text,more").expect("write");
    let texts = [
        "\"a,\nb\"",
        "\"\"\"\n\"",
        "plain \"inch\" text",
        "\"\n\n\n\"",
        "",
        "\"\"",
        "\"x\"\"\n\"\"y\"",
    ];
    for id in 0..row_count {
        let text = texts[id % texts.len()];
        writeln!(file, "{id},{text},{}", texts[(id * 5 + 3) % texts.len()]).expect("write");
    }
    file.flush().expect("flush");
    fs::metadata(path).expect("metadata").len()
}

#[test]
fn quoted_newlines_count_the_same_on_any_number_of_cores() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("quoted.csv");
    let row_count: u64 = 600_000;
    let len = quoted_file(&path, row_count as usize);
    assert!(len > 10_000_000, "large enough to be cut: {len}");
    let expected = format!("{row_count} │ {}", row_count * (row_count - 1) / 2);
    for threads in [1, 2, 3, 8] {
        assert_eq!(count(&engine(threads), &path), expected, "{threads} threads");
    }
}

#[test]
fn a_bad_value_in_a_cut_file_has_its_true_line() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("late.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).expect("create"));
    writeln!(file, "id,text").expect("write");
    let row_count = 700_000;
    for id in 0..row_count {
        writeln!(file, "{id},\"two\nlines\"").expect("write");
    }
    writeln!(file, "7,x,\"one too many\"").expect("write");
    file.flush().expect("flush");
    drop(file);
    for threads in [1, 4] {
        let sql = format!("SELECT count(*) FROM '{}'", path.display());
        let error = engine(threads).query(&sql).expect_err("a ragged row");
        assert_eq!(error.kind(), ErrorKind::Data);
        let Some(Place::File { line, column, .. }) = error.place() else { panic!("{error}") };
        assert_eq!((*line, *column), (Some(2 * row_count + 2), Some(6)), "{threads} threads");
    }
}

/// Row 4 of the table: the sample says BIGINT, a value far behind says otherwise.
#[test]
fn a_guessed_type_widens_when_it_must() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("late.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).expect("create"));
    writeln!(file, "n,id,day").expect("write");
    let row_count = 400_000;
    for row in 0..row_count {
        // Outside all samples: the head, the quarters and the end of the file.
        match row {
            150_000 => writeln!(file, "3.75,00501,2024-02-01 23:59:59"),
            _ => writeln!(file, "{row},{},2024-01-{:02}", row + 1_000_000, row % 28 + 1),
        }
        .expect("write");
    }
    file.flush().expect("flush");
    drop(file);
    let engine = engine(2);
    let sql = format!(
        "SELECT sum(n) AS n, max(id) AS id, max(day) AS day, count(*) AS c FROM '{}'
         WHERE id = '00501'",
        path.display()
    );
    let answer = engine.query(&sql).expect("widens");
    let shown: Vec<String> = answer.to_string().split_whitespace().map(str::to_string).collect();
    assert!(shown.join(" ").contains("3.75 │ 00501 │ 2024-02-01 23:59:59 │ 1"), "{shown:?}");
    let notes: Vec<_> = answer.notes().iter().map(ToString::to_string).collect();
    assert!(notes.iter().any(|note| note.contains("`n` read wider")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("late.csv:150002:1")), "{notes:?}");
}

#[test]
fn a_file_that_changes_is_an_error_or_the_answer_of_before() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("changing.csv");
    quoted_file(&path, 300_000);
    let engine = engine(2);
    let sql = format!("SELECT id FROM '{}'", path.display());
    let mut answer = engine.query_stream(&sql).expect("starts");
    let first = answer.next().expect("a batch").expect("rows").num_rows();
    fs::write(&path, "id,text,more\n1,a,b\n").expect("replace by a shorter file");
    let mut rows = first;
    let mut failed = None;
    for batch in answer.by_ref() {
        match batch {
            Ok(batch) => rows += batch.num_rows(),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => assert!(error.message().contains("changed while it was read"), "{error}"),
        None => assert_eq!(rows, 300_000),
    }
}

#[test]
fn hostile_parquet_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().expect("dir");
    let good = fs::read("testdata/formats/data.parquet").expect("a Parquet file");
    let path = dir.path().join("bad.parquet");
    let engine = engine(2);
    let mut errors = 0;
    // Every byte of the footer and many of the rest, one at a time.
    for position in 0..good.len() {
        for value in [0x00, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[position] = value;
            fs::write(&path, &bad).expect("write");
            let sql = format!("SELECT * FROM '{}'", path.display());
            if let Err(error) = engine.query(&sql) {
                errors += 1;
                assert_ne!(error.kind(), ErrorKind::Internal, "byte {position}: {error}");
            }
        }
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).expect("write");
        let sql = format!("SELECT * FROM '{}'", path.display());
        assert!(engine.query(&sql).is_err(), "{len} of {} bytes", good.len());
    }
    assert!(errors > 50, "the test breaks files: {errors}");
}

#[test]
fn memory_is_bounded() {
    let engine =
        Engine::builder().memory("4MB").expect("a size").threads(2).build().expect("opens");
    let sql = "SELECT array_agg(value) AS a FROM generate_series(1, 20000000) t(value)";
    let error = engine.query(sql).expect_err("does not fit");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

/// A sort and a group-by that are larger than the limit are done by way of the disk, and
/// nothing of them stays there.
#[test]
fn what_does_not_fit_into_memory_goes_by_way_of_the_disk() {
    let dir = tempfile::tempdir().expect("dir");
    let open = |memory: &str| {
        let builder = Engine::builder().threads(2).spill_dir(dir.path());
        builder.memory(memory).expect("a size").build().expect("opens")
    };
    let (small, large) = (open("64MB"), open("2GB"));
    let numbers = "SELECT value AS id, repeat(CAST(value AS VARCHAR), 8) AS text FROM generate_series(1, 1000000)";
    for sql in [
        format!(
            "SELECT count(*), max(r) FROM (SELECT row_number() OVER (ORDER BY text, id) AS r FROM ({numbers}) t) s"
        ),
        format!(
            "SELECT count(*), sum(n) FROM (SELECT text, count(*) AS n FROM ({numbers}) t GROUP BY text) s"
        ),
    ] {
        let handle = Handle::default();
        let session = small.default_session();
        let found = session
            .query_stream(&sql, &Params::new(), &handle)
            .and_then(swath::AnswerStream::collect_all)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let spilled = handle.progress().expect("it had a plan").spilled_bytes;
        assert!(spilled > 0, "{sql} did not need the disk");
        assert_eq!(found.to_string(), large.query(&sql).expect("answers").to_string());
    }
    drop((small, large));
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0, "nothing is left");
}

/// COPY gives the file its name when it is whole; whatever fails before leaves the old one.
#[test]
fn a_copy_is_whole_or_not_there() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let engine = engine(2);
    let query = |sql: String| engine.query(&sql).map(|answer| answer.to_string());
    for name in ["a.parquet", "a.csv", "a.jsonl", "a.arrow", "a.csv.gz"] {
        let target = path(name);
        let rows = "SELECT value AS id, 'x' || value AS text FROM generate_series(1, 20000)";
        let count = query(format!("COPY ({rows}) TO '{target}'")).expect("copies");
        assert!(count.contains("20000"), "{count}");
        let back = query(format!("SELECT count(*), sum(id), max(text) FROM '{target}'"));
        let expected = query(format!("SELECT count(*), sum(id), max(text) FROM ({rows}) t"));
        let rows_of = |shown: String| shown.lines().skip(3).collect::<Vec<_>>().join("\n");
        assert_eq!(rows_of(back.expect("reads")), rows_of(expected.expect("answers")), "{name}");
    }
    // An error in the midst of the rows.
    let target = path("a.csv");
    let before = fs::read(&target).expect("bytes");
    let failing = format!("COPY (SELECT 1 / (id - 15000) AS x FROM '{target}') TO '{target}'");
    assert!(query(failing).is_err());
    assert_eq!(fs::read(&target).expect("bytes"), before);
    // A file can be copied onto itself, and a value that widens its column on the way is no error.
    let odd = path("odd.csv");
    let text: String = (0..100_000).map(|row| format!("{row},1\n")).collect();
    fs::write(&odd, format!("a,b\n{text}odd,2\n")).expect("written");
    query(format!("COPY (SELECT * FROM '{odd}') TO '{odd}'")).expect("copies");
    let count = query(format!("SELECT count(*) AS n FROM '{odd}' WHERE b > 0")).expect("reads");
    assert!(count.contains("100001"), "{count}");
    let litter = fs::read_dir(dir.path()).expect("a folder").flatten();
    let litter: Vec<_> =
        litter.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(litter.is_empty(), "{litter:?}");
    for refused in [
        format!("COPY (SELECT 1) TO '{}'", dir.path().display()),
        format!("COPY (SELECT 1 AS a) TO '{}'", path("no/such/folder/x.csv")),
        format!("COPY (SELECT 1 AS a) TO '{}'", path("x.unknown")),
        format!("EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{}'", path("y.csv")),
    ] {
        assert!(query(refused.clone()).is_err(), "{refused}");
    }
    assert!(!Path::new(&path("y.csv")).exists());
}

#[test]
fn time_is_bounded() {
    let engine =
        Engine::builder().timeout(std::time::Duration::from_millis(50)).build().expect("opens");
    let sql = "SELECT count(*) FROM generate_series(1, 100000000000) t(value) WHERE value % 7 = 8";
    let error = engine.query(sql).expect_err("takes too long");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn a_statement_can_be_stopped() {
    let engine = engine(2);
    let sql = "SELECT value FROM generate_series(1, 100000000000) t(value)";
    let mut answer = engine.query_stream(sql).expect("starts");
    answer.next().expect("a batch").expect("rows");
    answer.handle().cancel();
    let last = answer.by_ref().last();
    let error = last.expect("an end").expect_err("was stopped");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

/// Pruned files are never read: a broken one does no harm.
#[test]
fn a_broken_file_in_a_pruned_partition_is_not_an_error() {
    let dir = tempfile::tempdir().expect("dir");
    for (folder, bytes) in [("k=1", b"id\n5\n".as_slice()), ("k=2", b"PAR1PAR1".as_slice())] {
        fs::create_dir(dir.path().join(folder)).expect("folder");
        fs::write(dir.path().join(folder).join("file"), bytes).expect("write");
    }
    let engine = engine(2);
    let root = dir.path().display();
    let answer = engine.query(&format!("SELECT id FROM '{root}' WHERE k = 1")).expect("pruned");
    assert_eq!(answer.row_count(), 1);
    let error = engine.query(&format!("SELECT id FROM '{root}'")).expect_err("not pruned");
    assert!(error.to_string().contains("k=2/file"), "{error}");
}
