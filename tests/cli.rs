use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the program in an environment that no machine's settings reach.
fn swath(args: &[&str]) -> Run {
    swath_with_input(args, None)
}

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn show(&self) -> String {
        format!("{}{}exit {}", self.stdout, self.stderr, self.code)
    }
}

fn swath_with_input(args: &[&str], input: Option<&str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command
        .args(args)
        .env_clear()
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A program that needs no more input closes the pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().expect("ends");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const TWO: &str =
    "SELECT * FROM (VALUES (1, 'x', NULL), (20, 'a,\"b\"', '')) t(n, text, more) ORDER BY n";

#[test]
fn every_format_writes_every_row() {
    let format = |name: &str| swath(&["--format", name, TWO]).stdout;
    insta::assert_snapshot!(format("csv"), @r#"
    n,text,more
    1,x,
    20,"a,""b""",""
    "#);
    insta::assert_snapshot!(format("tsv"), @r#"
    n	text	more
    1	x	
    20	"a,""b"""	""
    "#);
    insta::assert_snapshot!(format("json"), @r#"[{"n":1,"text":"x","more":null},{"n":20,"text":"a,\"b\"","more":""}]"#);
    insta::assert_snapshot!(format("jsonl"), @r#"
    {"n":1,"text":"x","more":null}
    {"n":20,"text":"a,\"b\"","more":""}
    "#);
    insta::assert_snapshot!(format("markdown"), @r#"
    | n | text | more |
    | ---: | --- | --- |
    | 1 | x | NULL |
    | 20 | a,"b" |  |
    "#);
    insta::assert_snapshot!(format("line"), @r#"
       n = 1
    text = x
    more = NULL

       n = 20
    text = a,"b"
    more =
    "#);
    insta::assert_snapshot!(format("table"), @r#"
          n │ text    │ more
     bigint │ varchar │ varchar
    ────────┼─────────┼─────────
          1 │ x       │ NULL
         20 │ a,"b"   │
    2 rows
    "#);
    insta::assert_snapshot!(format("box"), @r#"
    ┌────────┬─────────┬─────────┐
    │      n │ text    │ more    │
    │ bigint │ varchar │ varchar │
    ├────────┼─────────┼─────────┤
    │      1 │ x       │ NULL    │
    │     20 │ a,"b"   │         │
    └────────┴─────────┴─────────┘
    2 rows
    "#);
}

#[test]
fn a_hundred_thousand_rows_are_all_written() {
    let run = swath(&["--format", "csv", "SELECT value FROM generate_series(1, 100000) t(value)"]);
    assert_eq!(run.stdout.lines().count(), 100_001);
}

#[test]
fn long_tables_show_both_ends() {
    let run = swath(&[
        "--max-rows",
        "4",
        "SELECT value FROM generate_series(1, 1000) t(value) ORDER BY 1",
    ]);
    insta::assert_snapshot!(run.show(), @"
      value
     bigint
    ────────
          1
          2
          ·
        999
       1000
    1,000 rows (4 shown)
    exit 0
    ");
}

#[test]
fn exit_codes_say_whose_turn_it_is() {
    let code = |args: &[&str]| swath(args).code;
    assert_eq!(code(&["SELECT 1"]), 0);
    assert_eq!(code(&["SELECT nothing"]), 1);
    assert_eq!(code(&["SELEC"]), 1);
    assert_eq!(code(&["--nothing"]), 2);
    assert_eq!(code(&["--format", "xls", "SELECT 1"]), 2);
    assert_eq!(code(&["-P", "novalue", "SELECT 1"]), 2);
    assert_eq!(code(&["SELECT * FROM 'testdata/nothing'"]), 3);
    assert_eq!(code(&["SELECT * FROM 'testdata/traps/ragged.csv'"]), 3);
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) t(v) WHERE v % 7 = 8";
    assert_eq!(code(&["--timeout", "50ms", endless]), 4);
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["check", "testdata/sales"]), 0);
    assert_eq!(code(&["check", "testdata/sales", "testdata/traps/ragged.csv"]), 3);
    assert_eq!(code(&["check", "testdata/nothing"]), 3);
    assert_eq!(code(&["check", "testdata/sales", "-c", "SELECT 1"]), 0);
}

#[test]
fn errors_have_a_place_and_a_hint() {
    let error = |sql: &str| swath(&[sql]).show();
    insta::assert_snapshot!(error("SELECT * FROM 'testdata/traps/ragged.csv'"), @"
    error: row has 2 fields, the header has 3
     --> testdata/traps/ragged.csv:2:1
      |
    2 | 1,2
      | ^
    hint: to fill short rows with NULL: read_csv('testdata/traps/ragged.csv', ragged => 'pad')
    exit 3
    ");
    insta::assert_snapshot!(error("SELECT amout FROM 'testdata/traps/case.csv'"), @"
    error: no column named `amout`
     --> statement:1:8
      |
    1 | SELECT amout FROM 'testdata/traps/case.csv'
      |        ^^^^^
    hint: did you mean `Amount`?
    exit 1
    ");
    insta::assert_snapshot!(error("SELECT 1 +\n  FROM"), @"
    error: no column named `from`
     --> statement:2:3
      |
    2 |   FROM
      |   ^^^^
    exit 1
    ");
    insta::assert_snapshot!(error("SELECT * FROM 'testdata/trap/case.csv'"), @r#"
    error: no file matches "testdata/trap/case.csv"
      --> testdata/trap/case.csv
    hint: did you mean 'testdata/traps'?
    exit 3
    "#);
    insta::assert_snapshot!(
        error("SELECT v FROM read_csv('testdata/traps/widen/c.csv', types => {'v': 'BIGINT'})"),
        @r#"
    error: cannot read `v` as BIGINT: found "n/k"
     --> testdata/traps/widen/c.csv:2:3
      |
    2 | 3,n/k
      |   ^^^
    hint: to read it as text: read_csv('testdata/traps/widen/c.csv', types => {'v': 'VARCHAR'})
    exit 3
    "#
    );
}

#[test]
fn statements_come_from_arguments_files_and_pipes() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("two.sql");
    std::fs::write(&file, "SELECT 2 AS two; -- done;\nSELECT 'a;b' AS three").expect("write");
    let run = swath(&["--format", "csv", "SELECT 1 AS one", "-f", &file.display().to_string()]);
    assert_eq!(run.stdout, "one\n1\ntwo\n2\nthree\na;b\n");
    let run = swath_with_input(&["--format", "csv"], Some("SELECT 4 AS four;"));
    assert_eq!(run.stdout, "four\n4\n");
}

#[test]
fn data_comes_from_a_pipe_once() {
    let sql = "SELECT id, sum(value) AS total FROM stdin GROUP BY id ORDER BY id";
    let input = std::fs::read_to_string("queries/seeds/pairs.csv").expect("the seed");
    let run = swath_with_input(&["--format", "csv", sql], Some(&input));
    assert_eq!(run.stdout, "id,total\n1,18\n2,22\n3,15\n");
    let run = swath_with_input(&["SELECT * FROM stdin a, stdin b"], Some(&input));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("read only once"), "{}", run.stderr);
    let run =
        swath_with_input(&["--format", "csv", "SELECT * FROM stdin LIMIT 1"], Some("{\"b\":1}\n"));
    assert_eq!(run.stdout, "b\n1\n");
}

#[test]
fn an_output_file_is_whole_or_as_it_was() {
    let dir = tempfile::tempdir().expect("dir");
    for name in ["out.csv", "out.parquet", "out.jsonl", "out.arrow", "out.csv.gz", "out.tsv.zst"] {
        let path = dir.path().join(name);
        let path_text = path.display().to_string();
        let run =
            swath(&["-o", &path_text, "SELECT value AS n FROM generate_series(1, 1000) t(value)"]);
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
        let sum = format!("SELECT count(*) AS c, sum(n) AS s FROM '{path_text}'");
        assert_eq!(swath(&["--format", "csv", &sum]).stdout, "c,s\n1000,500500\n", "{name}");
        let before = std::fs::read(&path).expect("read");
        let late = "SELECT 1 / (value - 900000) AS n FROM generate_series(1, 1000000) t(value)";
        let run = swath(&["-o", &path_text, late]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(std::fs::read(&path).expect("read") == before, "{name} is as it was");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("list").collect();
    assert_eq!(left.len(), 6, "nothing else is left behind");
    assert_eq!(swath(&["-o", "result.unknown", "SELECT 1"]).code, 2);
    assert!(!Path::new("result.unknown").exists());
}

#[test]
fn parameters_and_notes_for_programs() {
    let run = swath(&[
        "--format",
        "csv",
        "-P",
        "day=2024-01-02",
        "-P",
        "n=1",
        "SELECT n FROM 'testdata/hive/days' WHERE day > $day AND n = $n",
    ]);
    assert_eq!(run.stdout, "n\n1\n");
    let run = swath(&["--notes", "json", "--format", "csv", "SELECT * FROM 'testdata/hive/mixed'"]);
    let notes: serde_json::Value = serde_json::from_str(&run.stderr).expect("JSON");
    assert_eq!(notes["notes"][0]["kind"], "layout");
    assert_eq!((&notes["files_total"], &notes["rows_read"]), (&2.into(), &2.into()));
    let run = swath(&["--notes", "json", "SELECT * FROM 'testdata/nothing'"]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).expect("JSON");
    assert_eq!(error["place"], "testdata/nothing");
}

#[test]
fn the_timer_times_each_statement() {
    let run = swath(&["--timer", "--format", "csv", "SELECT 1", "SELECT 2"]);
    let times: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("Time: ")).collect();
    assert_eq!(times.len(), 2, "{}", run.stderr);
    assert!(times.iter().all(|time| time.ends_with(" s")), "{times:?}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_swath"))
        .args(["--format", "csv", "SELECT value FROM generate_series(1, 100000000) t(value)"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // Reads a little, then goes away.
    let mut start = [0; 100];
    let mut stdout = child.stdout.take().expect("a pipe");
    std::io::Read::read_exact(&mut stdout, &mut start).expect("some rows");
    drop(stdout);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A statement may begin with a comment, and a flag's statement may span lines.
#[test]
fn statements_of_several_lines_are_told_from_flags() {
    let csv = |statement: &str| swath(&["--format", "csv", statement]).show();
    insta::assert_snapshot!(csv("-- all = of it\nSELECT 1 AS a"), @r"
    a
    1
    exit 0
    ");
    insta::assert_snapshot!(csv("--command=SELECT 1 AS a,\n2 AS b"), @r"
    a,b
    1,2
    exit 0
    ");
}

/// Options of reading may be flags, for all files at once.
#[test]
fn flags_say_how_csv_is_written() {
    let european = "SELECT sum(price) AS total FROM 'testdata/traps/european.csv'";
    let flags =
        ["--format", "csv", "--csv-delim", ";", "--csv-decimal", ",", "--csv-thousands", "."];
    insta::assert_snapshot!(swath(&[&flags[..], &[european]].concat()).show(), @r"
    total
    1334.4
    exit 0
    ");
    insta::assert_snapshot!(swath(&["--csv-header", "maybe", "SELECT 1"]).show(), @r#"
    error: --csv-header: option header must be true or false, found "maybe"
    exit 2
    "#);
}

#[test]
fn verbs_stand_for_statements() {
    let dir = tempfile::tempdir().expect("dir");
    let out = dir.path().join("sales.parquet").display().to_string();
    let run = swath(&["convert", "testdata/sales", &out]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = swath(&["--format", "csv", "head", &out]);
    assert_eq!(run.stdout.lines().count(), 11, "{}", run.stdout);
    let run = swath(&["--format", "csv", "schema", "testdata/traps/zeros.csv"]);
    assert_eq!(run.stdout, "column_name,column_type\nid,VARCHAR\nn,BIGINT\n");
    let run = swath(&["--format", "jsonl", "files", &out]);
    assert!(run.stdout.contains("\"rows\":173"), "{}", run.stdout);
    let run = swath(&["sniff", "testdata/traps/zeros.csv"]);
    assert!(run.stdout.contains("call = read_csv("), "{}", run.stdout);
    let run = swath(&["summarize", "testdata/sales"]);
    assert!(run.stdout.contains("distribution"), "{}", run.stdout);
    for (words, code) in
        [(&["schema"][..], 2), (&["convert", "a.csv"], 2), (&["completions", "x"], 2)]
    {
        let run = swath(words);
        assert_eq!(run.code, code, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("hint:"), "{words:?}: {}", run.stderr);
    }
    assert!(swath(&["completions", "bash"]).stdout.contains("--max-scan-bytes"));
    assert!(swath(&["man"]).stdout.contains(".TH swath"));
}

#[test]
fn an_answer_can_be_a_picture() {
    let dir = tempfile::tempdir().expect("dir");
    let sql = "SELECT region, sum(amount) AS total FROM 'testdata/sales' GROUP BY region";
    for (name, start) in
        [("a.svg", "<svg"), ("a.png", "\u{fffd}PNG"), ("a.html", "<!doctype html>")]
    {
        let path = dir.path().join(name);
        let run = swath(&["-o", &path.display().to_string(), sql]);
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
        let bytes = std::fs::read(&path).expect("drawn");
        assert!(String::from_utf8_lossy(&bytes).starts_with(start), "{name}");
    }
    let path = dir.path().join("none.svg").display().to_string();
    let run = swath(&["-o", &path, "SELECT 'a' AS x"]);
    assert!(run.code == 2 && run.stderr.contains("no column of numbers"), "{}", run.stderr);
    assert!(!dir.path().join("none.svg").exists());
}

#[test]
fn scans_have_a_limit() {
    let sql = "SELECT sum(amount) FROM 'testdata/sales'";
    let run = swath(&["--max-scan-bytes", "1kB", sql]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("would read 6.68 kB in 8 files"), "{}", run.stderr);
    let pruned = format!("{sql} WHERE region = 'east' AND year = 2024");
    assert_eq!(swath(&["--max-scan-bytes", "1kB", &pruned]).code, 0);
    assert_eq!(swath(&["--max-scan-bytes", "1kB", &format!("EXPLAIN {sql}")]).code, 0);
    assert_eq!(swath(&["--max-scan-bytes", "lots", sql]).code, 2);
}
