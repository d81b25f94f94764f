"""The engines of the comparison: each takes a statement over named tables and returns times and rows.

A peer runs in a process of its own, so that its memory and threads are its own and its start is not
counted; swath is a fresh process and tells its own time (`--timer`). `--no-cache` keeps it from using
what it learned in an earlier run.
"""

import csv
import io
import multiprocessing
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Run:
    """One statement, run."""

    seconds: float
    rows: list
    # Bytes that the process held at most; of peers, beyond what it held before the statement.
    peak: int


class Swath:
    """The program under test: a process for each statement, or for all runs of a statement."""

    name = "swath"

    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def run(self, question, tables, mode, times=1):
        sql = question.sql.format(**{name: f"'{path}'" for name, path in tables.items()})
        threads = ["--threads", str(self.threads)] if self.threads else []
        cache = [] if mode == "process" else ["--no-cache"]
        statements = ";\n".join([sql] * times)
        command = [self.program, "--timer", *cache, "--format", "csv", *threads, statements]
        seconds, out, err, peak = process(command)
        rows = list(csv.reader(io.StringIO(out)))
        each = len(rows) // times
        own = [float(text) for text in re.findall(r"Time: ([0-9.]+) s", err)]
        if mode == "process":
            own = [seconds]
        return [Run(taken, rows[1:each], peak) for taken in own]

    def stop(self):
        pass


class DuckdbShell:
    """DuckDB's shell as a whole process."""

    name = "duckdb shell"

    def __init__(self, program="duckdb"):
        self.program = program

    def run(self, question, tables, mode, times=1):
        sql = named(question, "duckdb", tables, lambda path: f"'{files(path)}'")
        seconds, out, _, peak = process([self.program, "-csv", "-c", sql])
        return [Run(seconds, list(csv.reader(io.StringIO(out)))[1:], peak)]

    def stop(self):
        pass


def process(command):
    """Wall time, output and greatest resident size of a process that must succeed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise RuntimeError(err.read())
        return seconds, out.read(), err.read(), used.ru_maxrss * 1024


class Peer:
    """An engine with a Python package, in a process of its own: one for all, or one for each run."""

    def __init__(self, name, answer, questions, threads):
        self.name, self.answer, self.questions, self.threads = name, answer, questions, threads
        self.process = None

    def start(self):
        self.here, there = multiprocessing.Pipe()
        # A fork inherits the questions, which hold functions and so cannot be sent.
        self.process = multiprocessing.get_context("fork").Process(
            target=serve, args=(there, self.name, self.answer, self.questions, self.threads), daemon=True
        )
        self.process.start()
        self.here.recv()

    def run(self, question, tables, mode, times=1):
        if mode != "session":
            self.stop()
        if self.process is None:
            self.start()
        runs = []
        for _ in range(times):
            self.here.send((self.questions.index(question), tables))
            try:
                seconds, rows, peak = self.here.recv()
            except EOFError as died:
                self.process = None
                raise RuntimeError("the process died") from died
            if seconds is None:
                raise RuntimeError(rows)
            runs.append(Run(seconds, rows, peak))
        return runs

    def stop(self):
        if self.process is not None:
            self.here.send(None)
            self.process.join()
            self.process = None


def resident(greatest=False):
    """Bytes of this process in memory, now or at most."""
    with open("/proc/self/status") as status:
        text = status.read()
    return 1024 * int(re.search(rf"{'VmHWM' if greatest else 'VmRSS'}:\s+(\d+)", text).group(1))


def serve(pipe, name, answer, questions, threads):
    if threads:
        os.environ["POLARS_MAX_THREADS"] = str(threads)
    __import__(name)
    pipe.send("ready")
    session = {}
    while (work := pipe.recv()) is not None:
        idx, tables = work
        question = questions[idx]
        try:
            before = resident()
            started = time.perf_counter()
            rows = answer(question, tables, threads, session)
            elapsed = time.perf_counter() - started
            pipe.send((elapsed, rows, resident(greatest=True) - before))
        except Exception as error:  # noqa: BLE001  (whatever a peer does, the run goes on)
            pipe.send((None, f"{type(error).__name__}: {error}", 0))


def named(question, dialect, tables, quote):
    return question.in_dialect(dialect).format(
        **{name: quote(path) for name, path in tables.items()}
    )


def duckdb(question, tables, threads, session):
    import duckdb

    if "connection" not in session:
        session["connection"] = duckdb.connect()
    connection = session["connection"]
    if threads:
        connection.execute(f"SET threads = {threads}")
    sql = named(question, "duckdb", tables, lambda path: f"'{files(path)}'")
    return connection.execute(sql).fetchall()


def chdb(question, tables, threads, session):
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


def datafusion(question, tables, threads, session):
    import datafusion

    if "context" not in session:
        # Names are found as the files spell them.
        config = datafusion.SessionConfig({"datafusion.sql_parser.enable_ident_normalization": "false"})
        if threads:
            config = config.with_target_partitions(threads)
        context = datafusion.SessionContext(config)
        for name, path in tables.items():
            if is_parquet(path):
                context.register_parquet(name, path)
            else:
                context.register_csv(name, path, delimiter=question.delimiter)
        session["context"] = context
    context = session["context"]
    sql = named(question, "datafusion", {name: name for name in tables}, lambda name: name)
    batches = context.sql(sql).collect()
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def polars(question, tables, threads, session):
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
