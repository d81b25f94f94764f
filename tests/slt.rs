use std::path::{Path, PathBuf};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use swath::{Engine, EngineBuilder, Session};

/// One setting under which every file must give the same answers.
type Setting = (&'static str, fn(EngineBuilder) -> EngineBuilder);

const SETTINGS: [Setting; 7] = [
    ("defaults", |builder| builder),
    ("one thread", |builder| builder.threads(1)),
    ("16 tasks", |builder| builder.threads(16)),
    ("plain plans", |builder| builder.plain_plans(true)),
    ("7-row batches", |builder| builder.batch_rows(7).threads(3)),
    ("a cluster", |builder| builder.cluster(super::cluster::address()).expect("an address")),
    (FROM_A_STORE, super::objects::with_store),
];

/// The setting in which the files of statements lie in an object store.
const FROM_A_STORE: &str = "files in a store";

struct Database {
    session: Session,
    from_a_store: bool,
}

/// An error as people see it.
#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl DB for Database {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        const HERE: &str = "'testdata/";
        const THERE: &str = "s3://test/";
        let writes = sql.contains("COPY") || sql.contains("INSERT");
        let from_a_store = self.from_a_store && !writes;
        let answer = match from_a_store {
            true => self.session.query(&sql.replace(HERE, &format!("'{THERE}testdata/"))),
            false => self.session.query(sql),
        };
        let as_here = |text: String| if from_a_store { text.replace(THERE, "") } else { text };
        let answer = answer.map_err(|error| Failed(as_here(error.to_string())))?;
        if answer.kind() == swath::AnswerKind::Done {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = vec![DefaultColumnType::Any; answer.schema().fields().len()];
        let rows = rows(&answer).into_iter();
        let rows = rows.map(|row| row.into_iter().map(as_here).collect()).collect();
        Ok(DBOutput::Rows { types, rows })
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
            async move { Ok(Database { session, from_a_store: name == FROM_A_STORE }) }
        });
        runner.with_column_validator(|_, _| true);
        // `skipif a_cluster` says what Ballista cannot run yet.
        runner.add_label(&name.replace(' ', "_"));
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

#[test]
fn from_a_store() {
    check(6);
}
