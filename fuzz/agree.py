#!/usr/bin/env python3
"""Asks DuckDB the questions of the slt files and compares its answers with the ones written there.

    python3 fuzz/agree.py [FILE...]

An answer that is another one there on purpose says so: a comment above the question names DuckDB and the
reason. What DuckDB has no answer to is counted, and is no difference. Run from the project's root.
Needs: pip install duckdb
"""

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


def main():
    import duckdb

    names = sys.argv[1:] or sorted(str(path) for path in pathlib.Path(".").glob(FILES))
    same, refused, explained, different = 0, 0, 0, 0
    for name in names:
        duck = duckdb.connect()
        for comment, head, sql, expected in records(pathlib.Path(name).read_text()):
            kind, *rest = head.split()
            if rest and rest[0] == "error":
                continue
            try:
                found = [" ".join(shown(value) for value in row) for row in duck.execute(sql).fetchall()]
            except duckdb.Error:
                refused += kind == "query"
                continue
            if kind != "query":
                continue
            found, wanted = [[comparable(row) for row in rows] for rows in (found, expected)]
            if "rowsort" in rest:
                found, wanted = sorted(found), sorted(wanted)
            if found == wanted:
                same += 1
            elif "DuckDB" in comment:
                explained += 1
            else:
                different += 1
                print(f"-- {name}\n{sql}\n   here:   {wanted}\n   DuckDB: {found}\n")
    print(f"{same} answers agree, {explained} differ for the reason given, {different} differ; "
          f"DuckDB has none to {refused}")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
