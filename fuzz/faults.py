#!/usr/bin/env python3
"""Lets every n-th system call of a write fail, for every n, and looks at what is left.

    python3 fuzz/faults.py --swath PROGRAM [--calls write,fsync,...] [--most 5000]      (needs strace)
    python3 fuzz/faults.py --swath PROGRAM --calls full --most 5000

`full` is a disk that takes no file longer than so many bytes, for every number up to the longest file.

After SQLite's I/O error tests: whatever fails, the target is as it was before or as it should be after;
a run that says that it went well has left the latter; and the next run goes well and leaves no litter.
Counting is per thread, as strace does it. Faults that hit no file but what wakes threads are not counted.
"""

import argparse
import os
import pathlib
import resource
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


def limited(len_max):
    """Lets this process write no file longer than that, and hear of it as an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len_max, len_max))


def run(words, len_max=None):
    """None if it does not end."""
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=None if len_max is None else lambda: limited(len_max),
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


class Trial:
    """A write that is done again and again from the same start, while something fails."""

    def __init__(self, program, base, name):
        before, self.write = WRITES[name]
        self.program, self.base, self.name = program, base, name
        self.start, self.target = f"{base}/start", f"{base}/target"
        self.tried, self.wrong = 0, []
        shutil.rmtree(self.start, ignore_errors=True)
        os.mkdir(self.start)
        if before:
            done = run(command(program, before.format(t=self.start)))
            assert done.returncode == 0, done.stderr
        self.old = state(program, self.start)
        self.renew()
        assert self.written().returncode == 0
        self.new = state(program, self.target)
        files = [path for path in pathlib.Path(self.target).rglob("*") if path.is_file()]
        self.longest = max(path.stat().st_size for path in files)

    def renew(self):
        shutil.rmtree(self.target, ignore_errors=True)
        shutil.copytree(self.start, self.target)

    def written(self, before=(), len_max=None):
        words = command(self.program, self.write.format(t=self.target))
        return run([*before, *words], len_max)

    def judge(self, what, done):
        """Looks at what a run left, and at the next."""
        self.tried += 1
        left = state(self.program, self.target)
        if done is None:
            self.wrong.append(f"{self.name}: {what}: hangs")
        elif left not in (self.old, self.new) or done.returncode == 0 and left != self.new:
            self.wrong.append(f"{self.name}: {what}: exit {done.returncode}, {left}")
        again = self.written()
        if again is None or again.returncode or litter(self.target):
            said = again and again.stderr.strip()
            self.wrong.append(f"{self.name}: {what}: then {said} {litter(self.target)}")

    def full(self, most):
        """No file longer than so many bytes."""
        step = max(1, (self.longest - 600) // max(1, most - 600))
        for len_max in [*range(min(600, self.longest)), *range(600, self.longest, step)][:most]:
            self.renew()
            self.judge(f"{len_max} bytes", self.written(len_max=len_max))

    def call(self, call, error, most):
        """The n-th call of this kind fails."""
        missed = 0
        for nth in range(1, most + 1):
            self.renew()
            log = f"{self.base}/log"
            inject = ["strace", "-f", "-y", "-qq", "-o", log, "-e", f"trace={call}"]
            inject += ["-e", f"inject={call}:error={error}:when={nth}"]
            done = self.written(before=inject)
            lines = pathlib.Path(log).read_text(errors="replace").splitlines()
            hits = [line for line in lines if "(INJECTED)" in line]
            if not hits:
                return
            if any(is_wakeup(hit) for hit in hits):
                missed += 1
                if missed == 3:
                    return
                continue
            missed = 0
            self.judge(f"{call} {nth} {error}", done)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swath", default="target/release/swath")
    parser.add_argument("--calls", default=CALLS)
    parser.add_argument("--most", type=int, default=5000)
    asked = parser.parse_args()
    program = os.path.abspath(asked.swath)
    tried, wrong = 0, []
    with tempfile.TemporaryDirectory() as base:
        for name in WRITES:
            trial = Trial(program, base, name)
            for call in asked.calls.split(","):
                if call == "full":
                    trial.full(asked.most // len(WRITES))
                for error in ERRORS.get(call, ["EIO"]) if call != "full" else []:
                    trial.call(call, error, asked.most)
            tried += trial.tried
            wrong += trial.wrong
            print(f"{name}: {tried} faults so far, {len(wrong)} wrong", flush=True)
    print("\n".join(wrong))
    print(f"{tried} faults, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
