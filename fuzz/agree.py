#!/usr/bin/env python3
"""Asks another engine the questions of the slt files and compares its answers with the ones written there.

    python3 fuzz/agree.py [--peer DuckDB|DataFusion|PostgreSQL] [--dsn DSN] [FILE...]

An answer that is another one there on purpose says so: a comment above the question names the engine and the
reason. What it has no answer to is counted, and is no difference. Run from the project's root.
Needs: pip install duckdb, or datafusion, or psycopg and the DSN of a database that may be emptied.
"""

import argparse
import pathlib
import re
import sys

FILES = "testdata/slt/sql/*.slt"


def records(text):
    """The records of an slt file: (comment, kind, sort, sql, expected rows)."""
    comment = []
    for block in re.split(r"\n\n+", text):
        lines = block.split("\n")
        while lines and lines[0].startswith("#"):
            comment.append(lines.pop(0))
        if not lines or not lines[0]:
            continue
        head, *body = lines
        sql, _, expected = "\n".join(body).partition("\n----")
        yield "\n".join(comment), head, sql, [row for row in expected.split("\n") if row]
        comment = []


def shown(value):
    """A value as it is compared: numbers by their size, texts by their words."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and value and all(isinstance(item, tuple) for item in value):
        value = dict(value)
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return str(value)


def comparable(row):
    """Numbers of a row without the ways of writing them."""
    def plain(match):
        number = float(match.group())
        return f"{number:.10g}"

    words = re.sub(r"(?<![\w.-])-?\d+(\.\d+)?([eE][-+]?\d+)?(?![\w.:-])", plain, row.strip())
    words = re.sub(r"(\d\d:\d\d:\d\d)(\.0+)?", r"\1", words)
    return re.sub(r"\s+", " ", words.replace("T00:00:00", " 00:00:00"))


def duckdb(_):
    import duckdb

    connection = duckdb.connect()
    return lambda sql: connection.execute(sql).fetchall()


def datafusion(_):
    from datafusion import SessionContext

    context = SessionContext()

    def rows(sql):
        batches = context.sql(sql).collect()
        return [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns))]

    return rows


def postgresql(dsn):
    import psycopg

    connection = psycopg.connect(dsn, autocommit=True)
    connection.execute("DROP SCHEMA public CASCADE")
    connection.execute("CREATE SCHEMA public")

    def rows(sql):
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []

    return rows


PEERS = {"DuckDB": duckdb, "DataFusion": datafusion, "PostgreSQL": postgresql}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=PEERS, default="DuckDB")
    parser.add_argument("--dsn", default="")
    parser.add_argument("files", nargs="*")
    asked = parser.parse_args()
    names = asked.files or sorted(str(path) for path in pathlib.Path(".").glob(FILES))
    same, refused, explained, different = 0, 0, 0, 0
    for name in names:
        answer = PEERS[asked.peer](asked.dsn)
        for comment, head, sql, expected in records(pathlib.Path(name).read_text()):
            kind, *rest = head.split()
            if rest and rest[0] == "error":
                continue
            try:
                found = [" ".join(shown(value) for value in row) for row in answer(sql)]
            except BaseException as error:  # whatever it is, it is no answer
                if isinstance(error, KeyboardInterrupt):
                    raise
                refused += kind == "query"
                continue
            if kind != "query":
                continue
            found, wanted = [[comparable(row) for row in rows] for rows in (found, expected)]
            if "rowsort" in rest:
                found, wanted = sorted(found), sorted(wanted)
            if found == wanted:
                same += 1
            elif asked.peer in comment:
                explained += 1
            else:
                different += 1
                print(f"-- {name}\n{sql}\n   here:   {wanted}\n   there:  {found}\n")
    print(f"{asked.peer}: {same} answers agree, {explained} differ for the reason given, {different} differ; "
          f"it has none to {refused}")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
