"""Asks swath, DuckDB and SQLite the same generated questions, and swath the same question in two ways.

    python3 fuzz/differ.py --swath PROGRAM [--count 10000] [--seed 1] [--nan]      (needs duckdb, pyarrow)

Rows are compared as multisets, numbers to nine digits. Of three answers two must agree, and swath must
be one of them; an error is no answer, and is counted where others have one. With --nan, columns of
doubles hold NaN of both signs and infinities, which SQLite does not know. After Rigger and Su:
by TLP (ternary logic partitioning, OOPSLA 2020) the rows of a query are those where a predicate holds,
does not hold, and is NULL; by NoREC (ESEC/FSE 2020) as many rows pass a filter as a sum over it says.
"""

import argparse
import collections
import concurrent.futures
import math
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import zlib

import pyarrow

TABLES = {
    "t": {"a": "int", "b": "int", "c": "text", "d": "real"},
    "u": {"a": "int", "e": "text", "f": "int"},
    "v": {"b": "int", "g": "text", "h": "real"},
}
# How a question is run: as it comes, or with every exchange, small batches and more tasks than rows.
WAYS = [
    [],
    ["--threads", "2"],
    [
        "--threads",
        "7",
        "-c",
        "SET datafusion.optimizer.hash_join_single_partition_threshold = 0;"
        "SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0;"
        "SET datafusion.execution.batch_size = 3;",
    ],
]
FILES_PER_TABLE = 3
TYPES = {"int": "BIGINT", "text": "VARCHAR", "real": "DOUBLE"}


# So many questions are one script; one that fails ends it, and the rest is asked again.
ASKED_AT_ONCE = 100
# How questions end whose answers have an order.
SORTED = " NULLS LAST"
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def make_rows(rng, has_nan):
    odd = [math.nan, -math.nan, math.inf, -math.inf, -0.0] if has_nan else []
    texts = ["a", "b", "ab", "Abc", "", "x y", "%", "a_b", "é", None]
    values = {
        "int": lambda: rng.choice([None, 0, 1, 2, 3, -1, -7, 10, 99]),
        "text": lambda: rng.choice(texts),
        "real": lambda: rng.choice([None, 0.0, 0.5, -1.25, 3.0, 1e3, 0.1] + odd),
    }
    sizes = {"t": 40, "u": 15, "v": 7}
    return {
        table: [tuple(values[kind]() for kind in columns.values()) for _ in range(sizes[table])]
        for table, columns in TABLES.items()
    }


class Generator:
    """Well-typed queries over the tables."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *options):
        return self.rng.choice(options)()

    def literal(self, kind):
        choices = {
            "int": ["0", "1", "2", "-1", "3", "10", "NULL"],
            "text": ["'a'", "'ab'", "''", "'b'", "'x y'", "NULL"],
            "real": ["0.5", "1.5", "-1.25", "3.0", "0.0"],
        }[kind]
        text = self.rng.choice(choices)
        return f"CAST(NULL AS {TYPES[kind]})" if text == "NULL" else text

    def column(self, kind, scope):
        names = [f"{alias}.{name}" for alias, columns in scope for name, found in columns.items() if found == kind]
        return self.rng.choice(names) if names else self.literal(kind)

    def value(self, kind, scope, depth):
        leaf = [lambda: self.column(kind, scope)] * 3 + [lambda: self.literal(kind)]
        if depth <= 0:
            return self.pick(*leaf)
        sub = lambda kind: self.value(kind, scope, depth - 1)
        case = lambda: (
            f"CASE WHEN {self.condition(scope, depth - 1)} THEN {sub(kind)} ELSE {sub(kind)} END"
        )
        common = [
            case,
            lambda: f"coalesce({sub(kind)}, {sub(kind)})",
            lambda: f"nullif({sub(kind)}, {sub(kind)})",
        ]
        own = {
            "int": [
                lambda: f"({sub('int')} {self.rng.choice('+-*')} {sub('int')})",
                lambda: f"abs({sub('int')})",
                lambda: f"length({sub('text')})",
                lambda: f"({sub('int')} % 7)",
                lambda: f"CAST(({sub('int')}) AS BIGINT)",
            ],
            "text": [
                lambda: f"({sub('text')} || {sub('text')})",
                lambda: f"lower({self.literal('text')})",
                lambda: f"substr({sub('text')}, 1, 2)",
                lambda: f"replace({sub('text')}, 'a', 'z')",
                lambda: f"trim({sub('text')})",
            ],
            "real": [
                lambda: f"({sub('real')} {self.rng.choice('+-*')} {sub('real')})",
                lambda: f"abs({sub('real')})",
            ],
        }[kind]
        return self.pick(*leaf, *common, *own, *own)

    def condition(self, scope, depth):
        kind = self.rng.choice(list(TYPES))
        value = lambda: self.value(kind, scope, depth - 1)
        compare = lambda: f"{value()} {self.rng.choice(['=', '<>', '<', '<=', '>', '>='])} {value()}"
        simple = [
            compare,
            compare,
            lambda: f"{value()} IS {self.rng.choice(['', 'NOT '])}NULL",
            lambda: f"{value()} {self.rng.choice(['', 'NOT '])}BETWEEN {value()} AND {value()}",
            lambda: f"{value()} {self.rng.choice(['', 'NOT '])}IN ({', '.join(self.literal(kind) for _ in range(3))})",
            lambda: f"{self.value('text', scope, depth - 1)} {self.rng.choice(['', 'NOT '])}LIKE {self.rng.choice(['%', 'a%', '%b', '_', '%y%', 'ab'])!r}",
        ]
        if depth <= 0:
            return f"({self.pick(*simple)})"
        sub = lambda: self.condition(scope, depth - 1)
        nested = [
            lambda: f"{sub()} AND {sub()}",
            lambda: f"{sub()} OR {sub()}",
            lambda: f"NOT {sub()}",
            lambda: f"{self.subquery_condition(scope)}",
        ]
        return f"({self.pick(*simple, *nested)})"

    def subquery_condition(self, scope):
        table = self.rng.choice(list(TABLES))
        inner = [(f"s{self.rng.randrange(1000)}", TABLES[table])]
        alias = inner[0][0]
        where = self.condition(inner, 1)
        kind = self.rng.choice(["int", "text"])
        inside, outside = self.column(kind, inner), self.column(kind, scope)
        correlated = f"{where} AND {inside} = {outside}"
        return self.pick(
            lambda: f"{self.rng.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {correlated})",
            lambda: f"{outside} IN (SELECT {inside} FROM {table} AS {alias} WHERE {where})",
            lambda: f"{outside} > (SELECT min({inside}) FROM {table} AS {alias} WHERE {where})",
        )

    def subquery_value(self, scope):
        """A number from rows that are chosen by any condition on columns inside and outside."""
        table = self.rng.choice(list(TABLES))
        inner = [(f"s{self.rng.randrange(1000)}", TABLES[table])]
        kind = self.rng.choice(["int", "text"])
        inside, outside = self.column(kind, inner), self.column(kind, scope)
        where = f"{inside} {self.rng.choice(['=', '<', '>=', '<>'])} {outside}"
        if self.rng.random() < 0.5:
            where += f" AND {self.condition(inner + scope[:1], 0)}"
        value = self.column("int", inner)
        item = self.pick(
            lambda: "count(*)",
            lambda: f"sum({value})",
            lambda: f"max({value}) + count({self.column('text', inner)})",
            lambda: f"coalesce(min({value}), {self.column('int', scope)})",
        )
        return f"(SELECT {item} FROM {table} AS {inner[0][0]} WHERE {where})"

    def source(self):
        names = self.rng.sample(list(TABLES), self.rng.choice([1, 1, 2, 2, 3]))
        scope, text = [], ""
        for index, table in enumerate(names):
            alias = f"{table}{index}"
            entry = (alias, TABLES[table])
            if index == 0:
                text = f"{table} AS {alias}"
            else:
                join = self.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
                on = ""
                if join != "CROSS JOIN":
                    kind = self.rng.choice(["int", "text"])
                    on = f" ON {self.column(kind, scope)} = {self.column(kind, [entry])}"
                    if self.rng.random() < 0.2 and join in ("JOIN", "LEFT JOIN"):
                        on += f" AND {self.condition(scope + [entry], 0)}"
                text += f" {join} {table} AS {alias}{on}"
            scope.append(entry)
        return text, scope

    def aggregate(self, scope):
        kind = self.rng.choice(["int", "real"])
        inner = self.value(kind, scope, 1)
        distinct = self.rng.choice(["", "", "DISTINCT "])
        return self.pick(
            lambda: "count(*)",
            lambda: f"count({distinct}{inner})",
            lambda: f"sum({inner})",
            lambda: f"min({self.value('text', scope, 1)})",
            lambda: f"max({inner})",
            lambda: f"avg({inner})",
            lambda: f"sum({inner}) FILTER (WHERE {self.condition(scope, 1)})",
        )

    def plain(self):
        text, scope = self.source()
        where = f" WHERE {self.condition(scope, 2)}" if self.rng.random() < 0.7 else ""
        kinds = [self.rng.choice(list(TYPES)) for _ in range(self.rng.randint(1, 3))]
        items = [self.value(kind, scope, 2) for kind in kinds]
        distinct = self.rng.choice(["", "", "DISTINCT "])
        order = self.order(len(items)) if self.rng.random() < 0.3 else ""
        return f"SELECT {distinct}{', '.join(items)} FROM {text}{where}{order}"

    def order(self, width):
        """By all columns, so that one order is right."""
        directions = (self.rng.choice(["", " DESC"]) for _ in range(width))
        keys = (f"{column}{direction}{SORTED}" for column, direction in enumerate(directions, 1))
        return f" ORDER BY {', '.join(keys)}"

    def grouped(self):
        text, scope = self.source()
        where = f" WHERE {self.condition(scope, 1)}" if self.rng.random() < 0.5 else ""
        keys = [self.column(self.rng.choice(["int", "text"]), scope) for _ in range(self.rng.randint(0, 2))]
        keys = [key for key in keys if "." in key]
        items = keys + [self.aggregate(scope) for _ in range(self.rng.randint(1, 3))]
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        having = f" HAVING {self.aggregate(scope)} IS NOT NULL" if keys and self.rng.random() < 0.3 else ""
        order = self.order(len(items)) if keys and self.rng.random() < 0.3 else ""
        return f"SELECT {', '.join(items)} FROM {text}{where}{group}{having}{order}"

    def together(self):
        kind = self.rng.choice(list(TYPES))
        parts = []
        for _ in range(2):
            text, scope = self.source()
            parts.append(f"SELECT {self.value(kind, scope, 1)} FROM {text} WHERE {self.condition(scope, 1)}")
        return f" {self.rng.choice(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])} ".join(parts)

    def windowed(self):
        table = self.rng.choice(list(TABLES))
        scope = [("w", TABLES[table])]
        key, value = self.column("int", scope), self.value("int", scope, 1)
        function = self.rng.choice(["sum", "count", "min", "max"])
        order = self.column("int", scope)
        frame = self.rng.choice(["", f" ORDER BY {order} NULLS FIRST"])
        return f"SELECT {key}, {function}({value}) OVER (PARTITION BY {key}{frame}) FROM {table} AS w"

    def nested(self):
        text, scope = self.source()
        inner = f"SELECT {self.value('int', scope, 1)} AS k, {self.value('text', scope, 1)} AS s FROM {text}"
        outer = [("q", {"k": "int", "s": "text"})]
        return f"WITH q AS ({inner}) SELECT k, count(*), min(s) FROM q WHERE {self.condition(outer, 1)} GROUP BY k"

    def correlated(self):
        text, scope = self.source()
        items = [self.column("int", scope), self.subquery_value(scope)]
        where = f" WHERE {self.subquery_value(scope)} > {self.column('int', scope)}" if self.rng.random() < 0.4 else ""
        return f"SELECT {', '.join(items)} FROM {text}{where}"

    def merged(self):
        """USING, with the column alone and with its table."""
        other, key = self.rng.choice([("u", "a"), ("v", "b")])
        join = self.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        scope = [("x", TABLES["t"]), ("y", TABLES[other])]
        text = f"t AS x {join} {other} AS y USING ({key})"
        where = f" WHERE {self.condition(scope, 1)} OR {key} > 1" if self.rng.random() < 0.5 else ""
        if self.rng.random() < 0.4:
            return f"SELECT {key}, count(*), {self.aggregate(scope)} FROM {text}{where} GROUP BY {key}"
        items = self.rng.choice([f"{key}, {key} + 1, x.{key}, y.{key}", f"*", f"{key}, {self.value('text', scope, 1)}"])
        return f"SELECT {items} FROM {text}{where}"

    def counted(self):
        kind = self.rng.choice(["int", "text"])
        parts = []
        for _ in range(self.rng.choice([2, 2, 3])):
            text, scope = self.source()
            parts.append(f"SELECT {self.column(kind, scope)} FROM {text} WHERE {self.condition(scope, 1)}")
        return f" {self.rng.choice(['INTERSECT ALL', 'EXCEPT ALL'])} ".join(parts)

    def framed(self):
        table = self.rng.choice(list(TABLES))
        scope = [("w", TABLES[table])]
        every = ", ".join(f"w.{name} NULLS FIRST" for name in TABLES[table])
        start = self.rng.choice(["UNBOUNDED PRECEDING", "2 PRECEDING", "CURRENT ROW", "1 FOLLOWING"])
        end = self.rng.choice(["2 FOLLOWING", "UNBOUNDED FOLLOWING"] + ["CURRENT ROW"] * (start[0] in "U2C"))
        value = self.value("int", scope, 1)
        function = self.rng.choice(["sum", "count", "min", "max", "avg", "first_value", "last_value"])
        partition = self.rng.choice(["", f"PARTITION BY {self.column('int', scope)} "])
        frame = f"{partition}ORDER BY {every} ROWS BETWEEN {start} AND {end}"
        return f"SELECT {self.column('text', scope)}, {function}({value}) OVER ({frame}) FROM {table} AS w"

    def ordered_within(self):
        """What depends on the order of a subquery."""
        text, scope = self.source()
        items = f"{self.column('int', scope)} AS k, {self.value('int', scope, 1)} AS n, {self.column('text', scope)} AS s"
        keys = [f"{column}{self.rng.choice(['', ' DESC'])} NULLS LAST" for column in (1, 2, 3)]
        inner = f"SELECT {items} FROM {text} ORDER BY {', '.join(keys)}"
        outer = [("q", {"k": "int", "n": "int", "s": "text"})]
        condition = f" WHERE {self.condition(outer, 1)}" if self.rng.random() < 0.5 else ""
        return self.pick(
            lambda: f"SELECT string_agg(s, '|'), count(*) FROM ({inner}) AS q{condition}",
            lambda: f"SELECT n, s, row_number() OVER () FROM ({inner}) AS q{condition}",
            lambda: f"WITH q AS ({inner} LIMIT 7) SELECT k, string_agg(s, '|') FROM q{condition} GROUP BY k",
        )

    def query(self):
        often = [self.plain, self.grouped] * 3
        seldom = [self.correlated, self.merged, self.counted, self.framed, self.ordered_within]
        return self.pick(*often, self.together, self.windowed, self.nested, *seldom)


def normal(value):
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else str(value)
    if isinstance(value, float):
        return f"{value:.9g}" if value != int(value) or abs(value) > 1e15 else f"{int(value)}"
    if isinstance(value, int):
        return f"{value}"
    if value is None:
        return None
    text = str(value)
    try:  # decimals come as text or as Decimal
        return normal(float(text)) if type(value).__name__ == "Decimal" else text
    except ValueError:
        return text


def multiset(rows, sql):
    """The rows and how often each is there; with their places if the question asks for an order."""
    rows = (tuple(normal(value) for value in row) for row in rows)
    return collections.Counter(enumerate(rows) if sql.endswith(SORTED) else rows)


class Engines:
    def __init__(self, program, folder, rows):
        import duckdb

        self.program = program
        self.folder = folder
        self.lite, self.duck = sqlite3.connect(":memory:"), duckdb.connect()
        self.lite.execute("PRAGMA case_sensitive_like = 1")
        views = []
        for table, columns in TABLES.items():
            declared = ", ".join(f"{name} {TYPES[kind]}" for name, kind in columns.items())
            marks = ", ".join("?" * len(columns))
            for engine in (self.lite, self.duck):
                engine.execute(f"CREATE TABLE {table} ({declared})")
                engine.executemany(f"INSERT INTO {table} VALUES ({marks})", rows[table])
            path = pathlib.Path(folder) / table
            path.mkdir()
            for part in range(FILES_PER_TABLE):
                rows_of_part = f"SELECT * FROM {table} WHERE rowid % {FILES_PER_TABLE} = {part}"
                self.duck.execute(f"COPY ({rows_of_part}) TO '{path}/{part}.parquet'")
            views.append(f"CREATE VIEW {table} AS SELECT * FROM '{path}';\n")
        self.views = "".join(views)

    def swath(self, questions):
        """The answer to each question, and what was said if there is none."""
        answers = {}
        by_way = [[] for _ in WAYS]
        for sql in dict.fromkeys(questions):
            by_way[zlib.crc32(sql.encode()) % len(WAYS)].append(sql)
        for way, asked in zip(WAYS, by_way):
            while asked:
                done = self.run(way, asked[:ASKED_AT_ONCE])
                answers.update(zip(asked, done))
                asked = asked[len(done) :]
        return [answers[sql] for sql in questions]

    def run(self, way, questions):
        """Answers up to and with the first error."""
        script = "".join(f"{sql};\n" for sql in questions)
        command = [self.program, "--quiet", "--no-cache", "--format", "arrow", *way, "-c", self.views, "-c", script]
        done = subprocess.run(command, capture_output=True, check=False, timeout=600)
        answers, streams = [], pyarrow.BufferReader(done.stdout)
        while streams.tell() < len(done.stdout):
            batches = list(pyarrow.ipc.open_stream(streams))
            rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns)))
            answers.append((multiset(rows, questions[len(answers)]), ""))
        if done.returncode:
            # One that fails half-way has begun to answer, and the stream has no end.
            if answers and not done.stdout.endswith(END_OF_STREAM):
                answers.pop()
            answers.append((None, done.stderr.decode().strip()))
        elif len(answers) < len(questions):
            sys.exit(f"{len(questions)} questions, {len(answers)} answers: {questions[len(answers)]}")
        return answers

    def other(self, engine, sql):
        try:
            return multiset(engine.execute(sql).fetchall(), sql), ""
        except Exception as error:  # any error is no answer
            return None, str(error)


def differ(engines, sql, answers):
    """What is wrong with swath's answer, if anything."""
    [(ours, said)] = answers
    duck, duck_said = engines.other(engines.duck.cursor(), sql)
    lite, _ = engines.other(engines.lite, sql)
    if ours is None:
        if duck is not None and lite is not None and duck == lite:
            return f"fails: {first_line(said)}"
        return None
    if duck is None and lite is None:
        return None
    if ours in (duck, lite):
        return None
    if duck is not None and lite is not None and duck != lite:
        return "all three differ"
    return f"swath differs: {show(ours)} against {show(duck if duck is not None else lite)}"


def first_line(said):
    return said.splitlines()[0] if said else ""


def show(rows):
    return str(sorted(rows.items(), key=str)[:6])


def forms(rng):
    """Four statements: a query, its three parts, and a count in two ways."""
    generator = Generator(rng)
    text, scope = generator.source()
    predicate = generator.condition(scope, 2)
    items = generator.value("int", scope, 1) + ", " + generator.value("text", scope, 1)
    parts = [f"SELECT {items} FROM {text} WHERE {form}" for form in (predicate, f"NOT {predicate}", f"{predicate} IS NULL")]
    return [
        f"SELECT {items} FROM {text}",
        " UNION ALL ".join(parts),
        f"SELECT count(*) FROM {text} WHERE {predicate}",
        f"SELECT coalesce(sum(CASE WHEN {predicate} THEN 1 ELSE 0 END), 0) FROM {text}",
    ]


def against_itself(asked, answers):
    (whole, said), (partitioned, said_too), (counted, _), (summed, _) = answers
    if whole is None or partitioned is None:
        return f"fails: {first_line(said or said_too)}"
    if whole != partitioned:
        return f"TLP: {show(whole)} against {show(partitioned)}\n{asked[1]}"
    if counted is None or summed is None:
        return "fails: in NoREC"
    if counted != summed:
        return f"NoREC: {counted} against {summed}\n{asked[2]}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nan", action="store_true")
    asked = parser.parse_args()
    found = collections.Counter()
    tally, refused = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(random.Random(asked.seed), asked.nan)
        engines = Engines(str(pathlib.Path(asked.swath).resolve()), folder, rows)

        def questions(index):
            rng = random.Random(asked.seed * 1_000_003 + index)
            return forms(rng) if index % 4 == 3 else [Generator(rng).query()]

        def answered(start):
            """Some indices, each with its statements and their answers."""
            indices = range(start, min(start + ASKED_AT_ONCE, asked.count))
            texts = [questions(index) for index in indices]
            answers = iter(engines.swath([sql for asked in texts for sql in asked]))
            return [(index, text, [next(answers) for _ in text]) for index, text in zip(indices, texts)]

        starts = range(0, asked.count, ASKED_AT_ONCE)
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)
        for index, texts, answers in (one for some in pool.map(answered, starts) for one in some):
            if index % 4 == 3:
                sql, wrong = "", against_itself(texts, answers)
            else:
                sql, wrong = texts[0], differ(engines, texts[0], answers)
            tally["self" if index % 4 == 3 else "peers"] += 1
            if not wrong:
                continue
            # The same refusal is shown once, a difference up to twenty times.
            is_refusal = wrong.startswith("fails")
            counts, kind, shown_max = (refused, wrong, 1) if is_refusal else (found, wrong.split(":")[0], 20)
            counts[kind] += 1
            if counts[kind] <= shown_max:
                print(f"-- {index} {wrong}\n{sql}\n", flush=True)
    print(f"{asked.count} questions (seed {asked.seed}): {tally['peers']} to three engines, {tally['self']} to swath twice")
    print(f"no answer where others have one: {refused.total()}")
    print(f"different answers: {dict(found) or 0}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
