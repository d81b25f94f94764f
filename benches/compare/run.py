#!/usr/bin/env python3
"""Side by side: swath and its peers on the same files, in turn, medians and ratios.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install duckdb chdb polars datafusion pyarrow tpchgen-cli
    PATH=/tmp/peers/bin:$PATH python3 benches/compare/run.py h2o --swath target/release/swath

Suites: h2o, 1brc, tpch, wide (16 columns), small (10,000 files). The data is made once. Answers are
compared before times are shown; times are those of the statement, without the engine's start.
"""

import argparse
import math
import os
import statistics
import tempfile
import time

import engines
import suites


def plain_loop(folder):
    """What reading the bytes of a folder takes, one file after the other."""
    started = time.perf_counter()
    for name in os.listdir(folder):
        file = os.open(os.path.join(folder, name), os.O_RDONLY)
        while os.read(file, 1 << 20):
            pass
        os.close(file)
    return time.perf_counter() - started


def normal(rows):
    """Rows as sorted tuples: numbers to six digits, so that sums in another order are the same."""

    def value(cell):
        try:
            return f"{float(cell):.6g}"
        except (TypeError, ValueError):
            return "" if cell is None else str(cell).removesuffix(" 00:00:00")

    return sorted(tuple(value(cell) for cell in row) for row in rows)


def data(suite, size, form):
    make = suites.SUITES[suite][1]
    folder = os.path.join(tempfile.gettempdir(), f"swath-{suite}-{size}-{form}")
    done = os.path.join(folder, ".done")
    if not os.path.exists(done):
        os.makedirs(folder, exist_ok=True)
        tables = make(folder, size, form)
        with open(done, "w") as out:
            out.write(repr(tables))
    with open(done) as text:
        return eval(text.read())  # noqa: S307  (written by the line above)


def compare(arguments):
    questions = suites.SUITES[arguments.suite][0]()
    if arguments.only:
        questions = [question for question in questions if question.name in arguments.only]
    tables = data(arguments.suite, arguments.size, arguments.form)
    peers = [name for name in engines.PEERS if name in arguments.peers]
    running = [engines.Swath(arguments.swath, arguments.threads)]
    running += [
        engines.Peer(name, engines.PEERS[name], questions, arguments.threads) for name in peers
    ]
    print(f"{arguments.suite} {arguments.size:,} {arguments.form}, medians of {arguments.repeat}, seconds\n")
    print("| question | swath | " + " | ".join(peers) + " | swath / best peer |")
    print("|---|" + "---|" * (len(peers) + 2))
    ratios, ratios_of = [], {name: [] for name in peers}
    for question in questions:
        times = {engine.name: [] for engine in running}
        answers, failures = {}, {}
        for _ in range(arguments.repeat):
            for engine in running:
                if engine.name in failures:
                    continue
                try:
                    elapsed, rows, _ = engine.run(question, tables)
                except RuntimeError as error:
                    failures[engine.name] = str(error)
                    continue
                times[engine.name].append(elapsed)
                answers.setdefault(engine.name, normal(rows))
        medians = {name: statistics.median(values) for name, values in times.items() if values}
        for name, answer in answers.items():
            if answer != answers.get("swath"):
                failures[name] = f"another answer: {answer[:2]} and not {answers.get('swath', [])[:2]}"
        rivals = [value for name, value in medians.items() if name != "swath" and name not in failures]
        ratio = medians["swath"] / min(rivals) if rivals and "swath" in medians else math.nan
        if not math.isnan(ratio):
            ratios.append(ratio)
        for name in peers:
            if name in medians and name not in failures and "swath" in medians:
                ratios_of[name].append(medians["swath"] / medians[name])
        shown = [
            "failed" if engine.name in failures else f"{medians[engine.name]:.3f}" for engine in running
        ]
        print(f"| {question.name} | " + " | ".join(shown) + f" | {ratio:.2f} |", flush=True)
        for name, failure in failures.items():
            print(f"<!-- {name}: {failure[:300]} -->")
    mean = lambda values: f"{statistics.geometric_mean(values):.2f}" if values else "-"  # noqa: E731
    print("| geometric mean of swath / peer | | " + " | ".join(mean(ratios_of[name]) for name in peers)
          + f" | {mean(ratios)} |")
    if arguments.suite == "small":
        loop = statistics.median(plain_loop(tables["t"]) for _ in range(arguments.repeat))
        print(f"\nreading the bytes in a plain loop: {loop:.3f} s")
    for engine in running:
        engine.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("suite", choices=suites.SUITES)
    arguments.add_argument("--size", type=int, help="rows, files, or TPC-H's scale factor")
    arguments.add_argument("--form", choices=["csv", "parquet"], default="csv")
    arguments.add_argument("--swath", default="target/release/swath")
    arguments.add_argument("--peers", nargs="*", default=list(engines.PEERS))
    arguments.add_argument("--only", nargs="*", help="names of questions")
    arguments.add_argument("--threads", type=int)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments = arguments.parse_args()
    arguments.size = arguments.size or suites.SUITES[arguments.suite][2]
    compare(arguments)


if __name__ == "__main__":
    main()
