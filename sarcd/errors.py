"""One family of errors, each of which says what is wrong, where, and what helps."""


class SarcdError(Exception):
    """Base class of every error that sarcd raises on purpose.

    Parameters
    ----------
    error : str
        What is wrong, in one clause without a full stop.
    source : str, optional
        The file, store, variable or chunk that it was found in.
    option : str, optional
        The option or argument that has to change.
    hint : str, optional
        What the user can do about it.

    Examples
    --------
    >>> str(SarcdError("time has 1 date; change needs 2", source="scene.zarr", hint="add an image"))
    'scene.zarr: time has 1 date; change needs 2: add an image'
    """

    def __init__(
        self, error: str, *, source: str | None = None, option: str | None = None, hint: str | None = None
    ) -> None:
        self.error = error
        self.source = source
        self.option = option
        self.hint = hint
        parts = [part for part in (source, option, error, hint) if part]
        super().__init__(": ".join(" ".join(part.split()) for part in parts))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields do not survive the default pickling, and errors travel from worker processes.
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
    """Training cannot start or go on."""


class ClusterError(SarcdError):
    """A cluster cannot be reached, or cannot do the work."""


class StoreError(SarcdError):
    """A store cannot be written as asked."""


class MissingPackageError(SarcdError, ImportError):
    """A package of one of sarcd's extras is not installed."""


class LockedError(StoreError):
    """Another process is writing the same variable."""


class MismatchError(StoreError):
    """Stored or incomplete results were made with other parameters than those asked for."""


_INPUTS = ("slc", "amplitude", "label", "mask", "true_coherence", "time", "y", "x", "before", "after", "spatial_ref")


class CorruptChunkError(StoreError):
    """A stored chunk is absent, truncated or fails its checksum.

    Parameters
    ----------
    variable : str
        Name of the array.
    chunk : str
        Key of the chunk within the array, for example ``c/0/3/1``; empty where it could not be told.
    reason : str
        What the codec said.
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
