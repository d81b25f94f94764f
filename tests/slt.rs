use std::path::{Path, PathBuf};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use swath::{Engine, EngineBuilder, Session};

/// One setting under which every file must give the same answers.
type Setting = (&'static str, fn(EngineBuilder) -> EngineBuilder);

const SETTINGS: [Setting; 6] = [
    ("defaults", |builder| builder),
    ("one thread", |builder| builder.threads(1)),
    ("16 tasks", |builder| builder.threads(16)),
    ("plain plans", |builder| builder.plain_plans(true)),
    ("7-row batches", |builder| builder.batch_rows(7).threads(3)),
    ("a cluster", |builder| builder.cluster(super::cluster::address()).expect("an address")),
];

struct Database(Session);

impl DB for Database {
    type Error = swath::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, swath::Error> {
        let answer = self.0.query(sql)?;
        if answer.kind() == swath::AnswerKind::Done {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = vec![DefaultColumnType::Any; answer.schema().fields().len()];
        Ok(DBOutput::Rows { types, rows: rows(&answer) })
    }

    fn engine_name(&self) -> &str {
        "swath"
    }
}

/// The rows as text, as the CSV format shows them but with NULL spelled out.
pub(crate) fn rows(answer: &swath::Answer) -> Vec<Vec<String>> {
    use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let mut rows = Vec::new();
    for batch in answer.batches() {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable type"))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    rows
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of SQL files") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn check(setting: usize) {
    let (name, set) = SETTINGS[setting];
    let files = files(Path::new("testdata/slt"));
    assert!(files.len() >= 5, "the SQL files are there");
    let mut wrong = Vec::new();
    for file in files {
        let engine = set(Engine::builder()).build().expect("an engine");
        let mut runner = Runner::new(|| {
            let session = engine.session();
            async move { Ok(Database(session)) }
        });
        runner.with_column_validator(|_, _| true);
        if let Err(error) = runner.run_file(&file) {
            wrong.push(format!("{name}: {}", error.display(false)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn defaults() {
    check(0);
}

#[test]
fn one_thread() {
    check(1);
}

#[test]
fn many_tasks() {
    check(2);
}

#[test]
fn plain_plans() {
    check(3);
}

#[test]
fn small_batches() {
    check(4);
}

#[test]
fn on_a_cluster() {
    check(5);
}
