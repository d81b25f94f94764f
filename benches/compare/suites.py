"""The questions of the comparison, and the data that they are about."""

import os
import subprocess

import clickbench
from question import Question


def digest(inner, *columns):
    """Group-by answers are millions of rows: what is compared is their count and their sums."""
    sums = "".join(f", sum({column}) AS {column}" for column in columns)
    return f"SELECT count(*) AS n{sums} FROM ({inner}) AS answer"


def h2o():
    """The ten questions of the h2o.ai group-by benchmark."""

    def by(keys, **values):
        def ask(pl, t):
            made = {name: make(pl) for name, make in values.items()}
            grouped = t.group_by(keys).agg(**made)
            return grouped.select(pl.len().alias("n"), *(pl.col(name).sum() for name in made))

        return ask

    def total(column):
        return lambda pl: pl.col(column).sum()

    def mean(column):
        return lambda pl: pl.col(column).mean()

    def top_two(pl, t):
        best = t.group_by("id6").agg(pl.col("v3").top_k(2)).explode("v3")
        return best.select(pl.len().alias("n"), pl.col("v3").sum())

    def corr(pl, t):
        grouped = t.group_by("id2", "id4").agg((pl.corr("v1", "v2") ** 2).alias("r"))
        return grouped.select(pl.len().alias("n"), pl.col("r").sum())

    median = digest("SELECT median(v3) AS m, stddev(v3) AS s FROM {t} GROUP BY id4, id5", "m", "s")
    exact = median.replace("median(", "quantileExactInclusive(0.5)(").replace("stddev(", "stddevSamp(")
    best = (
        "SELECT v3 FROM (SELECT id6, v3, row_number() OVER (PARTITION BY id6 ORDER BY v3 DESC) AS k"
        " FROM {t}) AS ranked WHERE k <= 2"
    )
    r2 = digest("SELECT power(corr(v1, v2), 2) AS r FROM {t} GROUP BY id2, id4", "r")
    keys = ["id1", "id2", "id3", "id4", "id5", "id6"]
    return [
        Question("q1", digest("SELECT id1, sum(v1) AS v FROM {t} GROUP BY id1", "v"),
                 polars=by("id1", v=total("v1"))),
        Question("q2", digest("SELECT id1, id2, sum(v1) AS v FROM {t} GROUP BY id1, id2", "v"),
                 polars=by(["id1", "id2"], v=total("v1"))),
        Question("q3", digest("SELECT id3, sum(v1) AS v, avg(v3) AS w FROM {t} GROUP BY id3", "v", "w"),
                 polars=by("id3", v=total("v1"), w=mean("v3"))),
        Question("q4", digest("SELECT id4, avg(v1) AS u, avg(v2) AS v, avg(v3) AS w FROM {t} GROUP BY id4",
                              "u", "v", "w"),
                 polars=by("id4", u=mean("v1"), v=mean("v2"), w=mean("v3"))),
        Question("q5", digest("SELECT id6, sum(v1) AS u, sum(v2) AS v, sum(v3) AS w FROM {t} GROUP BY id6",
                              "u", "v", "w"),
                 polars=by("id6", u=total("v1"), v=total("v2"), w=total("v3"))),
        Question("q6", median, {"chdb": exact},
                 by(["id4", "id5"], m=lambda pl: pl.col("v3").median(), s=lambda pl: pl.col("v3").std())),
        Question("q7", digest("SELECT id3, max(v1) - min(v2) AS v FROM {t} GROUP BY id3", "v"),
                 polars=by("id3", v=lambda pl: pl.col("v1").max() - pl.col("v2").min())),
        Question("q8", digest(best, "v3"), polars=top_two),
        Question("q9", r2, polars=corr),
        Question("q10", digest("SELECT id1, id2, id3, id4, id5, id6, sum(v3) AS v, count(*) AS c FROM {t}"
                               " GROUP BY id1, id2, id3, id4, id5, id6", "v", "c"),
                 polars=by(keys, v=total("v3"), c=lambda pl: pl.len())),
    ]


def make_h2o(folder, rows, form):
    """`rows` rows in ten files, 100 values in the small keys, rows / 100 in the large ones."""
    import duckdb

    many = max(rows // 100, 1)
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SELECT setseed(0.42)")
    pick = lambda count: f"(1 + floor(random() * {count}))::INT"  # noqa: E731
    for part in range(10):
        target = os.path.join(folder, f"part-{part}.{form}")
        options = "FORMAT parquet" if form == "parquet" else "HEADER"
        connection.execute(
            f"COPY (SELECT printf('id%03d', {pick(100)}) AS id1, printf('id%03d', {pick(100)}) AS id2,"
            f" printf('id%010d', {pick(many)}) AS id3, {pick(100)} AS id4, {pick(100)} AS id5,"
            f" {pick(many)} AS id6, {pick(5)} AS v1, {pick(15)} AS v2,"
            f" round(random() * 100, 6) AS v3 FROM range({rows // 10})) TO '{target}' ({options})"
        )
    return {"t": folder}


def one_billion():
    """The one-billion-row challenge: the least, mean and greatest temperature of each station."""
    columns = "min(temperature) AS low, avg(temperature) AS mean, max(temperature) AS high"
    sql = f"SELECT station, {columns} FROM {{t}} GROUP BY station ORDER BY station"

    def ask(pl, t):
        value = pl.col("temperature")
        grouped = t.group_by("station").agg(low=value.min(), mean=value.mean(), high=value.max())
        return grouped.sort("station")

    return [Question("stations", sql, polars=ask, delimiter=";")]


def make_one_billion(folder, rows, form):
    import duckdb

    target = os.path.join(folder, f"measurements.{form}")
    options = "FORMAT parquet" if form == "parquet" else "HEADER, DELIMITER ';'"
    duckdb.connect().execute(
        f"COPY (SELECT 'Station ' || (floor(random() * 413)::INT * 7919 % 100003) AS station,"
        f" round(random() * 100 - 30, 1) AS temperature FROM range({rows})) TO '{target}' ({options})"
    )
    return {"t": target}


TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def tpch():
    """The 22 queries of TPC-H, as this project ships them."""
    folder = os.path.join(os.path.dirname(__file__), "..", "..", "queries", "tpch")
    questions = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as text:
            sql = text.read().strip().rstrip(";")
        for table in TABLES:
            sql = sql.replace(f"'testdata/tpch/{table}.csv'", f"{{{table}}}")
        questions.append(Question(name.removesuffix(".sql"), sql))
    return questions


def make_tpch(folder, scale, form):
    subprocess.run(
        ["tpchgen-cli", form, "-s", str(scale), "--output-dir", folder], check=True
    )
    return {table: os.path.join(folder, f"{table}.{form}") for table in TABLES}


def wide():
    """Two of the sixteen columns of lineitem, and none."""

    def total(pl, lineitem):
        grouped = lineitem.group_by("l_returnflag").agg(pl.col("l_quantity").sum())
        return grouped.sort("l_returnflag")

    return [
        Question("two of 16 columns", "SELECT l_returnflag, sum(l_quantity) AS q FROM {lineitem}"
                 " GROUP BY l_returnflag ORDER BY l_returnflag", polars=total),
        Question("count", "SELECT count(*) AS n FROM {lineitem}",
                 polars=lambda pl, lineitem: lineitem.select(pl.len())),
        Question("one row in 2,500", "SELECT count(*) AS n, sum(l_extendedprice) AS p, max(l_comment) AS c"
                 " FROM {lineitem} WHERE l_shipdate = DATE '1995-03-15'"),
        Question("top 10", "SELECT * FROM {lineitem} ORDER BY l_extendedprice DESC, l_orderkey LIMIT 10"),
    ]


def make_wide(folder, scale, form):
    tables = make_tpch(folder, scale, form)
    return {"lineitem": tables["lineitem"]}


def small():
    """Many files of 20 rows."""
    return [
        Question("count", "SELECT count(*) AS n FROM {t}", polars=lambda pl, t: t.select(pl.len())),
        Question("sum", "SELECT key, sum(value) AS v FROM {t} GROUP BY key ORDER BY key",
                 polars=lambda pl, t: t.group_by("key").agg(pl.col("value").sum()).sort("key")),
    ]


def make_small(folder, count, form):
    assert form == "csv", "many small files are CSV"
    for number in range(count):
        with open(os.path.join(folder, f"{number:06}.csv"), "w") as out:
            out.write("key,value,text\n")
            for row in range(20):
                out.write(f"{(number + row) % 7},{number * 20 + row},row {row} of file {number}\n")
    return {"t": folder}


SUITES = {
    "clickbench": (clickbench.questions, clickbench.make, 10_000_000),
    "h2o": (h2o, make_h2o, 10_000_000),
    "1brc": (one_billion, make_one_billion, 100_000_000),
    "tpch": (tpch, make_tpch, 1),
    "wide": (wide, make_wide, 1),
    "small": (small, make_small, 10_000),
}
