//! What a pass over a file has shown is used by the next statements, and never changes an answer.

use std::fmt::Write;
use std::fs::{File, write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use swath::{Engine, EngineBuilder};

/// A file of some ranges: sorted ids, words, numbers with gaps, quoted newlines.
fn text(row_count: u32) -> String {
    let mut text = String::from("id,word,number,day,mostly\n");
    for id in 0..row_count {
        let word = format!("w{:05}", id / 100);
        let number = if id.is_multiple_of(7) { String::new() } else { format!("{}.5", id % 1000) };
        let mostly = if id.is_multiple_of(50_000) { "NA" } else { "1" };
        let day = 1 + id * 28 / row_count;
        let _ = writeln!(
            text,
            "{id},\"{word}\n,{}\",{number},2024-02-{day:02},{mostly}",
            "x".repeat(20)
        );
    }
    text
}

/// Writes a file that is old enough to be remembered.
fn write_old(path: &Path, text: &str, age_seconds: u64) {
    write(path, text).expect("written");
    let open = File::options().write(true).open(path).expect("opens");
    open.set_modified(SystemTime::now() - Duration::from_secs(age_seconds)).expect("dated");
}

fn engine(cache: &Path, set: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
    set(Engine::builder().cache_dir(cache)).build().expect("opens")
}

fn answer(engine: &Engine, sql: &str) -> String {
    let answer = engine.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let notes: Vec<String> = answer.notes().iter().map(ToString::to_string).collect();
    format!("{answer}\n{}", notes.join("\n"))
}

#[test]
fn later_statements_count_and_skip_by_what_earlier_ones_showed() {
    let dir = tempfile::tempdir().expect("dir");
    let (path, cache) = (dir.path().join("f.csv"), dir.path().join("cache"));
    write_old(&path, &text(250_000), 60);
    let file = path.display();
    let questions = [
        format!("SELECT count(*) FROM '{file}'"),
        format!("SELECT min(id), max(id), min(word), max(day), min(number) FROM '{file}'"),
        format!(
            "SELECT count(*), sum(number), min(word) FROM '{file}' WHERE id BETWEEN 100000 AND 100500"
        ),
        format!(
            "SELECT count(*), max(id) FROM '{file}' WHERE word = 'w01234\n,{}'",
            "x".repeat(20)
        ),
        format!("SELECT count(*) FROM '{file}' WHERE day > DATE '2024-02-27'"),
        format!("SELECT count(*) FROM '{file}' WHERE id < 0"),
        format!("SELECT count(*) FROM '{file}' WHERE number IS NULL AND id > 249000"),
        format!(
            "SELECT id FROM '{file}' WHERE id % 1000 = 999 AND id > 200000 ORDER BY number DESC, id LIMIT 3"
        ),
        format!("SELECT sum(mostly), count(*) FROM '{file}' WHERE id > 200000"),
        format!("SELECT max(file_row_number) FROM '{file}' WHERE id = 240000"),
        // Nothing of the file need be read, whatever stands above.
        format!("SELECT day, count(*) FROM '{file}' WHERE id < 0 GROUP BY day ORDER BY day"),
        format!(
            "SELECT a.id FROM '{file}' a JOIN '{file}' b ON a.id = b.id WHERE a.id < 0 AND b.id < 0"
        ),
        format!("SELECT id, row_number() OVER (ORDER BY id) FROM '{file}' WHERE id < 0"),
        format!("SELECT sum(number), min(word) FROM '{file}' WHERE id < 0"),
    ];
    let plain = Engine::open().expect("opens");
    let expected: Vec<String> = questions.iter().map(|sql| answer(&plain, sql)).collect();
    // Twice with each number of tasks: what one pass shows, another one uses.
    for threads in [2, 1, 16, 3] {
        for _ in 0..2 {
            let engine = engine(&cache, |builder| builder.threads(threads).batch_rows(1000));
            for (sql, expected) in questions.iter().zip(&expected) {
                assert_eq!(answer(&engine, sql), *expected, "{sql} in {threads} tasks");
            }
        }
    }
    let plain_in_two = Engine::builder().threads(2).build().expect("opens");
    let engine = engine(&cache, |builder| builder.threads(2));
    let plan = |sql: &str| engine.query(&format!("EXPLAIN {sql}")).expect("plans").to_string();
    assert!(!plan(&questions[0]).contains("Scan"), "{}", plan(&questions[0]));
    assert!(!plan(&questions[1]).contains("Scan"), "{}", plan(&questions[1]));
    for question in &questions[2..5] {
        assert!(plan(question).contains("ranges skipped"), "{}", plan(question));
    }
    assert!(!plan(&questions[5]).contains("Scan"), "{}", plan(&questions[5]));
    // What is known of a file does not change how long it is.
    let whole = format!("EXPLAIN SELECT id FROM '{file}'");
    assert_eq!(answer(&engine, &whole), answer(&plain_in_two, &whole));
    // A column with a word read as NULL is read again, because that is a note.
    let noted = answer(&engine, &format!("SELECT sum(mostly) FROM '{file}'"));
    assert!(noted.contains("`NA`"), "{noted}");
}

#[test]
fn a_changed_file_is_read_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let (path, cache) = (dir.path().join("f.csv"), dir.path().join("cache"));
    let sql = format!("SELECT count(*) AS n, sum(id) AS s FROM '{}'", path.display());
    for (row_count, age) in [(120_000, 60), (110_000, 50), (120_000, 40)] {
        write_old(&path, &text(row_count), age);
        for _ in 0..2 {
            let found = answer(&engine(&cache, |builder| builder), &sql);
            assert_eq!(found, answer(&Engine::open().expect("opens"), &sql));
        }
    }
}

/// A value that forced a wider type in one process is known to the next.
#[test]
fn widened_types_are_known_to_the_next_process() {
    let dir = tempfile::tempdir().expect("dir");
    let (path, cache) = (dir.path().join("f.csv"), dir.path().join("cache"));
    let mut text = String::from("a,b\n");
    for row in 0..200_000 {
        let _ = writeln!(text, "{},{row}", if row == 50_000 { "odd" } else { "1" });
    }
    write_old(&path, &text, 60);
    let sql = format!("SELECT min(a) FROM '{}'", path.display());
    let first = engine(&cache, |builder| builder).query(&sql).expect("answers");
    let second = engine(&cache, |builder| builder).query(&sql).expect("answers");
    assert_eq!(first.to_string(), second.to_string());
    assert!(first.notes().iter().any(|note| note.message.contains("read wider")));
    assert!(second.notes().is_empty(), "{:?}", second.notes());
    // A sample of all rows sees it beforehand.
    let call = format!("read_csv('{}', sample_size => -1)", path.display());
    let plain = Engine::open().expect("opens");
    let third = plain.query(&format!("SELECT min(a) FROM {call}")).expect("answers");
    assert_eq!(first.batches(), third.batches());
    assert!(third.notes().is_empty(), "{:?}", third.notes());
}

/// What gives a note is never counted from memory.
#[test]
fn padded_rows_are_reported_each_time() {
    let dir = tempfile::tempdir().expect("dir");
    let (path, cache) = (dir.path().join("f.csv"), dir.path().join("cache"));
    write_old(&path, &format!("a,b,c\n1,2\n{}", "1,2,3\n".repeat(100_000)), 60);
    let sql = format!("SELECT count(*) FROM read_csv('{}', ragged => 'pad')", path.display());
    for _ in 0..2 {
        let answer = engine(&cache, |builder| builder).query(&sql).expect("answers");
        assert!(answer.notes().iter().any(|note| note.message.contains("filled with NULL")));
    }
}

/// How the files of a folder are written is known to the next process; an answer does not depend on it.
#[test]
fn known_layouts_never_change_an_answer() {
    let dir = tempfile::tempdir().expect("dir");
    let (data, cache) = (dir.path().join("data"), dir.path().join("cache"));
    std::fs::create_dir(&data).expect("made");
    let file = |idx: usize| data.join(format!("{idx:02}.csv"));
    for idx in 0..40 {
        let text = match idx {
            7 => "a;b\n3;01.02.2024\n".to_string(),
            9 => "a,b,later\n4,2024-01-01,x\n".to_string(),
            20 | 21 => "a,b\n5,same\n".to_string(),
            _ => format!("a,b\n{idx},2024-01-{:02}\n", 1 + idx % 28),
        };
        write_old(&file(idx), &text, 60);
    }
    let changes: [&dyn Fn(); 6] = [
        &|| (),
        &|| write_old(&file(5), "a,b\n5,2024-13-06\n", 60),
        &|| write_old(&file(40), "a,b,new\n1.5,,y\n", 60),
        &|| std::fs::remove_file(file(7)).expect("removed"),
        &|| std::fs::rename(file(9), file(50)).expect("renamed"),
        &|| write_old(&file(20), "a|b\n5|same\n", 60),
    ];
    let sql = format!("SELECT *, filename FROM '{}' ORDER BY filename, a", data.display());
    for change in changes {
        change();
        // Old enough to be sure of.
        std::thread::sleep(Duration::from_millis(60));
        let expected = answer(&Engine::open().expect("opens"), &sql);
        for _ in 0..2 {
            assert_eq!(answer(&engine(&cache, |builder| builder), &sql), expected);
        }
    }
}
