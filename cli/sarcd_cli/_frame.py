"""Shared parts of the commands: common options, results on stdout, and notes and progress on stderr."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json as json_format
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_LONG = 8  # tasks of a graph that takes long enough for a bar, unlike reading a few dates
_PLACES = ("output", "out", "scene")  # parameters that name what a command writes to, most specific first


def common_options(*, json: bool = False) -> Callable[[Function], Function]:
    """Add ``--debug`` to a command, and ``--json`` (as its argument `json`) if it prints a result.

    If a command fails, `sarcd_cli.main` prints the traceback or one JSON object on stdout, according to these flags.

    Parameters
    ----------
    json : bool
        True if the command prints a result, which it must do with `echo_result`.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except OSError as error:
                # The error of a full disk has no file name; the path of the output identifies the disk.
                if error.errno is not None and error.filename is None:
                    error.filename = next((str(kwargs[name]) for name in _PLACES if kwargs.get(name)), None)
                raise

        option = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
        decorated = option(command)
        if json:
            decorated = click.option("--json", is_flag=True, help="Print one JSON object, also for errors.")(decorated)
        return decorated  # type: ignore[return-value]

    return decorate


def result_options(function: Function) -> Function:
    """Add ``--name`` and ``--overwrite`` to a command that writes variables."""
    for option in (
        click.option("--overwrite", is_flag=True, help="Replace a result that was made with other settings."),
        click.option(
            "--name",
            default="",
            metavar="SUFFIX",
            help="Suffix of the result's variables, as VARIABLE_SUFFIX, to keep several.",
        ),
    ):
        function = option(function)
    return function


def job_options(function: Function) -> Function:
    """Add ``--pairs``, ``--name`` and ``--overwrite`` to a command that writes variables of pairs."""
    option = click.option(
        "--pairs",
        metavar="WHICH",
        help="consecutive, reference (first date with each), all, or BEFORE:AFTER,... [every pair of the scene].",
    )
    return option(result_options(function))


def memory_option(function: Function) -> Function:
    """Add ``--memory`` in GiB to a command, as its argument `memory_bytes`."""
    option = click.option(
        "--memory",
        "memory_bytes",
        type=click.FloatRange(min=0.01),
        callback=lambda _context, _option, gib: None if gib is None else int(gib * 2**30),
        metavar="GIB",
        help="Maximum memory in GiB [half of the free memory, at most 1, on top of the memory in use].",
    )
    return option(function)


def scheduler_option(function: Function) -> Function:
    """Add ``--scheduler`` to a command, whose jobs then run on that cluster."""

    @functools.wraps(function)
    def command(*args: Any, scheduler: str | None, **kwargs: Any) -> Any:
        import dask

        from sarcd.jobs import cluster

        with contextlib.ExitStack() as stack:
            if stack.enter_context(cluster(scheduler)) is None:
                # Without this, dask takes half a second to import dask.distributed and look for a cluster.
                stack.enter_context(dask.config.set(scheduler="threads"))
            return function(*args, **kwargs)

    option = click.option(
        "--scheduler", metavar="ADDRESS", help="Run on a dask.distributed cluster, such as tcp://host:8786."
    )
    return option(command)  # type: ignore[return-value]


def note(text: str) -> None:
    """Print a note for the user on stderr, apart from the result."""
    click.echo(text, err=True)


def echo_result(result: Mapping[str, Any], json: bool) -> None:
    """Print a result on stdout: one JSON object, or a line for each entry.

    Parameters
    ----------
    result : mapping
        Plain values, NumPy scalars and arrays, dates and paths; mappings and lists of them. NaN becomes null in JSON.
    json : bool
        True for JSON.

    Examples
    --------
    >>> echo_result({"pixels": 12, "sensor": {"wavelength_m": 0.0555, "looks": None}}, json=False)
    pixels  12
    sensor
      wavelength_m  0.0555
      looks         -
    """
    if json:
        click.echo(json_format.dumps(_plain(result), allow_nan=False))
    else:
        click.echo("\n".join(_lines(result)))


def written(result: Any) -> dict[str, Any]:
    """Return the entries that every command prints about a job that wrote variables region by region."""
    return {
        "variables": list(result.variables),
        "pairs": result.pairs,
        "regions_computed": result.computed,
        "regions_kept": result.kept,
    }


def _plain(value: Any) -> Any:
    """Convert a value to types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if type(value).__name__ == "datetime64":
        return str(value)
    if hasattr(value, "tolist"):  # scalars and arrays of NumPy, and of xarray through their values
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (datetime.date, Path)):
        return str(value)
    return value


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    flat = [len(str(key)) for key, value in result.items() if not isinstance(value, Mapping)]
    width = max(flat, default=0)
    for key, value in result.items():
        if isinstance(value, Mapping):
            yield str(key)
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"{key!s:<{width}}  {_text(value)}"


def _text(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    return str(value)


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout, aligned by spaces, with numbers to the right; the header is bold on a terminal.

    Examples
    --------
    >>> echo_table(["over", "F1"], [["pooled", "0.913"], ["2023-03-19/2023-03-31", "0.9"]])
    over                      F1
    pooled                 0.913
    2023-03-19/2023-03-31    0.9
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        line = "  ".join([row[0].ljust(widths[0]), *right]).rstrip()
        click.secho(line, bold=True if row is header else None)


def _ignore(n: float = 1) -> None:
    """Ignore a step of a bar that is not shown."""


@contextlib.contextmanager
def progress(description: str, total: float | None) -> Iterator[Callable[..., None]]:
    """Show a progress bar on stderr during a long operation, if stderr is a terminal.

    Parameters
    ----------
    description : str
        What is being done.
    total : float or None
        Number of steps; None if it is unknown.

    Yields
    ------
    callable
        ``advance(n=1)`` moves the bar, from any thread.
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n=1: bar.update(task, advance=n)


@contextlib.contextmanager
def dask_progress(description: str) -> Iterator[None]:
    """Show a progress bar on stderr for dask computations in this context, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from dask.callbacks import Callback

    with contextlib.ExitStack() as shown:
        bars: list[Callable[..., None]] = []

        def start(_graph: Any, state: Mapping[str, Any]) -> None:
            total = sum(len(state[kind]) for kind in ("ready", "waiting", "running"))
            small = total < _LONG
            bars[:] = [_ignore if small else shown.enter_context(progress(description, total))]

        def step(*_task: Any) -> None:
            bars[0]()

        def finish(*_outcome: Any) -> None:
            shown.close()  # a second computation gets its own bar

        with Callback(start_state=start, posttask=step, finish=finish):
            yield
