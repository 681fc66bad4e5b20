"""The command-line framework: fast start, lazy imports, and one line and an exit code for each failure."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

import sarcd_cli
from sarcd.errors import CorruptChunkError, OptionError, SceneError
from sarcd_cli import _frame as frame_module
from sarcd_cli import main as main_module
from sarcd_cli._frame import common_options, dask_progress, echo_result, note, progress
from sarcd_cli.main import COMMANDS, RESUMED, explain, main
from tests.processes import interruptible

HEAVY = ("torch", "numba", "xarray", "dask", "rasterio", "matplotlib", "numpy", "rich", "zarr", "sarcd")


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def probe(monkeypatch):
    """Register a function as the command `probe` with ``probe(function)``."""

    def add(function):
        command = click.command("probe")(function)
        module = type(sys)("sarcd_cli.probe")
        module.command = command
        monkeypatch.setitem(sys.modules, "sarcd_cli.probe", module)
        monkeypatch.setitem(COMMANDS, "probe", "Probe.")

    return add


@pytest.fixture
def fails(probe):
    """Run a command that raises the error and return the exit code, with ``fails(error)``."""

    def run(error, *flags, before=()):
        @click.argument("scene", default="scene.zarr")
        @common_options(json=True)
        def command(scene, json):
            raise error

        probe(command)
        return main([*before, "probe", *flags])

    return run


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_lists_every_command_and_loads_nothing_heavy(words):
    code = f"""
import sys
from sarcd_cli.main import main
code = main({words!r})
loaded = [name for name in {HEAVY!r} if name in sys.modules]
commands = [name for name in sys.modules if name.startswith("sarcd_cli.") and name != "sarcd_cli.main"]
sys.exit(code or (f"loaded {{loaded + commands}}" if loaded + commands else 0))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    for name, text in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert text.split(".")[0][:30] in done.stdout


def test_table_of_commands_is_true():
    modules = {path.stem for path in Path(sarcd_cli.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    assert modules - {"main"} == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_of_the_table(name, capsys):
    command = import_module(f"sarcd_cli.{name.replace('-', '_')}").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name]
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: sarcd {name}" in out
    assert "--debug" in out


def test_help_of_every_command_stays_light():
    code = """
import sys
from sarcd_cli.main import COMMANDS, main
for name in COMMANDS:
    assert main([name, "--help"]) == 0
loaded = [name for name in ("torch", "numba", "dask", "rasterio", "matplotlib") if name in sys.modules]
sys.exit(f"loaded {loaded}" if loaded else 0)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_version(capsys):
    from sarcd import __version__

    assert main(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"sarcd {__version__}"
    for name in ("Python 3.", "xarray ", "zarr ", "dask ", "numba ", "rasterio ", "torch "):
        assert name in second


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nonsense"], "error: sarcd: No such command 'nonsense'. See 'sarcd --help'.\n"),
        (["evaluat"], "error: sarcd: No such command 'evaluat'; did you mean 'evaluate'? See 'sarcd --help'.\n"),
        (["evaluate"], "error: sarcd evaluate: Missing argument 'SCENE...'. See 'sarcd evaluate --help'.\n"),
    ],
)
def test_wrong_usage_is_one_line(words, line, capsys):
    assert main(words) == 2
    assert capsys.readouterr() == ("", line)


def test_wrong_usage_as_json(capsys):
    assert main(["evaluate", "scene.zarr", "--threshold", "high", "--json"]) == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["source"] == "sarcd evaluate"
    assert "'high' is not a valid float" in found["error"]
    assert found["hint"] == "see 'sarcd evaluate --help'"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SceneError("no 'label'", source="a.zarr", hint="add\nlabels"), 1, "error: a.zarr: no 'label'. Add labels."),
        (
            CorruptChunkError("slc", "c/0/1/2", "checksum"),
            1,
            "error: slc/c/0/1/2: chunk cannot be read (checksum). Restore it from a copy, or ingest again.",
        ),
        (
            click.UsageError("put the scene first"),
            2,
            "error: sarcd probe: put the scene first. See 'sarcd probe --help'.",
        ),
        (click.ClickException("odd"), 1, "error: sarcd: odd."),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again"),
        (click.Abort(), 130, "interrupted; run the same command again"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.zarr/slc"),
            1,
            "error: a.zarr/slc: no space left on device. Free some space there, then run the same command again.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: scene.zarr: no space left on device. Free some space there, then run the same command again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            1,
            "error: /x/y: permission denied. Check its permissions, or name another place.",
        ),
        (OSError("cannot open\nthis"), 1, "error: cannot open this."),
        (
            MemoryError("Unable to allocate 9 GiB"),
            1,
            "error: out of memory (Unable to allocate 9 GiB). Use smaller tiles",
        ),
        (
            KeyError("x"),
            1,
            "error: internal error: KeyError: 'x' (run with --debug for the traceback).",
        ),
        (EOFError("no\nmore"), 1, "error: internal error: RuntimeError: EOFError: no more (run with --debug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_failure_is_one_line_on_stderr_with_its_code(error, code, line, fails, capsys):
    assert fails(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(line)


def test_memory_of_the_device_counts_as_memory(fails, capsys):
    kind = type("OutOfMemoryError", (RuntimeError,), {})
    assert fails(kind("CUDA out of memory")) == 1
    assert capsys.readouterr().err.startswith("error: out of memory (CUDA out of memory)")


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (SceneError("bad", source="a.zarr", hint="do so"), 1, {"error": "bad", "source": "a.zarr", "hint": "do so"}),
        (OptionError("bad", option="window"), 1, {"error": "bad", "option": "window"}),
        (SceneError("bad"), 1, {"error": "bad"}),
        (KeyboardInterrupt(), 130, {"error": "interrupted", "hint": "run the same command again"}),
    ],
)
def test_failures_as_json(error, code, expected, fails, capsys):
    assert fails(error, "--json") == code
    out, err = capsys.readouterr()
    assert json.loads(out) == {"source": None, "option": None, "hint": None, **expected}
    assert err == ""


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(place, fails, capsys):
    error = SceneError("bad")
    assert (fails(error, before=["--debug"]) if place == "before" else fails(error, "--debug")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: bad.\n")


def test_words_after_two_dashes_are_no_flags(fails, capsys):
    assert fails(SceneError("bad"), "--", "--json") == 1
    assert capsys.readouterr() == ("", "error: bad.\n")


def test_warnings_are_one_line(probe, capsys):
    probe(lambda: warnings.warn("mind\nthe gap", UserWarning, stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["probe"]) == 0
    assert capsys.readouterr() == ("", "warning: mind the gap\n")


def test_exit_code_of_a_command_is_kept(probe):
    probe(lambda: click.get_current_context().exit(3))
    assert main(["probe"]) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_in_one_line(sent):
    code = """
import sys, time, types, click
from sarcd_cli import main as frame
@click.command("probe")
def command():
    print("ready", flush=True)
    time.sleep(60)
module = types.ModuleType("sarcd_cli.probe")
module.command = command
sys.modules["sarcd_cli.probe"] = module
frame.COMMANDS["probe"] = "Wait."
sys.exit(frame.main(["probe"]))
"""
    with interruptible([sys.executable, "-c", code]) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)  # let it start sleeping
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted; run the same command again\n")


def test_only_commands_that_resume_say_so():
    assert set(RESUMED) < set(COMMANDS)
    for name in COMMANDS:
        assert ("resumes" in explain(KeyboardInterrupt(), name).line()) == (name in RESUMED)


def test_signal_handler_is_given_back():
    def mine(*_): ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        assert main(["--version"]) == 0
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_closed_pipe_is_quiet():
    done = subprocess.run(
        f"'{sys.executable}' -m sarcd_cli.main --help | true", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_result_as_json(capsys):
    result = {
        "f1": np.float64(0.5),
        "none": float("nan"),
        "counts": np.array([1, 2]),
        "date": np.datetime64("2023-03-19"),
        "path": Path("a/b"),
        "nested": {"flag": np.bool_(True), "list": (1, np.float32(np.inf))},
    }
    echo_result(result, json=True)
    assert json.loads(capsys.readouterr().out) == {
        "f1": 0.5,
        "none": None,
        "counts": [1, 2],
        "date": "2023-03-19",
        "path": "a/b",
        "nested": {"flag": True, "list": [1, None]},
    }


def test_result_as_text(capsys):
    echo_result({"pixels": 12, "ok": True, "dates": ["2023-03-19", "2023-03-31"], "share": 1 / 3, "no": []}, json=False)
    assert capsys.readouterr().out.splitlines() == [
        "pixels  12",
        "ok      yes",
        "dates   2023-03-19, 2023-03-31",
        "share   0.3333",
        "no      -",
    ]


class Terminal:
    """A stream that claims to be a terminal."""

    def __init__(self, stream):
        self.stream = stream

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self.stream, name)


def test_progress_is_silent_in_pipes(capsys):
    with progress("doing", 3) as advance, dask_progress("more"):
        advance()
        advance(2)
    note("a note")
    assert capsys.readouterr() == ("", "a note\n")


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    with progress("doing", 3) as advance:
        advance()
        advance(n=2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "doing" in err
    assert "3/3" in err


def test_dask_progress_gives_each_computation_a_bar_of_its_own(monkeypatch):
    import dask.array as da

    events = []

    @contextlib.contextmanager
    def recorded(description, total):
        events.append([description, total, 0])
        yield lambda: events[-1].__setitem__(2, events[-1][2] + 1)
        events[-1].append("closed")

    monkeypatch.setattr(frame_module, "progress", recorded)
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    with dask_progress("counting"):
        da.zeros(32, chunks=2).sum().compute()
        assert events[0][3:] == ["closed"]
        da.zeros(4, chunks=2).compute()  # too small for a progress bar
        da.zeros(64, chunks=2).sum().compute()
    assert [event[0] for event in events] == ["counting"] * 2
    for _, total, steps, *closed in events:
        assert (steps, closed) == (total, ["closed"])
        assert total > 0


def test_main_imports_click_alone():
    source = Path(main_module.__file__).read_text(encoding="utf-8")
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"click"}


def test_python_runs_the_package_as_the_command():
    found = subprocess.run([sys.executable, "-m", "sarcd", "--help"], check=True, capture_output=True, text=True).stdout
    assert found.startswith("Usage: sarcd ")
