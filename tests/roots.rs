use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use swath::{Engine, ErrorKind};

/// A folder that statements may touch, and one beside it that they may not.
struct Yard {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        for folder in ["in/year=1", "in/deep", "out/year=1", "inner"] {
            fs::create_dir_all(path(folder)).expect("made");
        }
        for (file, text) in [
            ("in/a.csv", "id\n1\n"),
            ("in/deep/b.csv", "id\n2\n"),
            ("in/year=1/c.csv", "id\n3\n"),
            ("out/secret.csv", "id\n4711\n"),
            ("out/year=1/secret.csv", "id\n4711\n"),
            ("inner/secret.csv", "id\n4711\n"),
        ] {
            fs::write(path(file), text).expect("written");
        }
        symlink(path("out"), path("in/leads_out")).expect("linked");
        symlink("../out/secret.csv", path("in/file_out.csv")).expect("linked");
        symlink("../out/new", path("in/new_out")).expect("linked");
        symlink("/", path("in/everything")).expect("linked");
        symlink(path("in/deep"), path("in/leads_in")).expect("linked");
        let roots = [path("in")];
        let engine = Engine::builder().home(path("out")).roots(&roots).expect("folders");
        Yard { engine: engine.build().expect("an engine"), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// All files below a folder with their contents, links not followed.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            found.push((path, Vec::new()));
        } else if path.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(snapshot(&path));
        } else {
            found.push((path.clone(), fs::read(&path).expect("reads")));
        }
    }
    found.sort();
    found
}

/// Ways to name what lies outside.
fn strays(yard: &Yard) -> Vec<String> {
    let inside = yard.path("in").display().to_string();
    let outside = yard.path("out").display().to_string();
    let mut paths = vec![
        "/etc/passwd".into(),
        "/proc/self/environ".into(),
        "/proc/self/root/etc/passwd".into(),
        "/dev/null".into(),
        "/etc/pass*".into(),
        "/e*/passwd".into(),
        "/**/passwd".into(),
        "file:///etc/passwd".into(),
        "~/secret.csv".into(),
        "~".into(),
        "../../../../../../etc/passwd".into(),
        "Cargo.toml".into(),
        "testdata/sales".into(),
        ".".into(),
    ];
    for end in [
        "/../out/secret.csv",
        "/deep/../../out/secret.csv",
        "/./../out/*.csv",
        "/../o*/secret.csv",
        "/../out",
        "/..",
        "/leads_out/secret.csv",
        "/leads_out/*.csv",
        "/leads_out",
        "/leads_out/../inner/secret.csv",
        "/leads_*/secret.csv",
        "/file_out.csv",
        "/everything/etc/passwd",
        "/everything/etc/pass*",
        "/new_out/x.csv",
        "/{a.csv,../out/secret.csv}",
        "/../inner/secret.csv",
        "ner/secret.csv",
        "//..//out//secret.csv",
    ] {
        paths.push(format!("{inside}{end}"));
    }
    for end in ["", "/", "/secret.csv", "/*.csv", "/**", "/year=1", "/nothing.csv"] {
        paths.push(format!("{outside}{end}"));
        paths.push(format!("file://{outside}{end}"));
        paths.push(format!("file://localhost{outside}{end}"));
    }
    paths
}

#[test]
fn no_statement_leaves_the_roots() {
    let yard = Yard::new();
    let before = snapshot(&yard.path("out"));
    let mut tried = 0;
    let mut refuse = |sql: String| {
        tried += 1;
        match yard.engine.query(&sql) {
            Ok(answer) => panic!("{sql} gave {answer}"),
            Err(error) => {
                let shown = error.to_string();
                assert!(!shown.contains("4711") && !shown.contains("root:"), "{sql}: {shown}");
                assert_ne!(error.kind(), ErrorKind::Internal, "{sql}: {shown}");
            }
        }
    };
    for path in strays(&yard) {
        for read in [
            "FROM '{}'",
            "SELECT count(*) FROM read_csv('{}')",
            "FROM read_csv(['{in}/a.csv', '{}'])",
            "FROM read_parquet('{}')",
            "FROM check('{}')",
            "FROM sniff('{}')",
            "FROM rejects('{}')",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'; FROM t",
            "CREATE VIEW v AS FROM '{}'; FROM v",
            "SUMMARIZE '{}'",
            "SELECT (SELECT max(id) FROM '{}')",
            "EXPLAIN FROM '{}'",
        ] {
            let sql = read.replace("{in}", &yard.path("in").display().to_string());
            refuse(sql.replace("{}", &path));
        }
        if path.contains(['*', '{']) {
            continue;
        }
        for write in [
            "COPY (SELECT 1 AS id) TO '{}' (FORMAT csv)",
            "COPY (SELECT 1 AS id, 2 AS k) TO '{}' (FORMAT csv, PARTITION_BY (k), OVERWRITE)",
            "INSERT INTO '{}' SELECT 1 AS id",
        ] {
            // A scheme is no path for COPY: it would be a folder of that name here.
            if !path.starts_with("file:") {
                refuse(write.replace("{}", &path));
            }
        }
    }
    assert!(tried > 150, "{tried}");
    assert_eq!(snapshot(&yard.path("out")), before);
    assert!(!yard.path("out/new").exists());
}

#[test]
fn within_the_roots_all_is_as_ever_and_links_out_are_counted() {
    let yard = Yard::new();
    let inside = yard.path("in").display().to_string();
    // The folder that a link leads to counts twice.
    for (sql, expected) in [
        (format!("SELECT count(*), max(id) FROM '{inside}'"), "4 │ 3"),
        (format!("SELECT count(*), max(id) FROM '{inside}/*.csv'"), "1 │ 1"),
        (format!("SELECT count(*), max(id) FROM '{inside}/**/*.csv'"), "4 │ 3"),
        (format!("SELECT count(*), max(id) FROM '{inside}/leads_in'"), "1 │ 2"),
        (format!("SELECT count(*), max(id) FROM '{inside}/deep/../deep/b.csv'"), "1 │ 2"),
    ] {
        let shown = yard.engine.query(&sql).expect("inside").to_string();
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(expected), "{sql}: {shown}");
    }
    let copy = format!("COPY (SELECT 5 AS id) TO '{inside}/deep/new.csv'");
    yard.engine.query(&copy).expect("inside");
    assert_eq!(fs::read_to_string(yard.path("in/deep/new.csv")).expect("written"), "id\n5\n");
}
