"""Entry point of ``sarcd``: finds and runs the command, and reports every failure in one line and an exit code.

Only click is imported here, so that ``sarcd --help`` is fast; the module of a command is imported when it is run.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import json
import logging
import os
import platform
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

COMMANDS = {
    "demo": "Map the changes of a simulated mine with the pretrained model, in less than a minute.",
    "simulate": "Simulate a mine with known changes as a scene.",
    "ingest": "Create a scene from two or more coregistered radar images.",
    "info": "Show the contents of a scene, how they were made, and what is unfinished.",
    "remove": "Remove results from a scene, finished or unfinished.",
    "statistics": "Compute the median and MAD of the amplitudes, and store them in the scene.",
    "coherence": "Estimate the coherence of each pair, and store it in the scene.",
    "train": "Train a network on labelled scenes.",
    "pseudo-label": "Label the patches of scenes where a model is confident, for further training.",
    "detect": "Detect changes without a model of your own, by the method that suits the scene.",
    "predict": "Map the changes of a scene with a network: the pretrained model or your own.",
    "models": "List the pretrained models, or show the card of one.",
    "summarise": "Count the changes of three or more dates, with their times and whether they persisted.",
    "evaluate": "Score a change map against the labels of the scene.",
    "threshold": "Choose the threshold of a change probability on labelled scenes.",
    "export": "Write a result as a GeoTIFF, polygons or a picture, by the suffix of the file.",
}
"""All commands with one line of help each. The file ``<name>.py`` beside this one (``_`` for ``-``) has a click command
called ``command`` whose docstring begins with the same line."""

RESUMED = ("coherence", "detect", "train", "pseudo-label", "predict", "summarise")
"""Commands that resume after an interruption; the others start again, and leave nothing incomplete behind."""

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class LazyGroup(click.Group):
    """Group that knows its commands by name, and imports only the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a typical first session."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return its command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"sarcd_cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the requested command, or suggest one with a similar name."""
        close = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if close and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'; did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and keep click from treating its errors as Ctrl-C or Ctrl-D."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error
        except EOFError as error:  # no command prompts, so this comes from a file
            raise RuntimeError(f"EOFError: {error}") from error


_VERSIONS_OF = ("xarray", "zarr", "dask", "numba", "rasterio", "torch")


def _show_versions(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Show the versions of sarcd, Python and the packages that results depend on, for bug reports."""
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    click.echo(f"sarcd {version('sarcd')}")
    found = [f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for name in _VERSIONS_OF:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    click.echo(", ".join(found))
    ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_versions,
    help="Show versions and exit.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Map the changes that matter between radar images of the same ground.

    'sarcd demo' runs all steps on a simulated mine; 'sarcd COMMAND --help' explains one step.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


class Failure(NamedTuple):
    """Message about a failure, and the exit code."""

    error: str
    source: str | None = None
    option: str | None = None
    hint: str | None = None
    code: int = FAILED

    def line(self) -> str:
        """Return the message as one line of text."""
        if self.code == INTERRUPTED:
            return f"{self.error}; {self.hint}"
        from sarcd.errors import sentences  # imports xarray, which commands that succeed may never need

        return f"error: {sentences(self.error, source=self.source, option=self.option, hint=self.hint)}"


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments after ``sarcd``; by default those of the process.
    """
    words = list(sys.argv[1:] if args is None else args)
    try:
        with _terminate_as_interrupt(), _short_warnings(), _log_to_stderr():
            code = group.main(words, prog_name="sarcd", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, next((word for word in words if word in COMMANDS), None))
        # Read from the arguments themselves, since a usage error occurs before options have values.
        flags = set(words[: words.index("--")] if "--" in words else words)
        if "--debug" in flags:
            traceback.print_exception(error)
        if "--json" in flags:
            keys = ("error", "source", "option", "hint")
            click.echo(json.dumps({key: getattr(failure, key) for key in keys}))
        else:
            click.echo(failure.line(), err=True)
        return failure.code
    return code if isinstance(code, int) else DONE  # click returns the code of an early exit, such as --help


def run() -> NoReturn:
    """Run the command line as a program, and exit."""
    code = main()
    if code == INTERRUPTED:
        # Threads may still compute results that are no longer needed, and Python would wait for them.
        with contextlib.suppress(OSError):  # the reader of a pipe may have closed it
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def explain(error: BaseException, command: str | None = None) -> Failure:
    """Return the message and exit code for an exception of a command, which replace the traceback."""
    own = sys.modules.get("sarcd.errors")  # if it is not loaded, the error is not one of its errors
    if own is not None and isinstance(error, own.SarcdError):
        return Failure(error.error, error.source, error.option, error.hint)
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        hint = "the same command resumes" if command in RESUMED else "run the same command again"
        return Failure("interrupted", hint=hint, code=INTERRUPTED)
    if isinstance(error, click.ClickException):
        return _explain_usage(error)
    if isinstance(error, OSError):
        return _explain_system(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # that of torch is a RuntimeError
        text = _one_line(str(error))
        return Failure(f"out of memory ({text})" if text else "out of memory", hint="use smaller tiles or batches")
    if type(error).__module__.split(".")[0] == "obstore":
        text = _one_line(str(error).split("Debug source")[0])
        return Failure(text, hint="check the address, the credentials and AWS_ENDPOINT_URL")
    text = f"internal error: {type(error).__name__}: {_one_line(str(error))} (run with --debug for the traceback)"
    return Failure(text)


def _explain_usage(error: click.ClickException) -> Failure:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "sarcd"
    hint = f"see '{path} --help'" if isinstance(error, click.UsageError) else None
    return Failure(error.format_message().rstrip("."), path, hint=hint, code=error.exit_code)


def _explain_system(error: OSError) -> Failure:
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space there, then run the same command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "check its permissions, or name another place"
    source = None if error.filename is None else str(error.filename)
    return Failure((error.strerror or str(error) or type(error).__name__).lower(), source, hint=hint)


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that a run that a cluster's time limit ends can be resumed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show each warning as one line, without its source."""

    def show(message: Warning | str, *_where: Any, **_more: Any) -> None:
        click.echo(f"warning: {_one_line(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Show each log record of sarcd as one line on stderr."""
    handler = _Lines(logging.INFO)
    logger = logging.getLogger("sarcd")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stderr in the format of warnings."""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{_one_line(record.getMessage())}", err=True)


if __name__ == "__main__":
    run()
