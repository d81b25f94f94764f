use std::collections::BTreeSet;

use swath::{Engine, Handle, Params, Session};

use crate::slt::rows;

fn session(is_plain: bool, threads: usize) -> Session {
    let builder = Engine::builder().threads(threads).plain_plans(is_plain);
    builder.build().expect("opens").default_session().clone()
}

/// The rows of an answer as sorted lines.
fn lines(session: &Session, sql: &str) -> Vec<String> {
    let answer = session.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut lines: Vec<String> = rows(&answer).iter().map(|row| row.join("|")).collect();
    lines.sort();
    lines
}

/// Four tables of Parquet: keys with NULLs, duplicates and gaps, long texts, rows in two files each.
fn tables(dir: &std::path::Path) {
    let engine = Engine::open().expect("opens");
    let make = |name: &str, sql: &str| {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder).expect("made");
        for part in 0..2 {
            let target = folder.join(format!("{part}.parquet"));
            let sql = sql.replace("{part}", &part.to_string());
            engine.query(&format!("COPY ({sql}) TO '{}'", target.display())).expect("written");
        }
    };
    make(
        "facts",
        "SELECT value AS id, CASE WHEN value % 11 > 0 THEN value % 500 END AS a, value % 7 AS b,
             CAST(value % 1000 AS DOUBLE) / 8 AS x, repeat(md5(CAST(value AS VARCHAR)), 4) AS text
         FROM range({part} * 60000, ({part} + 1) * 60000)",
    );
    make(
        "small",
        "SELECT CASE WHEN value % 9 > 0 THEN value * 3 END AS a, value % 5 AS c, 'name ' || value AS name
         FROM range({part} * 60, ({part} + 1) * 60)",
    );
    make("tiny", "SELECT value AS b, value % 5 AS c FROM range({part} * 3, ({part} + 1) * 3)");
    make(
        "middle",
        "SELECT value % 400 AS a, value % 3 AS c, value AS n
         FROM range({part} * 2000, ({part} + 1) * 2000)",
    );
}

const QUESTIONS: &[&str] = &[
    // Filters of all shares, on a column, beside it, and on none.
    "SELECT id, text FROM facts WHERE id = 77777",
    "SELECT count(*), min(text), max(id) FROM facts WHERE b = 3",
    "SELECT text, x FROM facts WHERE a = 17 AND b < 2",
    "SELECT count(text) FROM facts WHERE a IS NULL AND text LIKE '%abc%'",
    "SELECT count(text) FROM facts WHERE id >= 30000 OR b = 1",
    "SELECT id, text FROM facts ORDER BY x DESC, id LIMIT 5",
    // Filters that a join sets while it runs.
    "SELECT name, count(*), min(text) FROM facts JOIN small ON facts.a = small.a GROUP BY name",
    "SELECT count(*), sum(id) FROM facts WHERE a IN (SELECT a FROM small WHERE c = 1)",
    "SELECT count(*), sum(id) FROM facts WHERE a NOT IN (SELECT a FROM small WHERE a IS NOT NULL)",
    "SELECT count(*) FROM facts WHERE a NOT IN (SELECT a FROM small)",
    "SELECT count(*), max(text) FROM facts WHERE EXISTS
         (SELECT 1 FROM middle WHERE middle.a = facts.a AND middle.n > facts.id)",
    "SELECT count(*), max(text) FROM facts WHERE NOT EXISTS
         (SELECT 1 FROM middle WHERE middle.a = facts.a AND middle.n > facts.id + 3000)",
    // Orders of joins: chains, stars, classes of equal columns, conditions of more than one table.
    "SELECT count(*), sum(facts.id), min(name) FROM facts, small, tiny, middle
         WHERE facts.a = small.a AND facts.b = tiny.b AND middle.a = facts.a AND middle.c = tiny.c",
    "SELECT count(*), sum(n) FROM middle, small, facts
         WHERE middle.a = small.a AND small.a = facts.a AND facts.b + tiny_c() = 4",
    "SELECT count(*), sum(n) FROM tiny, middle, small
         WHERE tiny.c = middle.c AND middle.c = small.c AND tiny.b = small.c",
    "SELECT count(*), sum(n) FROM small, middle, tiny WHERE small.a + 1 = middle.a AND tiny.b = small.c + 1",
    "SELECT count(*), sum(id) FROM facts, small, tiny
         WHERE facts.a = small.a AND (small.c + tiny.b = 5 OR facts.b = tiny.b) AND tiny.c = small.c",
    "SELECT count(*) FROM small AS one, small AS other, middle
         WHERE one.c = other.c AND one.a = middle.a AND other.a = middle.n",
    "SELECT count(*), sum(total) FROM (SELECT a, sum(id) AS total FROM facts GROUP BY a HAVING sum(id) > 1000) AS sums,
         small, middle WHERE sums.a = small.a AND middle.a = small.a",
    "SELECT small.name, count(*) FROM small LEFT JOIN facts ON small.a = facts.a
         JOIN middle ON middle.n = small.c AND middle.a IN (SELECT b FROM tiny) GROUP BY small.name",
    "SELECT count(*), sum(facts.id) FROM facts, middle, tiny
         WHERE facts.a = middle.a AND facts.b = tiny.b
         AND facts.id IN (SELECT max(id) FROM facts GROUP BY a)
         AND NOT EXISTS (SELECT 1 FROM small WHERE small.a = middle.n)",
    "SELECT count(*), sum(facts.id) FROM facts, middle, small WHERE facts.a = middle.a AND middle.a = small.a
         AND facts.id + middle.n > (SELECT avg(n) * 30 FROM middle)",
    "SELECT count(*) FROM small AS s1, small AS s2, small AS s3, small AS s4, tiny AS t1, tiny AS t2, middle AS m1,
         middle AS m2, tiny AS t3, tiny AS t4
         WHERE s1.a = s2.a AND s2.a = s3.a AND s3.a = s4.a AND s1.c = t1.c AND t1.b = t2.b AND m1.n = s4.a
         AND m2.n = m1.n AND t3.c = t2.c AND t4.b = t3.b AND s2.c IN (SELECT c FROM middle)",
    // Aggregates that are used more than once.
    "WITH sums AS (SELECT a, sum(id) AS total FROM facts GROUP BY a)
         SELECT a, total FROM sums WHERE total = (SELECT max(total) FROM sums)",
    "WITH sums AS (SELECT a, b, count(*) AS n FROM facts WHERE b < 6 GROUP BY a, b)
         SELECT one.a, one.n, other.n FROM sums AS one JOIN sums AS other ON one.a = other.a AND one.b = other.b + 1
         WHERE one.n > other.n",
    "WITH sums AS (SELECT a, count(*) AS n FROM facts GROUP BY a)
         SELECT 'least', min(n), NULL FROM sums UNION ALL SELECT 'most', max(n), max(a) FROM sums
         UNION ALL SELECT 'twice', count(*), sum(a) FROM sums WHERE n IN (SELECT n + 1 FROM sums)",
    "WITH means AS (SELECT c, avg(n) AS mean FROM middle GROUP BY c), all_of AS (SELECT avg(mean) AS mean FROM means)
         SELECT c, means.mean - all_of.mean, (SELECT max(mean) FROM means) FROM means, all_of
         WHERE all_of.mean <= (SELECT max(mean) FROM means)",
    // The first rows of groups: few, many, and as many as there are.
    "SELECT a, x, n FROM (SELECT a, x, row_number() OVER (PARTITION BY a ORDER BY x DESC) AS n FROM facts) WHERE n <= 3",
    "SELECT a, id, text FROM (SELECT *, row_number() OVER (PARTITION BY a, b ORDER BY id) AS n FROM facts) WHERE n = 2",
    "SELECT count(*), sum(id) FROM (SELECT id, row_number() OVER (PARTITION BY id ORDER BY x) AS n FROM facts) WHERE n < 2",
    "SELECT name, x FROM (SELECT name, x, row_number() OVER (PARTITION BY name ORDER BY x) AS n
         FROM facts JOIN small ON facts.a = small.a) WHERE n <= 1 AND x > 2",
    // Groups by keys of every kind and width, with NULL, -0.0 and NaN, few and many, long texts and short.
    "SELECT a, b, count(*), sum(id), min(text), avg(x) FROM facts GROUP BY a, b",
    "SELECT text, count(*), max(id) FROM facts GROUP BY text",
    "SELECT left(text, 2) AS t, count(*), count(a), sum(a) FROM facts GROUP BY t",
    "SELECT CASE WHEN id % 3 > 0 THEN left(text, 14) END AS t, a, count(*) FROM facts GROUP BY t, a",
    "SELECT id, a, b, x, text, count(*), sum(id) FROM facts GROUP BY ALL",
    "SELECT id, a, b, x, id + 1 AS d, id * 2 AS e, count(*) FROM facts GROUP BY ALL",
    "SELECT id * 1.5 AS d, count(*), sum(x) FROM facts GROUP BY d",
    "SELECT CASE WHEN a > 9 THEN id % 99 * -1.25 END AS d, b, count(*) FROM facts GROUP BY d, b",
    "SELECT CASE b WHEN 0 THEN -0.0 WHEN 1 THEN 0.0 WHEN 2 THEN 'NaN' WHEN 3 THEN NULL ELSE x END::DOUBLE AS d,
         count(*) FROM facts GROUP BY d",
    "SELECT a > 100 AS f, b = 2 AS g, CAST(b AS TINYINT) AS h, CAST(a AS SMALLINT) AS i, count(*), sum(id)
         FROM facts GROUP BY f, g, h, i",
    "SELECT DATE '2024-01-01' + CAST(a AS INTEGER) AS day, count(*) FILTER (WHERE b > 3), sum(x) FILTER (WHERE a < 0),
         sum(id) FILTER (WHERE b = a % 7) FROM facts GROUP BY day",
    "SELECT TIMESTAMP '2024-01-01' + CAST(b || ' hours' AS INTERVAL) AS hour, interval_of(b), count(*) FROM facts GROUP BY 1, 2",
    "SELECT b, count(DISTINCT a), count(DISTINCT text), approx_distinct(id), median(x), round(stddev(id), 6), round(corr(id, x), 9),
         bool_or(a > 3), bit_xor(id) FROM facts GROUP BY b",
    "SELECT DISTINCT a, left(text, 1) FROM facts",
    "SELECT n, count(*) FROM (SELECT a, b, x, count(*) AS n FROM facts GROUP BY a, b, x) GROUP BY n",
    "SELECT a, sum(CAST(id AS DECIMAL(38, 0)) * 10000000000000), sum(-id * 10000000000)
         FROM facts GROUP BY a",
    // What comes out of groups meets rows that were exchanged otherwise.
    "SELECT count(*), sum(n), sum(facts.id) FROM (SELECT id, text, count(*) AS n FROM facts GROUP BY id, text) AS sums
         JOIN facts ON sums.id = facts.id AND sums.text = facts.text",
    "SELECT count(*), sum(n), sum(m) FROM (SELECT text, count(*) AS n FROM facts GROUP BY text) AS sums
         FULL JOIN (SELECT DISTINCT text, id AS m FROM facts WHERE b > 1) AS others ON sums.text = others.text",
    "SELECT count(*), sum(n), sum(m) FROM (SELECT text, id, count(*) AS n FROM facts GROUP BY text, id) AS one
         JOIN (SELECT id, text, sum(b) AS m FROM facts GROUP BY id, text) AS other ON one.text = other.text AND one.id = other.id",
    "SELECT count(*), sum(n), sum(m), sum(x) FROM (SELECT id, x, count(*) AS n FROM facts GROUP BY id, x) AS one
         JOIN (SELECT x, count(*) AS m FROM facts GROUP BY x) AS other USING (x)",
    "SELECT count(*), sum(n) FROM (SELECT id, sum(n) AS n FROM (SELECT id, count(*) AS n FROM facts GROUP BY id
         UNION ALL SELECT id, count(*) FROM facts GROUP BY id UNION ALL SELECT middle.n AS id, 1 FROM middle) GROUP BY id)",
    "SELECT count(*), sum(n) FROM (SELECT id, sum(n) AS n FROM (SELECT id, count(*) AS n FROM facts GROUP BY id UNION ALL
         SELECT id, r FROM (SELECT id, row_number() OVER (PARTITION BY id ORDER BY b) AS r FROM facts) WHERE r < 10)
         GROUP BY id)",
    "SELECT count(*), sum(n), max(r) FROM (SELECT id, n, row_number() OVER (PARTITION BY id ORDER BY n) AS r FROM
         (SELECT id, text, count(*) AS n FROM facts GROUP BY id, text UNION ALL SELECT middle.n AS id, 'none' AS text, 2 AS n FROM middle))",
    "SELECT grouping(a), grouping(b), a, b, count(*) FROM facts GROUP BY ROLLUP (a, b)",
    "WITH RECURSIVE steps(n, total) AS (SELECT 1, 0 UNION ALL
         SELECT n + 1, (SELECT max(c) FROM (SELECT b, count(*) AS c FROM tiny GROUP BY b)) + total FROM steps WHERE n < 5)
         SELECT n, max(total) FROM steps GROUP BY n",
    // Sums of a column and numbers.
    "SELECT sum(small_b(b) + 1), sum(small_b(b) + 2), sum(small_b(b) - 3), sum(4 + small_b(b)), sum(small_b(b) * 2)
         FROM facts",
    "SELECT a, sum(small_b(b) + 1), sum(small_b(b) + 100), sum(small_b(a) - 7), sum(small_b(a) - 8) FROM facts GROUP BY a",
];

/// What only makes statements faster changes no answer.
#[test]
fn plans_of_ours_and_plain_ones_answer_alike() {
    let dir = tempfile::tempdir().expect("a folder");
    tables(dir.path());
    let sessions: Vec<Session> = [(true, 2), (false, 1), (false, 2), (false, 17)]
        .map(|(plain, threads)| session(plain, threads))
        .into();
    for session in &sessions {
        for table in ["facts", "small", "tiny", "middle"] {
            let folder = dir.path().join(table).display().to_string();
            session.register(table, &folder).expect("registered");
        }
        session.query("CREATE MACRO tiny_c() AS 3").expect("made");
        session
            .query("CREATE MACRO interval_of(v) AS CAST(v || ' months' AS INTERVAL)")
            .expect("made");
        session.query("CREATE MACRO small_b(v) AS CAST(v AS INTEGER)").expect("made");
    }
    let mut answers = BTreeSet::new();
    for sql in QUESTIONS {
        let plain = lines(&sessions[0], sql);
        answers.insert(plain.clone());
        for tuned in &sessions[1..] {
            assert_eq!(lines(tuned, sql), plain, "{sql}");
        }
    }
    // Questions without rows would tell nothing.
    assert!(answers.len() > QUESTIONS.len() - 3, "{} different answers", answers.len());
}

/// The rules do what they are there for.
#[test]
fn small_inputs_are_joined_first_and_sums_are_shared() {
    let dir = tempfile::tempdir().expect("a folder");
    tables(dir.path());
    let (tuned, plain) = (session(false, 2), session(true, 2));
    let path = |table: &str| dir.path().join(table).display().to_string();
    let plan = |session: &Session, sql: &str| {
        let answer = session.query(&format!("EXPLAIN {sql}")).expect("a plan");
        rows(&answer).concat().concat()
    };
    // As written, the large tables come first; the small one with a filter is best joined first.
    let joins = format!(
        "SELECT count(*) FROM '{}' AS f, '{}' AS m, '{}' AS s WHERE f.a = m.a AND m.a = s.a AND s.c = 1",
        path("facts"),
        path("middle"),
        path("small")
    );
    let (joined, as_written) = (plan(&tuned, &joins), plan(&plain, &joins));
    assert!(joined.rfind(" kB") < joined.find(" MB"), "{joined}");
    // The second join is the build side of the first, and not beside a scan.
    let are_small_first =
        |plan: &str| !plan.split("Hash join").nth(1).expect("two joins").contains("Scan");
    assert!(are_small_first(&joined), "{joined}");
    assert!(!are_small_first(&as_written), "{as_written}");
    let twice = format!(
        "WITH sums AS (SELECT a, sum(id) AS total FROM '{}' GROUP BY a)
         SELECT a FROM sums WHERE total = (SELECT max(total) FROM sums)",
        path("facts")
    );
    let once = plan(&tuned, &twice);
    assert_eq!(once.matches("Shared 1, computed once").count(), 2, "{once}");
    assert_eq!(once.matches("Scan parquet").count(), 1, "{once}");
    assert_eq!(plan(&plain, &twice).matches("Scan parquet").count(), 2);
    let sums = (0..9).map(|add| format!("sum(CAST(b AS INTEGER) + {add})")).collect::<Vec<_>>();
    let sums = plan(&tuned, &format!("SELECT {} FROM '{}'", sums.join(", "), path("facts")));
    assert!(sums.contains("count("), "{sums}");
}

/// Questions whose rows are known before their columns are read.
const TOPS: &[&str] = &[
    "SELECT * FROM wide ORDER BY id DESC LIMIT 7",
    "SELECT text, x, k FROM wide WHERE b = 3 AND a IS NOT NULL ORDER BY x DESC NULLS LAST, id LIMIT 20 OFFSET 5",
    "SELECT upper(text) AS t, id + 1, k FROM wide ORDER BY a NULLS FIRST, id DESC LIMIT 100",
    "SELECT id, text FROM (SELECT * FROM wide ORDER BY a % 17, id LIMIT 50) WHERE text LIKE '%ab%'",
    "SELECT one.text, tiny.c FROM (SELECT * FROM wide ORDER BY x, id DESC LIMIT 9) AS one JOIN tiny ON one.b = tiny.b
         ORDER BY one.id, tiny.c",
    "SELECT * FROM wide WHERE text LIKE '%0000%' ORDER BY id LIMIT 256",
    "SELECT * FROM wide WHERE id < 0 ORDER BY id LIMIT 3",
    "SELECT * RENAME (text AS b2, x AS text) FROM (SELECT * EXCLUDE (a), a * 2 AS a FROM wide) ORDER BY k DESC, a DESC, id LIMIT 11",
    "SELECT x, -x AS y, * FROM wide WHERE isnan(x) OR x > 60 ORDER BY x DESC, id LIMIT 30",
    "SELECT * FROM wide ORDER BY text LIMIT 4",
    "SELECT w.* FROM wide AS w WHERE id IN (SELECT n * 31 FROM middle WHERE c = 1) ORDER BY id DESC LIMIT 12",
    "SELECT text, id FROM wide WHERE k = 1 ORDER BY id LIMIT 5",
];

/// A top-n over wide files gives the same rows, in the same order, where it reads columns late.
#[test]
fn columns_of_the_first_rows_come_late() {
    let dir = tempfile::tempdir().expect("a folder");
    tables(dir.path());
    let wide = dir.path().join("wide").display().to_string();
    let engine = Engine::open().expect("opens");
    let facts = dir.path().join("facts").display().to_string();
    // Many row groups; files of which each is one of a partition.
    let make = format!(
        "COPY (SELECT * REPLACE (CASE WHEN id % 501 = 0 THEN 'NaN'::DOUBLE ELSE x END AS x), id % 3 AS k
         FROM '{facts}') TO '{wide}' (FORMAT parquet, PARTITION_BY (k), ROW_GROUP_SIZE 5000)"
    );
    engine.query(&make).expect("written");
    for threads in [1, 2, 17] {
        let (tuned, plain) = (session(false, threads), session(true, threads));
        for session in [&tuned, &plain] {
            for table in ["wide", "tiny", "middle"] {
                let folder = dir.path().join(table).display().to_string();
                session.register(table, &folder).expect("registered");
            }
        }
        let mut late_count = 0;
        for sql in TOPS {
            let answer = |session: &Session, sql: &str| {
                rows(&session.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}")))
            };
            assert_eq!(answer(&tuned, sql), answer(&plain, sql), "{sql}");
            let plan = answer(&tuned, &format!("EXPLAIN {sql}")).concat().concat();
            late_count += usize::from(plan.contains("Columns of the rows that are left"));
        }
        // Not where a text decides, and it is most of a row; nor above a join.
        assert_eq!(late_count, 8);
    }
}

/// Groups that outgrow the memory half-way go on by way of the disk, whatever their keys.
#[test]
fn groups_that_outgrow_the_memory_are_the_same_groups() {
    let dir = tempfile::tempdir().expect("a folder");
    tables(dir.path());
    let facts = dir.path().join("facts").display().to_string();
    let open = |threads: usize, memory: &str| {
        let builder = Engine::builder().threads(threads).memory(memory).expect("a size");
        builder.build().expect("opens").default_session().clone()
    };
    let plain = session(true, 2);
    let mut spilled = 0;
    for (keys, values) in [
        ("id", "count(*) AS n, sum(x) AS s, min(text) AS t"),
        ("text", "count(*) AS n, sum(id) AS s, max(b) AS t"),
        ("id, text, a", "count(a) AS n, sum(id) AS s, max(b) AS t"),
    ] {
        let sql = format!(
            "SELECT count(*), sum(n), sum(s), min(t), max(t) FROM
                 (SELECT {keys}, {values} FROM '{facts}' GROUP BY {keys})"
        );
        let expected = lines(&plain, &sql);
        for (threads, memory) in
            [(1, "16MB"), (2, "24MB"), (2, "32MB"), (2, "48MB"), (3, "24MB"), (2, "2GB")]
        {
            let handle = Handle::default();
            let answer = open(threads, memory)
                .query_stream(&sql, &Params::new(), &handle)
                .and_then(swath::AnswerStream::collect_all)
                .unwrap_or_else(|error| panic!("{memory}, {keys}: {error}"));
            let found: Vec<String> = rows(&answer).iter().map(|row| row.join("|")).collect();
            assert_eq!(found, expected, "{memory}, {keys}");
            spilled += u64::from(handle.progress().expect("it had a plan").spilled_bytes > 0);
        }
    }
    assert!(spilled > 5, "{spilled} statements needed the disk");
}

/// What files say of their bounds, and what one aggregate needs no more, hides no row from another.
#[test]
fn rows_are_left_out_only_where_nothing_needs_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let sessions: Vec<Session> =
        [(true, 1), (false, 1), (false, 3)].map(|(plain, threads)| session(plain, threads)).into();
    let files = [
        "SELECT 10.0::T AS x, 1 AS a, 1 AS b, 'ab' AS s",
        "SELECT * FROM (VALUES (5.0::T, 1, 1, 'c'), ('NaN'::T, 1, 1, 'c')) AS t(x, a, b, s)",
        "SELECT -1.0::T AS x, -9 AS a, 1 AS b, 'Abc' AS s",
        "SELECT 4.0::T AS x, 5 AS a, 3 AS b, 'z' AS s",
    ];
    for (data_type, place) in [("DOUBLE", "double"), ("REAL", "real")] {
        let folder = dir.path().join(place);
        std::fs::create_dir_all(&folder).expect("made");
        for (number, rows) in files.iter().enumerate() {
            let rows = rows.replace("::T", &format!("::{data_type}"));
            let file = folder.join(format!("{number}.parquet"));
            sessions[0].query(&format!("COPY ({rows}) TO '{}'", file.display())).expect("written");
        }
        let t = format!("'{}'", folder.display());
        for (sql, expected) in [
            // NaN is greater than every other number, and no writer tells that there is one.
            ("SELECT x FROM t WHERE s = 'c'", "5.0 NaN"),
            ("SELECT count(*) FROM t WHERE x > 6", "2"),
            ("SELECT count(*) FROM t WHERE x >= 'NaN'::DOUBLE", "1"),
            ("SELECT count(*) FROM t WHERE x <> 5", "4"),
            ("SELECT count(*) FROM t WHERE x NOT IN (5, 10)", "3"),
            ("SELECT count(*) FROM t WHERE NOT x < 6", "2"),
            ("SELECT count(*) FROM t WHERE x < 6", "3"),
            ("SELECT max(x), min(x) FROM t", "NaN|-1.0"),
            ("SELECT max(x) FROM t WHERE b = 1", "NaN"),
            ("SELECT x FROM t ORDER BY x DESC LIMIT 2", "10.0 NaN"),
            ("SELECT x FROM t ORDER BY x LIMIT 2", "-1.0 4.0"),
            ("SELECT count(*) FROM t JOIN (VALUES ('NaN'::DOUBLE), (4)) AS v(y) ON x = y", "2"),
            // (DataFusion 55 leaves out the rows that least and greatest values of columns do not need.)
            ("SELECT max(abs(a)), min(b) FROM t", "9|1"),
            ("SELECT min(trim(s)), max(b) FROM t", "Abc|3"),
            ("SELECT max(abs(a)) FILTER (WHERE b < 3), min(b), max(b) FROM t WHERE a < 5", "9|1|1"),
            (
                "SELECT (SELECT max(a + 0) FROM t HAVING min(b) > 0), (SELECT max(b * b) FROM t)",
                "5|9",
            ),
            ("SELECT max(a), min(b), max(s), min(s) FROM t", "5|1|z|Abc"),
        ] {
            let sql = sql.replace("FROM t", &format!("FROM {t} AS t"));
            for session in &sessions {
                assert_eq!(lines(session, &sql).join(" "), expected, "{sql}");
            }
        }
    }
}

/// Files with NaN of both signs and another payload, as computations on different machines leave them.
fn odd_nans(folder: &std::path::Path, is_parquet: bool, is_double: bool) {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch};
    use datafusion::arrow::ipc::writer::FileWriter;
    use datafusion::parquet::arrow::ArrowWriter;

    let odd = f64::from_bits(0xfff8_0000_0000_0007);
    std::fs::create_dir_all(folder).expect("made");
    for (number, values) in
        [[1.0, -f64::NAN, f64::INFINITY], [f64::NAN, odd, 2.0]].iter().enumerate()
    {
        let array: ArrayRef = match is_double {
            true => Arc::new(Float64Array::from(values.to_vec())),
            false => Arc::new(values.iter().map(|x| Some(*x as f32)).collect::<Float32Array>()),
        };
        let batch = RecordBatch::try_from_iter([("x", array)]).expect("a batch");
        let file = std::fs::File::create(folder.join(number.to_string())).expect("made");
        if is_parquet {
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("opens");
            writer.write(&batch).expect("written");
            writer.close().expect("written");
        } else {
            let mut writer = FileWriter::try_new(file, &batch.schema()).expect("opens");
            writer.write(&batch).expect("written");
            writer.finish().expect("written");
        }
    }
}

#[test]
fn nan_is_one_value_whatever_its_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    for (is_parquet, is_double) in [(true, true), (true, false), (false, true), (false, false)] {
        let folder = dir.path().join(format!("{is_parquet}-{is_double}"));
        odd_nans(&folder, is_parquet, is_double);
        let t = format!("'{}'", folder.display());
        for (is_plain, threads) in [(true, 1), (false, 1), (false, 3)] {
            let session = session(is_plain, threads);
            session
                .query(
                    "CREATE VIEW z AS SELECT * FROM (VALUES (-0.0::DOUBLE, 1), (5e0, 7)) v(x, k)",
                )
                .expect("a view");
            for (sql, expected) in [
                ("SELECT x, count(*) FROM t GROUP BY x", "1.0|1 2.0|1 NaN|3 inf|1"),
                ("SELECT count(DISTINCT x), max(x), min(x), mode(x) FROM t", "4|NaN|1.0|NaN"),
                ("SELECT count(*) FROM (SELECT DISTINCT x FROM t)", "4"),
                (
                    "SELECT x > 6 AS k, max(x), min(x) FROM t GROUP BY k",
                    "false|2.0|1.0 true|NaN|inf",
                ),
                (
                    "SELECT x, max(-x), min(x) FROM t WHERE x > 6 GROUP BY x",
                    "NaN|NaN|NaN inf|-inf|inf",
                ),
                ("SELECT count(*) FROM t WHERE x < 6", "2"),
                ("SELECT count(*) FROM t WHERE x <= 2.0 OR x = 7", "2"),
                ("SELECT count(*) FROM t WHERE NOT x < 6", "4"),
                ("SELECT count(*) FROM t WHERE 6 < x AND 1 < x", "4"),
                ("SELECT count(*) FROM t WHERE x = 'NaN'::DOUBLE", "3"),
                ("SELECT count(*) FROM t WHERE x NOT IN (1, 2)", "4"),
                ("SELECT x FROM t ORDER BY x DESC LIMIT 4", "NaN NaN NaN inf"),
                ("SELECT x FROM t ORDER BY x LIMIT 2", "1.0 2.0"),
                ("SELECT count(*) FROM t JOIN t AS u ON t.x = u.x", "12"),
                ("SELECT x < 6, count(*) FROM t GROUP BY ALL", "false|4 true|2"),
                ("SELECT DISTINCT sum(x) OVER (PARTITION BY x) FROM t", "1.0 2.0 NaN inf"),
                // Zeros of both signs as one of several keys.
                ("SELECT count(*) FROM t JOIN z ON t.x - 1 = z.x AND t.x = z.k", "1"),
                ("SELECT nullif(x, 'nan'::DOUBLE) FROM t WHERE x > 6", "NULL NULL NULL inf"),
                // What is computed: inf - inf has a sign on some machines.
                ("SELECT x - x AS d, count(*) FROM t GROUP BY d", "0.0|2 NaN|4"),
                ("SELECT count(*) FROM t WHERE x * 0 > 5", "4"),
                ("SELECT max(-x), min(-x) FROM t", "NaN|-inf"),
                ("SELECT count(*) FROM t WHERE CASE WHEN x > 2 THEN acos(x) ELSE x END > 6", "4"),
                ("SELECT x FROM t ORDER BY -x LIMIT 1", "inf"),
                ("SELECT sum(x - x) > 5, avg(x - x) > 5, sum(x) > 5 FROM t", "true|true|true"),
                ("SELECT count(*) FROM t GROUP BY x / x", "2 4"),
                (
                    "SELECT '-nan'::DOUBLE < 6, acos(2) < 6, 'inf'::DOUBLE - 'inf'::DOUBLE < 6",
                    "false|false|false",
                ),
            ] {
                let asked = sql.replace("FROM t", &format!("FROM {t} AS t"));
                let asked = asked.replace("JOIN t ", &format!("JOIN {t} "));
                assert_eq!(lines(&session, &asked).join(" "), expected, "{asked}");
            }
        }
    }
}
