"""Scores swath on Pollock, the benchmark of CSV loading (Vitagliano et al., VLDB 2023).

    python3 pollock.py POLLOCK_CHECKOUT [--swath PROGRAM] [--peer] [--worst N]

Files, clean versions and measures are Pollock's own, from a checkout of its repository (this script
needs what its `requirements.txt` names). Three ways of asking: `zero` is FROM 'file' and nothing else,
`sniffed` asks for leniency and nothing else, `given` has the dialect from Pollock's parameters.
A score is the sum of ten measures, each the mean over all files: simple, and weighted by how common
each pollution is. `quiet` counts the files whose answer is not perfect and of which nothing was said.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MODES = ["zero", "sniffed", "given"]


def parameters_of(checkout, name):
    given = json.loads((checkout / f"parameters/{name}_parameters.json").read_text())
    names = [column.strip() for column in given["column_names"] or []]
    return given, names or [f"col_{index}" for index in range(max(int(given["n_columns"]), 1))]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def statement(mode, path, checkout):
    if mode == "zero":
        return f"FROM {quoted(str(path))}"
    if mode == "sniffed":
        return f"FROM read_csv({quoted(str(path))}, strict => false, all_varchar => true)"
    given, names = parameters_of(checkout, path.name)
    # As Pollock's own drivers do: names are passed, header lines skipped.
    skip = int(given["preamble_lines"]) + int(given["header_lines"])
    options = [
        f"delim => {quoted(given['delimiter'] or ',')}",
        f"quote => {quoted(given['quotechar'] or chr(34))}",
        f"escape => {quoted(given['escapechar'] or chr(34))}",
        f"skip => {skip}, header => false, all_varchar => true, strict => false",
        f"names => [{', '.join(map(quoted, names))}]",
    ]
    return f"FROM read_csv({quoted(str(path))}, {', '.join(options)})"


def load_with_swath(program, mode, path, checkout):
    """What swath writes as CSV, or None when it fails, and what it said."""
    sql = statement(mode, path, checkout)
    if mode == "given" and parameters_of(checkout, path.name)[0]["header_lines"] == 0:
        # Pollock takes the first line of what was written for the header.
        sql = f"COPY ({sql}) TO '/dev/stdout' (FORMAT csv, HEADER false)"
    command = [program, "--no-cache", "--format", "csv", sql]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return (None if done.returncode else done.stdout), done.stderr.decode(errors="replace")


def load_with_duckdb(mode, path, checkout):
    """DuckDB with the options of Pollock's own drivers for it."""
    import duckdb

    lenient = {"strict_mode": False, "ignore_errors": True, "null_padding": True}
    if mode == "zero":
        lenient = {}
    if mode == "given":
        given, names = parameters_of(checkout, path.name)
        lenient |= {
            "delimiter": given["delimiter"] or ",",
            "quotechar": given["quotechar"] or '"',
            "escapechar": given["escapechar"] or '"',
            "skiprows": int(given["preamble_lines"]) + int(given["header_lines"]),
            "header": False,
            "columns": dict.fromkeys(names, "VARCHAR"),
            "auto_detect": False,
        }
    try:
        frame = duckdb.connect().read_csv(str(path), **lenient).df()
        has_header = mode != "given" or given["header_lines"] != 0
        return frame.to_csv(index=False, header=has_header).encode(), ""
    except Exception as error:  # whatever it raises is a file not loaded
        return None, str(error)


def measures_of(loaded, clean, metrics):
    """Success and precision, recall, F1 of header, records and cells."""
    if loaded is None:
        return [0.0] * 10
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(loaded)
        file.flush()
        try:
            return [1.0, *map(float, metrics.header_record_cell_measures_csv(clean, file.name))]
        except Exception:  # as in Pollock's evaluation: what its measures cannot read counts as nothing
            return [1.0] + [0.0] * 9


def score_file(task):
    program, mode, path, checkout, repository = task
    sys.path.insert(0, str(repository))
    from pollock import metrics

    loaded, said = (
        load_with_swath(program, mode, path, checkout)
        if program
        else load_with_duckdb(mode, path, checkout)
    )
    clean = checkout / "clean" / path.name
    return path.name, measures_of(loaded, str(clean), metrics), said


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=pathlib.Path)
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--peer", action="store_true", help="DuckDB as well")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--worst", type=int, default=0, help="show the N worst files of each mode")
    parser.add_argument("--only", default="", help="files whose names begin so")
    asked = parser.parse_args()
    checkout = (asked.repository / "polluted_files").resolve()
    weights = json.loads((asked.repository / "pollock_weights.json").read_text())
    files = sorted(path for path in (checkout / "csv").iterdir() if path.name.startswith(asked.only))

    print(f"{'engine':<8} {'mode':<8} {'simple':>7} {'weighted':>9} {'failed':>7} {'perfect':>8} {'quiet':>6}")
    engines = [("swath", os.path.abspath(asked.swath))] + ([("duckdb", None)] if asked.peer else [])
    for name, program in engines:
        for mode in asked.modes.split(","):
            tasks = [(program, mode, path, checkout, asked.repository.resolve()) for path in files]
            with concurrent.futures.ProcessPoolExecutor() as pool:
                scored = list(pool.map(score_file, tasks, chunksize=16))
            total = sum(weights.get(file, -1) for file, _, _ in scored)
            simple = sum(sum(measures) for _, measures, _ in scored) / len(scored)
            weighted = sum(sum(m) * weights.get(file, -1) for file, m, _ in scored) / total
            failed = sum(measures[0] == 0 for _, measures, _ in scored)
            perfect = sum(sum(measures) > 9.9999 for _, measures, _ in scored)
            quiet = sum(sum(m) <= 9.9999 and m[0] > 0 and "note" not in said for _, m, said in scored)
            print(
                f"{name:<8} {mode:<8} {simple:>7.3f} {weighted:>9.3f} {failed:>7} {perfect:>8} {quiet:>6}",
                flush=True,
            )
            worst = sorted(scored, key=lambda entry: sum(entry[1]))[: asked.worst]
            for file, measures, said in worst:
                if sum(measures) < 9.9999:
                    what = next((line for line in said.splitlines() if line.strip()), "")
                    print(f"    {sum(measures):6.3f} {file:<40} {what[:110]}")


if __name__ == "__main__":
    main()
