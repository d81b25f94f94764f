//! Partial aggregates that are kept never change an answer, and spare reading.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use swath::{Engine, EngineBuilder, Handle, Params, Session};

/// Writes a CSV file of some rows that is old enough to be kept.
fn write_csv(path: &Path, seed: u32, row_count: u32) {
    let mut text = String::from("key,number,half,flag,day,text\n");
    for row in 0..row_count {
        let value = row.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7;
        let half =
            if value.is_multiple_of(11) { String::new() } else { format!("{}.5", value % 97) };
        let _ = writeln!(
            text,
            "k{},{},{half},{},2024-01-{:02},t{}",
            value % 5,
            value % 1000,
            value.is_multiple_of(3),
            1 + seed % 28,
            value % 13
        );
    }
    fs::write(path, text).expect("written");
    age(path, SystemTime::now() - Duration::from_secs(60));
}

fn age(path: &Path, to: SystemTime) {
    File::options().write(true).open(path).expect("opens").set_modified(to).expect("dated");
}

/// Waits until the clock of changes has gone on, so that files are kept.
fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

/// The rows as text: numbers to ten digits, because sums of fractions depend on their order.
fn rows(session: &Session, sql: &str) -> (Vec<String>, u64) {
    use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
    let mut answer = session
        .query_stream(sql, &Params::new(), &Handle::default())
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = Vec::new();
    for batch in answer.by_ref() {
        let batch = batch.unwrap_or_else(|error| panic!("{sql}: {error}"));
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                let shown = ArrayFormatter::try_new(column, &FormatOptions::default());
                let text = shown.expect("printable").value(row).to_string();
                match text.parse::<f64>() {
                    Ok(number) if column.data_type().is_floating() => format!("{number:.9e}"),
                    _ => text,
                }
            });
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    rows.sort();
    let reused = answer.notes().to_json()["files_reused"].as_u64().expect("a count");
    (rows, reused)
}

const AGGREGATES: [&str; 21] = [
    "count(*)",
    "count(half)",
    "sum(number)",
    "sum(half)",
    "avg(number)",
    "avg(half)",
    "min(half)",
    "max(text)",
    "min(day)",
    "approx_distinct(text)",
    "bit_and(number)",
    "bit_or(number)",
    "bit_xor(number)",
    "bool_and(flag)",
    "bool_or(flag)",
    "stddev(half)",
    "var_pop(number)",
    "corr(number, half)",
    "covar_pop(number, half)",
    "sum(number) FILTER (WHERE flag)",
    // A group by the text, which is kept.
    "count(DISTINCT text)",
];

/// Aggregates that are never kept, and what else must not be.
const UNKEPT: [&str; 3] =
    ["median(number)", "array_agg(number ORDER BY number)", "sum(number * (1 + 0 * random()))"];

fn questions(folder: &Path) -> Vec<String> {
    let from = format!("FROM '{}'", folder.display());
    let mut all = Vec::new();
    for function in AGGREGATES.iter().chain(&UNKEPT) {
        all.push(format!("SELECT {function} {from}"));
        all.push(format!("SELECT key, {function} {from} GROUP BY key"));
        all.push(format!(
            "SELECT number % 3 AS r, {function} {from} WHERE number > 100 AND text <> 't3' GROUP BY r"
        ));
    }
    all.push(format!(
        "SELECT k, max(s) FROM (SELECT key AS k, sum(number) AS s {from} GROUP BY key) t GROUP BY k"
    ));
    all.push(format!("SELECT a.key, sum(a.number), b.n {from} a JOIN (SELECT key, count(*) AS n {from} GROUP BY key) b ON a.key = b.key GROUP BY a.key, b.n"));
    all.push(format!("SELECT DISTINCT key {from} ORDER BY key LIMIT 3"));
    all
}

fn engine(set: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
    set(Engine::builder()).build().expect("opens")
}

/// `answer(with reuse) == answer(without)` while files are added, changed, removed, renamed and
/// replaced under the same time of modification.
#[test]
fn answers_are_the_same_with_and_without() {
    let dir = tempfile::tempdir().expect("dir");
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    fs::create_dir(&data).expect("made");
    let file = |name: &str| data.join(name);
    for seed in 0..4 {
        write_csv(&file(&format!("{seed}.csv")), seed, 300);
    }
    let steps: [&dyn Fn(); 6] = [
        &|| {},
        &|| write_csv(&file("4.csv"), 4, 250),
        &|| write_csv(&file("1.csv"), 77, 280),
        &|| fs::remove_file(file("0.csv")).expect("removed"),
        &|| fs::rename(file("2.csv"), file("9.csv")).expect("renamed"),
        &|| {
            // Another content of the same length under the same time.
            let path = file("3.csv");
            let modified = fs::metadata(&path).and_then(|m| m.modified()).expect("a time");
            let text = fs::read_to_string(&path).expect("text").replace("k1,", "k2,");
            fs::write(&path, text).expect("written");
            age(&path, modified);
        },
    ];
    for (idx, step) in steps.iter().enumerate() {
        step();
        settle();
        let plain = engine(|builder| builder.threads(2));
        let mut reused_total = 0;
        for round in 0..2 {
            let reusing = engine(|builder| builder.threads(1 + round).reuse(&store));
            for sql in questions(&data) {
                let (expected, _) = rows(plain.default_session(), &sql);
                let (found, reused) = rows(reusing.default_session(), &sql);
                if !sql.contains("random()") {
                    assert_eq!(found, expected, "step {idx}, round {round}: {sql}");
                }
                if UNKEPT.iter().any(|function| sql.contains(function)) {
                    assert_eq!(reused, 0, "{sql}");
                } else if round == 1 && !sql.contains("JOIN") && !sql.contains("DISTINCT key") {
                    assert!(reused >= 4, "step {idx}: {reused} reused in {sql}");
                }
                reused_total += reused;
            }
        }
        assert!(reused_total > 100, "step {idx}: {reused_total} reused");
    }
}

#[test]
fn only_new_files_are_read_and_windows_that_move_still_find_the_old_ones() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    for day in 1..=9 {
        let folder = data.join(format!("day=2024-01-{day:02}"));
        fs::create_dir_all(&folder).expect("made");
        write_csv(&folder.join("f.csv"), day, 200);
    }
    settle();
    let engine = engine(|builder| builder.threads(2).reuse(dir.path().join("store")));
    let session = engine.default_session();
    let since = |day: u32| {
        format!(
            "SELECT key, sum(number) FROM '{}' WHERE day >= DATE '2024-01-{day:02}' GROUP BY key",
            data.display()
        )
    };
    assert_eq!(rows(session, &since(3)).1, 0);
    assert_eq!(rows(session, &since(3)).1, 7);
    assert_eq!(rows(session, &since(5)).1, 5);
    assert_eq!(rows(session, &since(2)).1, 7);
    let plan = session.query(&format!("EXPLAIN ANALYZE {}", since(2))).expect("plans").to_string();
    assert!(plan.contains("8 files, 8 of them not read"), "{plan}");
    session.query("SET swath.reuse = off").expect("set");
    assert_eq!(rows(session, &since(2)).1, 0);
    assert!(session.query("SET swath.reuse = maybe").is_err());
}

/// A conjunct that holds for a whole file, by its statistics, is no part of what its states depend
/// on; one that holds for some of its rows is.
#[test]
fn windows_inside_files_move_too() {
    use datafusion::parquet::arrow::ArrowWriter;
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("made");
    let plain = Engine::open().expect("opens");
    for day in 1..=9 {
        let csv = dir.path().join("f.csv");
        write_csv(&csv, day, 200);
        // File n holds the day n + 1. The fifth file holds two days, the sixth some rows without one.
        let own = match day {
            5 => "CASE WHEN number % 2 = 0 THEN day ELSE DATE '2024-01-07' END",
            6 => "CASE WHEN number % 5 > 0 THEN day END",
            _ => "day",
        };
        let sql =
            format!("SELECT key, number, CAST({own} AS DATE) AS day FROM '{}'", csv.display());
        let answer = plain.query(&sql).expect("answers");
        let path = data.join(format!("{day}.parquet"));
        let file = File::create(&path).expect("made");
        let mut writer =
            ArrowWriter::try_new(file, answer.schema().clone(), None).expect("a writer");
        for batch in answer.batches() {
            writer.write(batch).expect("written");
        }
        writer.close().expect("closed");
        age(&path, SystemTime::now() - Duration::from_secs(60));
    }
    settle();
    let engine = engine(|builder| builder.threads(2).reuse(dir.path().join("store")));
    let since = |day: u32| {
        format!(
            "SELECT key, sum(number), count(*) FROM '{}' WHERE day >= DATE '2024-01-{day:02}' GROUP BY key",
            data.display()
        )
    };
    for (day, reused) in [(3, 0), (3, 9), (4, 6), (6, 4), (5, 5), (7, 3)] {
        let (found, count) = rows(engine.default_session(), &since(day));
        assert_eq!(found, rows(plain.default_session(), &since(day)).0, "since {day}");
        assert_eq!(count, reused, "since {day}");
    }
}

/// A damaged file of the store is computed anew.
#[test]
fn a_damaged_state_is_noticed() {
    let dir = tempfile::tempdir().expect("dir");
    let (data, store) = (dir.path().join("data"), dir.path().join("store"));
    fs::create_dir(&data).expect("made");
    (0..3).for_each(|seed| write_csv(&data.join(format!("{seed}.csv")), seed, 100));
    settle();
    let engine = engine(|builder| builder.reuse(&store));
    let sql = format!("SELECT key, sum(number), min(text) FROM '{}' GROUP BY key", data.display());
    let (expected, _) = rows(engine.default_session(), &sql);
    for entry in fs::read_dir(store.join("fragments")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("bytes");
        let middle = bytes.len() - 20;
        bytes[middle] ^= 0x40;
        fs::write(&path, bytes).expect("written");
    }
    assert_eq!(rows(engine.default_session(), &sql), (expected.clone(), 0));
    assert_eq!(rows(engine.default_session(), &sql), (expected, 3));
}

/// Files land while a statement is watched: each answer is that of the files of the moment.
#[test]
fn a_watched_statement_answers_again_when_files_land() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("made");
    write_csv(&data.join("0.csv"), 0, 100);
    let engine = engine(|builder| builder.threads(2).reuse(dir.path().join("store")));
    let sql =
        format!("SELECT key, sum(number) AS s FROM '{}' GROUP BY key ORDER BY key", data.display());
    let handle = Handle::default();
    let watch = engine
        .default_session()
        .watch(&sql, &Params::new(), Duration::from_millis(20), &handle)
        .expect("watches");
    let mut count = 0;
    for answer in watch {
        let answer = answer.expect("answers").to_string();
        let whole = Engine::open().expect("opens").query(&sql).expect("answers").to_string();
        assert_eq!(answer, whole);
        count += 1;
        match count {
            1..=3 => write_csv(&data.join(format!("{count}.csv")), count, 100),
            4 => fs::remove_file(data.join("1.csv")).expect("removed"),
            _ => handle.cancel(),
        }
    }
    assert_eq!(count, 5);
}
