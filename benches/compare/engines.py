"""The engines of the comparison: each takes a statement over named tables and returns rows.

A peer runs in a process of its own, so that its memory and threads are its own and its start is not
counted; swath is a fresh process for each statement and tells its own time (`--timer`), so it sniffs
the files anew each time. `--no-cache` keeps it from using what it learned in an earlier run.
"""

import csv
import io
import multiprocessing
import os
import re
import resource
import subprocess
import time


class Swath:
    """The program under test."""

    name = "swath"

    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def run(self, question, tables):
        sql = question.sql.format(**{name: f"'{path}'" for name, path in tables.items()})
        threads = ["--threads", str(self.threads)] if self.threads else []
        command = [self.program, "--timer", "--no-cache", "--format", "csv", *threads, sql]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        rows = list(csv.reader(io.StringIO(done.stdout)))[1:]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return float(re.search(r"Time: ([0-9.]+) s", done.stderr).group(1)), rows, peak

    def stop(self):
        pass


class Peer:
    """An engine with a Python package, in a process of its own."""

    def __init__(self, name, answer, questions, threads):
        self.name, self.questions = name, questions
        self.here, there = multiprocessing.Pipe()
        # A fork inherits the questions, which hold functions and so cannot be sent.
        self.process = multiprocessing.get_context("fork").Process(
            target=serve, args=(there, answer, questions, threads), daemon=True
        )
        self.process.start()

    def run(self, question, tables):
        self.here.send((self.questions.index(question), tables))
        elapsed, rows, peak = self.here.recv()
        if elapsed is None:
            raise RuntimeError(rows)
        return elapsed, rows, peak

    def stop(self):
        self.here.send(None)
        self.process.join()


def serve(pipe, answer, questions, threads):
    if threads:
        os.environ["POLARS_MAX_THREADS"] = str(threads)
    while (work := pipe.recv()) is not None:
        idx, tables = work
        question = questions[idx]
        try:
            started = time.perf_counter()
            rows = answer(question, tables, threads)
            elapsed = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            pipe.send((elapsed, rows, peak))
        except Exception as error:  # noqa: BLE001  (whatever a peer does, the run goes on)
            pipe.send((None, f"{type(error).__name__}: {error}", 0))


def named(question, dialect, tables, quote):
    return question.in_dialect(dialect).format(
        **{name: quote(path) for name, path in tables.items()}
    )


def duckdb(question, tables, threads):
    import duckdb

    connection = duckdb.connect()
    if threads:
        connection.execute(f"SET threads = {threads}")
    sql = named(question, "duckdb", tables, lambda path: f"'{files(path)}'")
    return connection.execute(sql).fetchall()


def chdb(question, tables, threads):
    import chdb

    def quote(path):
        form = "Parquet" if is_parquet(path) else "CSVWithNames"
        return f"file('{files(path)}', '{form}')"

    sql = named(question, "chdb", tables, quote)
    settings = " SETTINGS format_csv_delimiter = ';'" if question.delimiter == ";" else ""
    if threads:
        settings += (", " if settings else " SETTINGS ") + f"max_threads = {threads}"
    text = str(chdb.query(sql + settings, "CSV"))
    # The setting is for what it writes as well.
    return list(csv.reader(io.StringIO(text), delimiter=question.delimiter))


def datafusion(question, tables, threads):
    import datafusion

    config = datafusion.SessionConfig()
    if threads:
        config = config.with_target_partitions(threads)
    context = datafusion.SessionContext(config)
    for name, path in tables.items():
        if is_parquet(path):
            context.register_parquet(name, path)
        else:
            context.register_csv(name, path, delimiter=question.delimiter)
    sql = named(question, "datafusion", {name: name for name in tables}, lambda name: name)
    batches = context.sql(sql).collect()
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def polars(question, tables, threads):
    import polars

    if question.polars is None:
        raise NotImplementedError("not written for Polars")

    def scan(path):
        if is_parquet(path):
            return polars.scan_parquet(files(path))
        return polars.scan_csv(
            files(path), separator=question.delimiter, try_parse_dates=True
        )

    frames = {name: scan(path) for name, path in tables.items()}
    return question.polars(polars, **frames).collect(engine="streaming").rows()


def is_parquet(path):
    if os.path.isdir(path):
        return any(name.endswith(".parquet") for name in os.listdir(path))
    return path.endswith(".parquet")


def files(path):
    """A pattern that the peers understand."""
    if not os.path.isdir(path):
        return path
    return f"{path}/*.parquet" if is_parquet(path) else f"{path}/*.csv"


PEERS = {"duckdb": duckdb, "chdb": chdb, "polars": polars, "datafusion": datafusion}
