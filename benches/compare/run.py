#!/usr/bin/env python3
"""Side by side: swath and its peers on the same files, in turn, medians and ratios.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install duckdb datafusion
    /tmp/peers/bin/python benches/compare/run.py --swath target/release/swath --rows 2000000

Times are in-session: what each engine takes for the statement, without its start. swath is a fresh
process each time, so it sniffs the file anew. Answers are compared before times are shown.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import tempfile
import time

QUESTIONS = {
    "sum by 100 groups": "SELECT id1, sum(v1) AS v FROM {t} GROUP BY id1 ORDER BY id1",
    "two keys": "SELECT id1, id2, sum(v1) AS v FROM {t} GROUP BY id1, id2 ORDER BY id1, id2",
    "many groups": "SELECT id3, sum(v1) AS v, count(v3) AS n FROM {t} GROUP BY id3 ORDER BY id3",
    "count": "SELECT count(*) AS n FROM {t}",
    "filter": "SELECT count(*) AS n, max(id6) AS m FROM {t} WHERE id4 = 7 AND v2 > 3",
}


def make_data(path, rows):
    """The columns of the h2o.ai group-by benchmark."""
    random.seed(1)
    with open(path, "w") as out:
        out.write("id1,id2,id3,id4,id5,id6,v1,v2,v3\n")
        for _ in range(rows):
            pick = random.randint
            out.write(
                f"id{pick(1, 100):03d},id{pick(1, 100):03d},id{pick(1, 20000):010d},{pick(1, 100)},"
                f"{pick(1, 100)},{pick(1, 20000)},{pick(1, 5)},{pick(1, 15)},{random.random() * 100:.6f}\n"
            )


def run_swath(program, path, sql):
    sql = sql.format(t=f"'{path}'")
    done = subprocess.run(
        [program, "--timer", "--format", "csv", sql], capture_output=True, text=True, check=True
    )
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    return float(re.search(r"Time: ([0-9.]+) s", done.stderr).group(1)), rows


def run_duckdb(path, sql):
    import duckdb

    connection = duckdb.connect()
    started = time.perf_counter()
    rows = connection.execute(sql.format(t=f"'{path}'")).fetchall()
    return time.perf_counter() - started, [[str(value) for value in row] for row in rows]


def run_datafusion(path, sql):
    import datafusion

    context = datafusion.SessionContext()
    started = time.perf_counter()
    context.register_csv("t", path)
    batches = context.sql(sql.format(t="t")).collect()
    elapsed = time.perf_counter() - started
    rows = [[str(value) for value in row.values()] for batch in batches for row in batch.to_pylist()]
    return elapsed, rows


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--swath", default="target/release/swath")
    arguments.add_argument("--rows", type=int, default=2_000_000)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments = arguments.parse_args()
    path = os.path.join(tempfile.gettempdir(), f"swath-compare-{arguments.rows}.csv")
    if not os.path.exists(path):
        make_data(path, arguments.rows)
    engines = {
        "swath": lambda sql: run_swath(arguments.swath, path, sql),
        "duckdb": lambda sql: run_duckdb(path, sql),
        "datafusion": lambda sql: run_datafusion(path, sql),
    }
    print(f"{arguments.rows:,} rows, {os.path.getsize(path) / 1e6:.0f} MB, medians of {arguments.repeat}")
    print("| question | " + " | ".join(engines) + " | swath / best peer |")
    print("|---|" + "---|" * (len(engines) + 1))
    for question, sql in QUESTIONS.items():
        times = {name: [] for name in engines}
        answers = {}
        for _ in range(arguments.repeat):
            for name, run in engines.items():
                elapsed, answers[name] = run(sql)
                times[name].append(elapsed)
        assert answers["swath"] == answers["duckdb"] == answers["datafusion"], question
        medians = {name: statistics.median(values) for name, values in times.items()}
        best = min(value for name, value in medians.items() if name != "swath")
        shown = " | ".join(f"{value:.3f}" for value in medians.values())
        print(f"| {question} | {shown} | {medians['swath'] / best:.2f} |")


if __name__ == "__main__":
    main()
