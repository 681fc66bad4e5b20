"""Assertions on sarcd's log, like `pytest.warns` for warnings."""

import contextlib
import logging
import re


class _Kept(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def logged(match):
    """Fail unless sarcd logs a line that matches; yields all logged lines."""
    kept, logger = _Kept(), logging.getLogger("sarcd")
    logger.addHandler(kept)
    try:
        yield kept.lines
    finally:
        logger.removeHandler(kept)
    assert any(re.search(match, line) for line in kept.lines), f"{match!r} is in none of {kept.lines}"


@contextlib.contextmanager
def nothing_logged():
    """Fail if sarcd logs a warning."""
    kept, logger = _Kept(), logging.getLogger("sarcd")
    logger.addHandler(kept)
    try:
        yield
    finally:
        logger.removeHandler(kept)
    assert not kept.lines
