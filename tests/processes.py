"""Real ``sarcd`` processes, and small disks of their own, for fault-tolerance tests."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial


def sarcd(*words, **options):
    """Run ``sarcd``; returns the completed process."""
    return subprocess.run([*PROGRAM, *map(str, words)], capture_output=True, text=True, check=False, **options)


def started(*words):
    """Start ``sarcd`` and return the process."""
    return interruptible([*PROGRAM, *map(str, words)])


def forked(*words):
    """Start ``sarcd`` as a fork of a process that has already imported what commands need; returns the process.

    For tests that start many processes only to kill them, where imports would dominate the run time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported_once"])
    process = context.Process(target=_run_silently, args=([*map(str, words)],), daemon=True)
    process.start()
    return process


def _run_silently(words):
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    from sarcd_cli.main import main

    sys.exit(main(words))


def interruptible(command):
    """Start a program that Ctrl-C stops even if the tests run in a shell's background, where SIGINT is ignored."""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL) if os.name == "posix" else None
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, preexec_fn=heed)  # noqa: PLW1509  takes no lock


PROGRAM = [sys.executable, "-m", "sarcd_cli.main"]


def tree(path):
    """Return the bytes of every file."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def chunks(scene, name):
    """Return the chunks of a variable, the latest first."""
    files = [file for file in (scene / name).glob("c/*/*/*") if file.suffix != ".partial"]
    return sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True)


@contextlib.contextmanager
def caught_at(scene, name, count, *words):
    """Start ``sarcd`` and yield it once it has written this many chunks; it is killed at the end if still running."""
    with started(*words) as process:
        try:
            while process.poll() is None and len(chunks(scene, name)) < count:
                time.sleep(0.002)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def mounted(place, *options, kind="tmpfs", source="tmpfs"):
    """Mount a file system on a folder; yields None, or the reason why that is not possible here."""
    place.mkdir(exist_ok=True)
    command = ["mount", *(("-t", kind) if kind else ()), *options, str(source), str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = done.stderr.strip() if done.returncode else None
    except OSError as error:
        problem = str(error)
    try:
        yield problem
    finally:
        if problem is None:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def local_cluster(**options):
    """Start a cluster of processes; the environment variables it sets in this process are restored."""
    from distributed import LocalCluster

    before = dict(os.environ)
    try:
        with LocalCluster(dashboard_address=":0", **options) as running:
            yield running
    finally:
        os.environ.clear()
        os.environ.update(before)


def only_line(process):
    """Return the only line that a process left on stderr; fails if it printed anything to stdout."""
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1, process.stderr
    return process.stderr
