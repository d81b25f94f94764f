#!/usr/bin/env python3
"""Side by side: swath and its peers on the same files, in turn, medians and ratios.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install duckdb chdb polars datafusion pyarrow tpchgen-cli duckdb-cli
    PATH=/tmp/peers/bin:$PATH python3 benches/compare/run.py clickbench --form parquet --swath target/release/swath

Suites: clickbench, h2o, 1brc, tpch, wide (16 columns), small (10,000 files). The data is made once.
Answers are compared before times are shown.

Modes:
  first    swath as a fresh process each time, by its own timer; peers in a session (the default)
  session  each engine has answered the statement once; times are of the statement
  cold     the files are not in the page cache, each engine is a fresh process; times are of the statement
  process  the whole command, start and all: swath, with what earlier runs kept, and DuckDB's shell
  memory   the peak of a fresh process, in MB; of peers, beyond what Python held before
"""

import argparse
import ast
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
            return "" if cell is None else str(cell).removesuffix(".000000").removesuffix(" 00:00:00")

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
        return ast.literal_eval(text.read())


def evict(tables):
    """Takes the files out of the page cache."""
    os.sync()
    for path in tables.values():
        names = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else [path]
        for name in names:
            file = os.open(name, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def ask(engine, question, tables, mode, repeat):
    """The runs of an engine that its measure is taken from."""
    if mode == "session":
        return engine.run(question, tables, mode, repeat + 1)[1:]
    if mode == "cold":
        evict(tables)
    return engine.run(question, tables, mode)


def compare(arguments):
    questions = suites.SUITES[arguments.suite][0]()
    if arguments.only:
        questions = [question for question in questions if question.name in arguments.only]
    tables = data(arguments.suite, arguments.size, arguments.form)
    mode, repeat = arguments.mode, arguments.repeat
    running = [engines.Swath(arguments.swath, arguments.threads)]
    if mode == "process":
        running.append(engines.DuckdbShell())
    else:
        running += [
            engines.Peer(name, engines.PEERS[name], questions, arguments.threads)
            for name in engines.PEERS
            if name in arguments.peers
        ]
    if arguments.before:
        earlier = engines.Swath(arguments.before, arguments.threads)
        earlier.name = "before"
        running.append(earlier)
    peers = [engine.name for engine in running[1:]]
    unit, digits = ("MB", 0) if mode == "memory" else ("seconds", 3)
    print(f"{arguments.suite} {arguments.size:,} {arguments.form}, {mode}, medians of {repeat}, {unit}\n")
    print("| question | swath | " + " | ".join(peers) + " | swath / best peer |")
    print("|---|" + "---|" * (len(peers) + 2))
    ratios, ratios_of = [], {name: [] for name in peers}
    for question in questions:
        measures = {engine.name: [] for engine in running}
        answers, failures = {}, {}
        for _ in range(1 if mode == "session" else repeat):
            for engine in running:
                if engine.name in failures:
                    continue
                try:
                    runs = ask(engine, question, tables, mode, repeat)
                except RuntimeError as error:
                    failures[engine.name] = str(error)
                    continue
                measures[engine.name] += [run.peak / 1e6 if mode == "memory" else run.seconds for run in runs]
                answers.setdefault(engine.name, normal(runs[0].rows))
        medians = {name: statistics.median(values) for name, values in measures.items() if values}
        for name, answer in answers.items():
            if answer != answers.get("swath"):
                failures[name] = f"another answer: {answer[:2]} and not {answers.get('swath', [])[:2]}"
        sound = {name: value for name, value in medians.items() if name not in failures}
        rivals = [value for name, value in sound.items() if name not in ("swath", "before")]
        ratio = medians["swath"] / min(rivals) if rivals and "swath" in medians else math.nan
        if not math.isnan(ratio):
            ratios.append(ratio)
        for name in peers:
            if name in sound and "swath" in medians:
                ratios_of[name].append(medians["swath"] / medians[name])
        shown = [
            "failed" if engine.name in failures else f"{medians[engine.name]:.{digits}f}" for engine in running
        ]
        print(f"| {question.name} | " + " | ".join(shown) + f" | {ratio:.2f} |", flush=True)
        for name, failure in failures.items():
            print(f"<!-- {name}: {failure[:300]} -->")
    mean = lambda values: f"{statistics.geometric_mean(values):.2f}" if values else "-"  # noqa: E731
    print("| geometric mean of swath / peer | | " + " | ".join(mean(ratios_of[name]) for name in peers)
          + f" | {mean(ratios)} |")
    print(f"\nahead of every peer on {sum(ratio < 1 for ratio in ratios)} of {len(ratios)},"
          f" at worst {max(ratios, default=math.nan):.2f}")
    if arguments.suite == "small":
        loop = statistics.median(plain_loop(tables["t"]) for _ in range(repeat))
        print(f"\nreading the bytes in a plain loop: {loop:.3f} s")
    for engine in running:
        engine.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("suite", choices=suites.SUITES)
    arguments.add_argument("--size", type=int, help="rows, files, or TPC-H's scale factor")
    arguments.add_argument("--form", choices=["csv", "parquet"], default="csv")
    arguments.add_argument("--mode", choices=["first", "session", "cold", "process", "memory"], default="first")
    arguments.add_argument("--before", help="another build of swath, to compare with")
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
