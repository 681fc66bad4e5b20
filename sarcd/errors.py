"""Exceptions of sarcd: each says what is wrong with what, and how to fix it."""

_COMMANDS = frozenset({"conda", "dask", "gdal", "git", "ogr2ogr", "pip", "sarcd", "torchrun"})


def sentences(error: str, *, source: str | None = None, option: str | None = None, hint: str | None = None) -> str:
    """Join the parts of an error into the line that is printed.

    Its form is ``SOURCE: OPTION: message. Hint.`` The hint gets a capital letter unless it begins with a command, a
    path or code.

    Parameters
    ----------
    error : str
        What is wrong, without a full stop.
    source, option : str, optional
        The file or variable, and the setting, that the error is about.
    hint : str, optional
        How to fix it, without a full stop.

    Returns
    -------
    str
        One line that ends with a full stop.

    Examples
    --------
    >>> sentences("the file exists already", source="scene.zarr", hint="pass --overwrite to replace it")
    'scene.zarr: the file exists already. Pass --overwrite to replace it.'
    >>> sentences("torch is not installed", hint="pip install 'sarcd[learn]'")
    "torch is not installed. pip install 'sarcd[learn]'."
    """
    line = _ended(": ".join(" ".join(part.split()) for part in (source, option, error) if part))
    if not hint:
        return line
    hint = " ".join(hint.split())
    first = hint.split(" ", 1)[0].rstrip(",:;")
    if first.isalpha() and first.islower() and first not in _COMMANDS:
        hint = hint[0].upper() + hint[1:]
    return f"{line} {_ended(hint)}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


class SarcdError(Exception):
    """Base class of all errors that sarcd raises deliberately.

    Parameters
    ----------
    error : str
        What is wrong, as one clause without a full stop.
    source : str, optional
        File, store, variable or chunk that the error was found in.
    option : str, optional
        Option or argument that has to change.
    hint : str, optional
        How the user can fix it, as one clause without a full stop.

    Examples
    --------
    >>> str(SarcdError("time has 1 date; change needs 2", source="scene.zarr", hint="add an image"))
    'scene.zarr: time has 1 date; change needs 2. Add an image.'
    """

    def __init__(
        self, error: str, *, source: str | None = None, option: str | None = None, hint: str | None = None
    ) -> None:
        self.error = error
        self.source = source
        self.option = option
        self.hint = hint
        super().__init__(sentences(error, source=source, option=option, hint=hint))

    def __reduce__(self) -> tuple[object, ...]:
        # Default pickling loses keyword-only fields, and worker processes send errors back.
        return _rebuild, (type(self), self.__dict__.copy(), str(self))


def _rebuild(kind: type[SarcdError], fields: dict[str, object], text: str) -> SarcdError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    error.__dict__.update(fields)
    return error


class SceneError(SarcdError):
    """A dataset or store is not the scene that the operation needs."""


class InputError(SarcdError):
    """A file given by the user cannot be used: absent, unreadable, truncated, or of another kind."""


class OptionError(SarcdError):
    """An option or a configuration file holds a value that cannot be used."""


class StatisticsError(SarcdError):
    """Amplitude statistics are absent, empty or degenerate (MAD = 0)."""


class ModelError(SarcdError):
    """A model file is absent, damaged, hostile, or does not fit the scene."""


class TrainingError(SarcdError):
    """Training cannot start or continue."""


class ClusterError(SarcdError):
    """A cluster cannot be reached, or cannot run the job."""


class StoreError(SarcdError):
    """A store cannot be written as requested."""


class MissingPackageError(SarcdError, ImportError):
    """A package of one of sarcd's extras is not installed."""


class LockedError(StoreError):
    """Another process is writing the same variable."""


class MismatchError(StoreError):
    """Stored or incomplete results were made with parameters other than those requested."""


_INPUTS = ("slc", "amplitude", "label", "mask", "true_coherence", "time", "y", "x", "before", "after", "spatial_ref")


class CorruptChunkError(StoreError):
    """A stored chunk is absent, truncated or fails its checksum.

    Parameters
    ----------
    variable : str
        Name of the array.
    chunk : str
        Key of the chunk within the array, for example ``c/0/3/1``; empty where it is unknown.
    reason : str
        Message of the codec.
    """

    def __init__(self, variable: str, chunk: str, reason: str) -> None:
        self.variable = variable
        self.chunk = chunk
        super().__init__(
            f"chunk cannot be read ({reason})",
            source=f"{variable}/{chunk}" if chunk else variable,
            hint="restore it from a copy, or ingest again"
            if variable in _INPUTS
            else f"compute '{variable}' again with --overwrite",
        )
