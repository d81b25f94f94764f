use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use swath::{Engine, ErrorKind, Handle, NoteKind, Param, Params, params};

use crate::slt::rows;

#[test]
fn an_answer_prints_as_a_table_and_carries_its_notes() {
    let engine = Engine::open().expect("opens");
    let answer = engine
        .query(
            "SELECT region, sum(amount) AS total FROM 'testdata/sales' GROUP BY ALL ORDER BY total",
        )
        .expect("answers");
    insta::assert_snapshot!(answer, @r"
     region  │         total
     varchar │ decimal(20,2)
    ─────────┼───────────────
     east    │       9117.05
     west    │       9636.56
     north   │      10359.94
     south   │      11969.78
    4 rows
    ");
    let answer = engine.query("SELECT * FROM 'testdata/traps/duplicates'").expect("answers");
    assert_eq!(answer.notes().len(), 1);
    assert_eq!(answer.notes()[0].kind, NoteKind::Duplicate);
}

#[test]
fn notes_say_what_was_guessed() {
    let engine = Engine::open().expect("opens");
    let mut all = Vec::new();
    for path in
        ["extra", "widen", "latin1.csv", "preamble.csv", "duplicate.csv", "dates.csv", "na.csv"]
    {
        let answer = engine.query(&format!("SELECT * FROM 'testdata/traps/{path}'")).expect(path);
        all.extend(answer.notes().iter().map(|note| format!("{}: {note}", note.kind.name())));
    }
    let answer = engine.query("SELECT * FROM 'testdata/hive/mixed'").expect("mixed");
    all.extend(answer.notes().iter().map(|note| format!("{}: {note}", note.kind.name())));
    insta::assert_snapshot!(all.join("\n"), @"
    missing_column: `c` missing in 1 of 2 files: NULL there
    widened: `v` is BIGINT in testdata/traps/widen/a.csv and DOUBLE in testdata/traps/widen/b.csv: read as VARCHAR
    encoding: testdata/traps/latin1.csv: read as windows-1252, a guess
    dialect: testdata/traps/preamble.csv: 2 lines before the header skipped
    renamed: testdata/traps/duplicate.csv: column 2 is a second `a`, read as `a_1`
    date_order: `d3` holds dates, but day and month could be either way: read as text; name the order with dateformat => '%d/%m/%Y'
    null_word: `NA` and the like read as NULL in `x`: 1 time, first at testdata/traps/na.csv
    layout: 1 of 2 files lie outside the partition folders year=: NULL there, first testdata/hive/mixed/root.csv
    ");
}

#[test]
fn parameters_are_bound_and_not_pasted() {
    let engine = Engine::open().expect("opens");
    let params = params! { "text" => "x' OR '1'='1", "least" => 2_i64, "day" => "2024-01-02" };
    let sql = "SELECT count(*) AS n FROM 'testdata/hive/days' WHERE day >= $day AND n >= $least";
    let answer = engine.query_with(sql, &params).expect("answers");
    assert!(answer.to_string().contains("\n      1\n"), "{answer}");
    let answer = engine.query_with("SELECT 1 WHERE 'a' = $text", &params).expect("answers");
    assert_eq!(answer.row_count(), 0);
    assert_eq!(Param::parse("007"), Param::Text("007".into()));
    assert_eq!(Param::parse("-7"), Param::Integer(-7));
    assert_eq!(Param::parse("0.10"), Param::Number("0.10".into()));
}

#[test]
fn it_works_inside_a_runtime_and_without_one() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let engine = Engine::open().expect("opens");
        assert_eq!(engine.query("SELECT 1").expect("blocking").row_count(), 1);
        assert_eq!(engine.query_async("SELECT 1").await.expect("async").row_count(), 1);
        let mut stream = engine.query_stream_async("SELECT 1").await.expect("stream");
        assert_eq!(
            stream.next_batch().await.expect("batch").map(|batch| batch.num_rows()),
            Some(1)
        );
        assert!(stream.next_batch().await.expect("end").is_none());
    });
}

#[test]
fn batches_and_locations_become_tables() {
    let engine = Engine::open().expect("opens");
    let session = engine.session();
    let schema = Arc::new(Schema::new(vec![Field::new("Id", DataType::Int64, false)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))]);
    session.register_batches("ids", vec![batch.expect("a batch")]).expect("registers");
    session.register("zeros", "testdata/traps/zeros.csv").expect("registers");
    let answer = session
        .query("SELECT z.id FROM ids JOIN zeros z ON z.n = ids.Id ORDER BY 1")
        .expect("answers");
    assert_eq!(answer.row_count(), 2);
    assert_eq!(session.table_names(), ["ids", "zeros"]);
    assert!(engine.query("SELECT * FROM ids").is_err(), "sessions are apart");
}

#[test]
fn a_group_key_that_is_a_partition_key_is_not_exchanged() {
    let engine = Engine::builder().threads(2).build().expect("opens");
    let explain = |sql: &str| engine.query(&format!("EXPLAIN {sql}")).expect("plans").to_string();
    let by_key = explain("SELECT region, count(*) FROM 'testdata/sales' GROUP BY region");
    assert!(!by_key.contains("Exchange"), "{by_key}");
    assert!(by_key.contains("in one phase"), "{by_key}");
    let by_value = explain("SELECT product, count(*) FROM 'testdata/sales' GROUP BY product");
    assert!(by_value.contains("Exchange: hash(product) into 2 tasks"), "{by_value}");
    let pruned = explain("SELECT count(product) FROM 'testdata/sales' WHERE region = 'east'");
    assert!(pruned.contains("2 of 8 files"), "{pruned}");
}

/// EXPLAIN STAGES draws where the plan is cut; measured, what each stage did; JSON tells the same.
#[test]
fn stages_are_drawn_measured_and_told() {
    let engine = Engine::builder().threads(2).build().expect("opens");
    let sql = "SELECT l_returnflag, sum(l_quantity) AS q FROM 'testdata/tpch/lineitem.csv' \
               WHERE l_quantity > 10 GROUP BY l_returnflag ORDER BY q";
    let show = |view: &str| engine.query(&format!("{view} {sql}")).expect("plans").to_string();
    insta::assert_snapshot!(show("EXPLAIN STAGES"), @r"
    Stage 1: 1 task, about 5,578 rows
      Scan csv: 1 of 1 files, 714 kB in 1 tasks; columns l_quantity, l_returnflag; filter l_quantity > 10
      exchange: dealt into 2 tasks
    Stage 2: 2 tasks, about 5,578 rows
      stage 1 -> Filter: l_quantity > 10 -> Aggregate (partial): sum(lineitem.l_quantity) by l_returnflag
      exchange: hash(l_returnflag) into 2 tasks
    Stage 3: 2 tasks, about 5,578 rows
      stage 2 -> Aggregate (final): sum(lineitem.l_quantity) by l_returnflag -> Sort: sum(lineitem.l_quantity) ASC NULLS LAST -> Project: l_returnflag, q
      exchange: merged into 1 task by q ASC NULLS LAST
    Stage 4: 1 task, about 5,578 rows
      stage 3
      the answer
    ");
    let measured = show("EXPLAIN ANALYZE");
    assert!(measured.contains("[6,005 rows]"), "{measured}");
    assert!(measured.contains("Stage 4: 1 task  [3 rows"), "{measured}");
    let told: serde_json::Value =
        serde_json::from_str(&show("EXPLAIN (FORMAT json)")).expect("JSON");
    assert_eq!(told["stages"][1]["exchange"]["keys"][0], "l_returnflag");
    assert_eq!(told["stages"][0]["scans"][0]["columns"][0], "l_quantity");
    assert_eq!(told["stages"][3]["inputs"][0], 3);
}

#[test]
fn a_handle_tells_how_far_a_statement_has_come() {
    let engine = Engine::builder().threads(2).build().expect("opens");
    let handle = swath::Handle::default();
    assert_eq!(handle.progress(), None);
    let sql = "SELECT l_returnflag, count(*) FROM 'testdata/tpch/lineitem.csv' GROUP BY ALL";
    let stream = engine.default_session().query_stream(sql, &params! {}, &handle);
    stream.and_then(swath::AnswerStream::collect_all).expect("answers");
    let progress = handle.progress().expect("it had a plan");
    assert_eq!(progress.rows_read, 6005);
    // All but the header.
    assert!(progress.share().is_some_and(|share| share > 0.999), "{progress:?}");
    assert_eq!(progress.stages_done, progress.stage_count, "{progress:?}");
    assert_eq!(progress.tasks_done, progress.task_count, "{progress:?}");
}

/// Columns are called what the user wrote, whatever stands for it.
#[test]
fn headers_are_as_written() {
    let engine = Engine::open().expect("opens");
    let sql = "SELECT year(d), max(n, 2), n // 2, ('x').upper(), n + 1, (n + 1) * 2 \
         FROM (VALUES (DATE '2024-01-01', 5)) t(d, n) GROUP BY d, n";
    let answer = engine.query(sql).expect("answers");
    let schema = answer.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["year(d)", "max(n, 2)", "n // 2", "('x').upper()", "n + 1", "(n + 1) * 2"]);
    // Of what is united the first SELECT names the columns.
    let sql = "SELECT sum(n), n FROM (SELECT 1 AS n) t GROUP BY n UNION ALL SELECT 2, 3 EXCEPT SELECT 4, 5";
    let answer = engine.query(sql).expect("answers");
    let schema = answer.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["sum(n)", "n"]);
}

/// A join of many tables, which takes the optimizer very long.
fn many_joins(count: usize) -> String {
    let joined =
        (1..count).map(|at| format!(" JOIN (SELECT 1 AS k) AS j{at} ON j{at}.k = j{}.k", at - 1));
    format!("SELECT count(*) FROM (SELECT 1 AS k) AS j0{}", joined.collect::<String>())
}

#[test]
fn planning_is_bounded_and_can_be_interrupted() {
    let engine = Engine::builder().threads(1).build().expect("an engine");
    let session = engine.session();
    session.query("SET swath.planning_limit = '200ms'").expect("a setting");
    let error = session.query(&many_joins(400)).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("planning_limit"), "{error}");
    assert_eq!(session.query("SELECT 1").expect("the session goes on").row_count(), 1);
    session.query("SET swath.planning_limit = '1h'").expect("a setting");
    let handle = Handle::default();
    let canceller = handle.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            canceller.cancel();
        });
        let params = Params::new();
        let error = session.query_stream(&many_joins(400), &params, &handle).expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    });
}

/// 400 days of one file each, in which only the file of one day, far from any sample, differs.
fn many_days(folder: &Path) -> String {
    for day in 0..400 {
        let folder = folder.join(format!("day={day:03}"));
        std::fs::create_dir_all(&folder).expect("made");
        let text = match day {
            203 => "id,value,extra\n1,none,x\n",
            _ => "id,value\n1,2\n2,3\n",
        };
        std::fs::write(folder.join("part.csv"), text).expect("written");
    }
    folder.display().to_string()
}

#[test]
fn files_that_their_paths_rule_out_are_not_looked_at() {
    let dir = tempfile::tempdir().expect("dir");
    let days = many_days(dir.path());
    let engine = Engine::builder().threads(2).build().expect("opens");
    let shown = |sql: &str| {
        let answer = engine.query(&sql.replace("DAYS", &days)).expect("runs");
        let notes: Vec<String> = answer.notes().iter().map(ToString::to_string).collect();
        (rows(&answer), notes.join("; "))
    };
    let sampled = "columns and types are those of";
    let narrow = "SELECT sum(value) AS s, count(*) AS n FROM 'DAYS' WHERE day BETWEEN 100 AND 109";
    let before = shown(narrow);
    assert_eq!(before.0, [["50", "20"]]);
    assert!(before.1.contains(sampled) && !before.1.contains("`value`"), "{}", before.1);
    // What is read is looked at, wherever it lies, and a function of the path's column prunes too.
    for filter in ["day = 203", "day IN (203)", "day % 400 = 203", "filename LIKE '%day=203%'"] {
        let (cells, notes) = shown(&format!("SELECT * EXCLUDE (day) FROM 'DAYS' WHERE {filter}"));
        assert_eq!(cells, [["1", "none", "x"]], "{filter}");
        assert!(notes.contains(sampled), "{notes}");
    }
    // What a sample does not know is looked for in all files; so is what the path says nothing of.
    let (cells, notes) = shown("SELECT value, extra FROM 'DAYS' WHERE day = 203");
    assert_eq!((cells, notes.contains(sampled)), (vec![vec!["none".into(), "x".into()]], false));
    let (cells, _) = shown("SELECT count(extra) AS n FROM 'DAYS' WHERE day < 100");
    assert_eq!(cells, [["0"]]);
    let (cells, notes) = shown("SELECT max(value) AS v FROM 'DAYS' WHERE id = 1");
    assert_eq!(cells, [["none"]]);
    assert!(notes.contains("`extra` missing in 399 of 400 files"), "{notes}");
    // Two scans of one location want different files; an aggregate over paths wants all.
    let both = "SELECT a.value, b.value AS other FROM 'DAYS' AS a JOIN 'DAYS' AS b ON a.id = b.id
                WHERE a.day = 203 AND b.day = 207";
    assert_eq!(shown(both).0, [["none", "2"]]);
    assert_eq!(shown("SELECT max(day) AS d FROM 'DAYS'").0, [["399"]]);
    // A name that the sample lacks is not taken for one of the query around, nor is it no key at all.
    for sql in [
        "SELECT o.extra FROM (SELECT 'q' AS extra) o WHERE EXISTS
         (SELECT 1 FROM 'DAYS' WHERE day = 103 AND extra = 'q')",
        "SELECT * FROM (SELECT 'q' AS extra, 1 AS id) a NATURAL JOIN (SELECT * FROM 'DAYS' WHERE day = 103) b",
    ] {
        assert!(shown(sql).0.is_empty(), "{sql}");
    }
    assert_eq!(shown("DESCRIBE SELECT * FROM 'DAYS' WHERE day = 203").0.len(), 4);
    let session = engine.session();
    let prepare = format!("PREPARE p AS SELECT value FROM '{days}' WHERE day = $1; EXECUTE p(203)");
    assert_eq!(rows(&session.query(&prepare).expect("runs")), [["none"]]);
    let prepare = format!("PREPARE q AS SELECT filename FROM '{days}' WHERE day = 203; EXECUTE q");
    assert!(rows(&session.query(&prepare).expect("runs"))[0][0].ends_with("day=203/part.csv"));
    // What is known by now changes no answer.
    assert_eq!(shown(narrow), before);
    let error = engine.query(&format!("SELECT nope FROM '{days}' WHERE day = 1"));
    let error = error.expect_err("no such column").to_string();
    assert!(error.contains("nope") && error.contains("extra"), "{error}");
}
