//! Writes: all or nothing, whatever happens on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use swath::Engine;

fn answer(sql: &str) -> Result<String, String> {
    let answer = Engine::open().and_then(|engine| engine.query(sql));
    answer.map(|answer| answer.to_string()).map_err(|error| error.to_string())
}

fn rows(sql: &str) -> String {
    answer(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// One number.
fn number(sql: &str) -> i64 {
    let answer = Engine::open().and_then(|engine| engine.query(sql));
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = answer.to_string();
    let digits = text.lines().rev().find_map(|line| line.trim().parse().ok());
    digits.unwrap_or_else(|| panic!("{sql}: {text}"))
}

/// All files below a folder but the journal's, with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(listing) = fs::read_dir(folder) else { return found };
    for entry in listing {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).expect("reads"));
        }
    }
    found.retain(|path, _| !path.contains("/.swath"));
    found
}

const ROWS: &str = "SELECT value % 3 AS k, value AS v, CASE WHEN value % 5 = 0 THEN NULL \
     WHEN value % 5 = 1 THEN '' ELSE 'a/b=' || CAST(value % 5 AS VARCHAR) END AS t \
     FROM generate_series(1, 1000)";

#[test]
fn partitions_come_back_as_they_were() {
    let dir = tempfile::tempdir().expect("dir");
    for format in ["parquet", "csv", "jsonl", "arrow"] {
        let target = dir.path().join(format);
        let path = target.display();
        let copy = format!("COPY ({ROWS}) TO '{path}' (FORMAT {format}, PARTITION_BY (k, t))");
        assert!(rows(&copy).contains("1000"));
        // Three keys, and NULL, an empty text and three others.
        assert_eq!(files(&target).len(), 15, "{format}");
        let difference = format!(
            "SELECT count(*) FROM (SELECT k, v, t FROM '{path}' EXCEPT SELECT * FROM ({ROWS}))"
        );
        assert_eq!(number(&difference), 0, "{format}");
        assert_eq!(number(&format!("SELECT count(*) FROM '{path}'")), 1000, "{format}");
        let once_more = answer(&copy).expect_err("must not be overwritten");
        assert!(once_more.contains("is not empty"), "{once_more}");
    }
}

#[test]
fn order_file_sizes_and_statistics_are_as_asked_for() {
    let dir = tempfile::tempdir().expect("dir");
    let target = dir.path().join("t");
    let path = target.display();
    let big = "SELECT value % 2 AS k, random() AS r, value AS v FROM generate_series(1, 400000) \
         ORDER BY v DESC";
    let copy = format!(
        "COPY ({big}) TO '{path}' (PARTITION_BY k, FILE_SIZE_BYTES '1MB', COMPRESSION none, \
         ROW_GROUP_SIZE 20000, BLOOM_FILTER (v), RETURN_STATS)"
    );
    let engine = Engine::open().expect("opens");
    let stats = engine.query(&copy).expect("copies");
    assert!(stats.row_count() > 4, "{stats}");
    let lens: Vec<u64> = files(&target).values().map(|bytes| bytes.len() as u64).collect();
    assert_eq!(lens.len(), stats.row_count());
    assert!(lens.iter().all(|len| *len < 3_000_000), "{lens:?}");
    // Within a file the query's order holds.
    let out_of_order = format!(
        "SELECT count(*) FROM (SELECT v, lag(v) OVER (PARTITION BY filename ORDER BY \
         file_row_number) AS before FROM read_parquet('{path}', filename => true, \
         file_row_number => true)) WHERE before < v"
    );
    assert_eq!(number(&out_of_order), 0);
    let csv = dir.path().join("c.csv");
    rows(&format!(
        "COPY (SELECT NULL AS a, 'x' AS b, '-' AS c) TO '{}' (HEADER false, DELIM ';', NULLSTR '-')",
        csv.display()
    ));
    assert_eq!(fs::read_to_string(csv).expect("reads"), "-;x;\"-\"\n");
}

#[test]
fn ways_to_write_into_what_is_there() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("t").display().to_string();
    let copy = |query: &str, how: &str| {
        rows(&format!("COPY ({query}) TO '{path}' (FORMAT csv, PARTITION_BY (k), {how})"))
    };
    let sums = || rows(&format!("SELECT k, sum(v) AS s FROM '{path}' GROUP BY k ORDER BY k"));
    let three = "SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) AS t(k, v)";
    copy(three, "APPEND");
    copy("SELECT 2 AS k, 5 AS v", "APPEND");
    let expected = "SELECT * FROM (VALUES (1, 10), (2, 25), (3, 30)) AS t(k, s)";
    assert_eq!(sums(), rows(expected));
    copy("SELECT * FROM (VALUES (3, 1), (4, 2)) AS t(k, v)", "REPLACE_PARTITIONS");
    let expected = "SELECT * FROM (VALUES (1, 10), (2, 25), (3, 1), (4, 2)) AS t(k, s)";
    assert_eq!(sums(), rows(expected));
    // The same batch twice is there once.
    for _ in 0..2 {
        copy("SELECT 1 AS k, 7 AS v", "APPEND, BATCH 'monday'");
    }
    assert_eq!(number(&format!("SELECT sum(v) FROM '{path}' WHERE k = 1")), 17);
    copy(three, "OVERWRITE");
    let expected = "SELECT * FROM (VALUES (1, 10), (2, 20), (3, 30)) AS t(k, s)";
    assert_eq!(sums(), rows(expected));
    // Without a FORMAT, what is added is as what is there.
    let more = format!("COPY (SELECT 1 AS k, 1 AS v) TO '{path}' (PARTITION_BY (k), APPEND)");
    rows(&more);
    assert!(files(dir.path()).keys().all(|name| name.ends_with(".csv")));
    rows(&format!(
        "COPY (SELECT 1 AS k, 10 AS v) TO '{path}' (PARTITION_BY (k), REPLACE_PARTITIONS)"
    ));
    // INSERT takes the columns of the folder, by position or by name.
    assert!(rows(&format!("INSERT INTO '{path}' VALUES (5, 1)")).contains('1'));
    rows(&format!("INSERT INTO '{path}' (k, v) SELECT 1, '6'"));
    // By position: partition keys come last.
    let expected = "SELECT * FROM (VALUES (1, 21), (2, 20), (3, 30)) AS t(k, s)";
    assert_eq!(sums(), rows(expected));
    assert_eq!(number(&format!("SELECT count(*) FROM '{path}'")), 5);
    rows(&format!("INSERT INTO '{path}' BY NAME SELECT 9 AS k, 4 AS v"));
    assert_eq!(number(&format!("SELECT v FROM '{path}' WHERE k = 9")), 4);
    let wrong = answer(&format!("INSERT INTO '{path}' BY NAME SELECT 1 AS q")).expect_err("no q");
    assert!(wrong.contains("the folder has no column q"), "{wrong}");
    let wrong = answer(&format!("INSERT INTO '{path}' SELECT 1")).expect_err("one is missing");
    assert!(wrong.contains("the query has 1 columns, 2 are to be filled"), "{wrong}");
    let wrong = answer(&format!("INSERT INTO '{path}' VALUES ('x', 1)")).expect_err("no number");
    assert!(wrong.contains("'x'") || wrong.contains("\"x\""), "{wrong}");
    assert_eq!(number(&format!("SELECT count(*) FROM '{path}'")), 6);
}

/// Rows that fail late: all that was there stays, and nothing else is.
#[test]
fn an_error_at_any_row_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().expect("dir");
    let target = dir.path().join("t");
    let path = target.display();
    rows(&format!("COPY ({ROWS}) TO '{path}' (PARTITION_BY (k))"));
    let before = files(dir.path());
    for at in [1, 999, 50_000, 299_999] {
        let failing = format!(
            "SELECT value % 3 AS k, CAST(CASE WHEN value = {at} THEN 'odd' ELSE '1' END AS BIGINT) \
             AS v FROM generate_series(1, 300000)"
        );
        for how in ["APPEND", "OVERWRITE", "REPLACE_PARTITIONS"] {
            let copy = format!("COPY ({failing}) TO '{path}' (PARTITION_BY (k), {how})");
            assert!(answer(&copy).expect_err("fails").contains("odd"));
            assert_eq!(files(dir.path()), before, "{how} {at}");
        }
        let single = dir.path().join("new.parquet");
        assert!(answer(&format!("COPY ({failing}) TO '{}'", single.display())).is_err());
        assert_eq!(files(dir.path()), before, "{at}");
    }
}

/// Writers that are killed at random moments, and readers that count meanwhile.
#[test]
fn killed_writers_leave_whole_commits_only() {
    const COMMIT_ROWS: i64 = 3000;
    let dir = tempfile::tempdir().expect("dir");
    let target = dir.path().join("t");
    let path = target.display();
    let copy = format!(
        "COPY (SELECT value % 20 AS k, value AS v FROM generate_series(1, {COMMIT_ROWS})) \
         TO '{path}' (FORMAT csv, PARTITION_BY (k), APPEND)"
    );
    rows(&copy);
    let count = format!("SELECT count(*) FROM '{path}'");
    let rounds =
        std::env::var("SWATH_KILL_ROUNDS").map_or(12, |text| text.parse().expect("rounds"));
    let many = vec![copy.as_str(); 50].join("; ");
    let mut last = COMMIT_ROWS;
    for round in 0..rounds {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_swath"))
            .args(["--quiet", "--no-cache", &many])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // Somewhere in the first commits, differently each time.
        std::thread::sleep(Duration::from_millis(150 + (round * 37) % 400));
        let during = number(&count);
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        let after = number(&count);
        for found in [during, after] {
            assert_eq!(found % COMMIT_ROWS, 0, "round {round}");
        }
        assert!(last <= during && during <= after, "round {round}: {last} {during} {after}");
        last = after;
    }
    assert!(last > COMMIT_ROWS, "no writer got anything in before it was killed");
    // The next writer mends what they left, and nothing else than data stays.
    rows(&copy);
    assert_eq!(number(&count), last + COMMIT_ROWS);
    let readable = rows(&format!("SELECT sum(v) FROM '{path}'"));
    let sum = (last / COMMIT_ROWS + 1) * COMMIT_ROWS * (COMMIT_ROWS + 1) / 2;
    assert!(readable.contains(&sum.to_string()), "{readable}");
}
