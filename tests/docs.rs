use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use swath::Engine;

/// Every statement in queries/ runs and has an answer.
#[test]
fn queries_run_as_they_stand() {
    let engine = Engine::open().expect("opens");
    let mut count = 0;
    for folder in ["queries/seeds", "queries/tour", "queries/graph", "queries/h2o", "queries/hits"]
    {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let sql = fs::read_to_string(&path).expect("a query");
            let params = swath::params! { "key" => 2 };
            let answer = engine
                .query_with(&sql, &params)
                .unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert!(answer.row_count() > 0, "{path:?}");
            count += 1;
        }
    }
    assert!(count >= 58, "{count} queries");
}

/// The 22 queries of TPC-H give what DuckDB gives on the same files (scale factor 0.001); numbers to
/// four digits, because sums of DOUBLE depend on their order.
#[test]
fn tpch_answers_are_those_of_another_engine() {
    let engine = Engine::open().expect("opens");
    let mut found = String::new();
    for number in 1..=22 {
        let sql = fs::read_to_string(format!("queries/tpch/q{number:02}.sql")).expect("a query");
        let answer = engine.query(&sql).unwrap_or_else(|error| panic!("q{number:02}: {error}"));
        found += &format!("q{number:02}\n");
        for batch in answer.batches() {
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &FormatOptions::default()))
                .collect::<Result<_, _>>()
                .expect("printable");
            for row in 0..batch.num_rows() {
                let cells: Vec<String> = batch
                    .columns()
                    .iter()
                    .zip(&columns)
                    .map(|(column, shown)| {
                        let text = shown.value(row).to_string();
                        match text.parse::<f64>() {
                            Ok(number) if column.data_type().is_numeric() => format!("{number:.4}"),
                            _ => text,
                        }
                    })
                    .collect();
                found += &format!("{}\n", cells.join("|"));
            }
        }
    }
    assert_eq!(found, fs::read_to_string("testdata/tpch/answers.txt").expect("the answers"));
}

/// Ranks and components that can be checked by hand.
#[test]
fn graphs_are_walked_to_their_end() {
    let engine = Engine::open().expect("opens");
    let lines = |name: &str| {
        let sql = fs::read_to_string(format!("queries/graph/{name}.sql")).expect("a query");
        let answer = engine.query(&sql).expect("answers").to_string();
        let cells = |line: &str| line.split('│').map(str::trim).collect::<Vec<_>>().join(" ");
        answer.lines().skip(3).map(cells).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        lines("connected_components"),
        "1 1, 2 1, 3 1, 4 1, 5 1, 6 6, 7 6, 8 6, 9 9, 9 rows"
    );
    assert_eq!(lines("shortest_path"), "1 0, 2 1, 3 2, 4 3, 5 4, 5 rows");
    assert!(lines("pagerank").starts_with("3 1.6241, 6 1.0, 7 1.0, 8 1.0, 9 1.0"));
}

#[test]
fn the_seed_reduces_by_key() {
    let engine = Engine::open().expect("opens");
    let sql = fs::read_to_string("queries/seeds/reduce_by_key.sql").expect("the seed");
    insta::assert_snapshot!(engine.query(&sql).expect("answers"), @"
         id │  total
     bigint │ bigint
    ────────┼────────
          1 │     18
          2 │     22
          3 │     15
    3 rows
    ");
}

/// The commands in the README's `sh` blocks.
fn readme_commands() -> Vec<String> {
    let readme = fs::read_to_string("README.md").expect("the README");
    let mut commands = Vec::new();
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        commands.extend(block.lines().map(str::to_string));
    }
    commands
}

#[test]
fn the_readme_runs_as_printed() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_swath"));
    let folder = tempfile::tempdir().expect("dir");
    let root = std::env::current_dir().expect("the project");
    for name in ["testdata", "queries"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).expect("link");
    }
    let bin = program.parent().expect("a folder");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut count = 0;
    for command in readme_commands() {
        // The program is built already: only what comes after `--` is of interest.
        let command = command.replace("cargo run --release -- ", "swath ");
        if !command.contains("swath ") && !command.starts_with("pkill ") {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .output()
            .expect("a shell");
        let error = String::from_utf8_lossy(&output.stderr);
        let cluster = fs::read_to_string(folder.path().join("cluster.log")).unwrap_or_default();
        assert!(output.status.success(), "{command}: {error}\n{cluster}");
        count += 1;
    }
    assert!(count >= 10, "{count} commands");
}

/// What the README prints below its first command is what the command prints.
#[test]
fn the_readme_shows_the_true_answer() {
    let engine = Engine::open().expect("opens");
    let command = readme_commands().into_iter().next().expect("a command");
    let sql = command.split('"').nth(1).expect("a statement").to_string();
    let answer = engine.query(&sql).expect("answers").to_string();
    let readme = fs::read_to_string("README.md").expect("the README");
    assert!(readme.contains(answer.trim_end()), "{answer}");
    let notes: Vec<String> = engine
        .query("SELECT count(*) FROM 'testdata/regions'")
        .expect("answers")
        .notes()
        .iter()
        .map(|note| format!("note: {note}"))
        .collect();
    assert!(readme.contains(&notes.join("\n")), "{notes:?}");
    assert!(Path::new("benches/README.md").exists());
}
