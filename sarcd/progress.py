"""How long work tells of its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Progress = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Called with a description and a total; gives a context whose value is called with each advance."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda count: None
