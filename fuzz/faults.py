#!/usr/bin/env python3
"""Lets every n-th system call of a write fail, for every n, and looks at what is left.

    python3 fuzz/faults.py --swath PROGRAM [--calls write,fsync,...] [--most 5000]      (needs strace)

After SQLite's I/O error tests: whatever fails, the target is as it was before or as it should be after;
a run that says that it went well has left the latter; and the next run goes well and leaves no litter.
Counting is per thread, as strace does it. Faults that hit no file but what wakes threads are not counted.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

CALLS = "openat,write,pwrite64,fsync,fdatasync,rename,renameat2,linkat,unlink,mkdir,ftruncate,flock,fchmod"
ERRORS = {"openat": ["EMFILE", "EACCES"], "write": ["ENOSPC", "EIO"], "pwrite64": ["ENOSPC"], "mkdir": ["ENOSPC"]}
OLD = "SELECT value AS v, value % 2 AS k FROM range(5)"
NEW = "SELECT value AS v, value % 2 AS k FROM range(3000)"
# What is there, what is done, by whom.
WRITES = {
    "a file that is replaced": (f"COPY ({OLD}) TO '{{t}}/out.parquet'", f"COPY ({NEW}) TO '{{t}}/out.parquet'"),
    "a new file": ("", f"COPY ({NEW}) TO '{{t}}/new.csv'"),
    "a folder that is replaced": (
        f"COPY ({OLD}) TO '{{t}}/folder' (FORMAT parquet, PARTITION_BY (k))",
        f"COPY ({NEW}) TO '{{t}}/folder' (FORMAT parquet, PARTITION_BY (k), OVERWRITE)",
    ),
    "rows that are added": (
        f"COPY ({OLD}) TO '{{t}}/folder' (FORMAT parquet, PARTITION_BY (k))",
        f"INSERT INTO '{{t}}/folder' {NEW}",
    ),
}


def command(program, sql):
    return [program, "--quiet", "--no-cache", "--threads", "1", "--format", "csv", "-c", sql]


def run(words):
    """None if it does not end."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def state(program, folder):
    """What a reader sees: the rows, or that there is nothing."""
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    if not names:
        return "nothing"
    target = f"{folder}/{names[0]}"
    done = run(command(program, f"SELECT count(*), sum(v), sum(k) FROM '{target}'"))
    return done.stdout.strip() if done.returncode == 0 else f"unreadable: {done.stderr.strip()}"


def is_wakeup(hit):
    """Whether a call woke a thread, and wrote to no file."""
    return any(kind in hit for kind in ("eventfd", "pipe:", "socket:"))


def litter(folder):
    found = [path for path in pathlib.Path(folder).rglob(".swath-*")]
    return [str(path) for path in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--calls", default=CALLS)
    parser.add_argument("--most", type=int, default=5000)
    asked = parser.parse_args()
    program = os.path.abspath(asked.swath)
    tried, wrong = 0, []
    with tempfile.TemporaryDirectory() as base:
        for name, (before, write) in WRITES.items():
            start, target = f"{base}/start", f"{base}/target"
            shutil.rmtree(start, ignore_errors=True)
            os.mkdir(start)
            if before:
                done = run(command(program, before.format(t=start)))
                assert done.returncode == 0, done.stderr
            old = state(program, start)
            shutil.copytree(start, target)
            assert run(command(program, write.format(t=target))).returncode == 0
            new = state(program, target)
            shutil.rmtree(target)
            for call in asked.calls.split(","):
                for error in ERRORS.get(call, ["EIO"]):
                    missed = 0
                    for nth in range(1, asked.most + 1):
                        shutil.copytree(start, target)
                        log = f"{base}/log"
                        inject = ["strace", "-f", "-y", "-qq", "-o", log, "-e", f"trace={call}"]
                        inject += ["-e", f"inject={call}:error={error}:when={nth}"]
                        done = run(inject + command(program, write.format(t=target)))
                        lines = pathlib.Path(log).read_text(errors="replace").splitlines()
                        hits = [line for line in lines if "(INJECTED)" in line]
                        was_hit = bool(hits)
                        if any(is_wakeup(hit) for hit in hits):
                            shutil.rmtree(target)
                            missed += 1
                            if missed == 3:
                                break
                            continue
                        missed = 0
                        left = state(program, target)
                        tried += was_hit
                        if done is None:
                            wrong.append(f"{name}: {call} {nth} {error}: hangs")
                        elif left not in (old, new) or done.returncode == 0 and left != new:
                            wrong.append(f"{name}: {call} {nth} {error}: exit {done.returncode}, {left}")
                        again = run(command(program, write.format(t=target)))
                        if again.returncode or litter(target):
                            wrong.append(f"{name}: {call} {nth} {error}: then {again.stderr.strip()} {litter(target)}")
                        shutil.rmtree(target)
                        if not was_hit:
                            break
            print(f"{name}: {tried} faults so far, {len(wrong)} wrong", flush=True)
    print("\n".join(wrong))
    print(f"{tried} faults, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
