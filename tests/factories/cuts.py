"""Random chunkings for tests."""

from hypothesis import strategies as st


def cuts(size):
    """Draw chunk sizes along an axis: any composition of its length."""
    return st.lists(st.integers(1, size), min_size=1, max_size=6).map(lambda parts: _compose(parts, size))


def _compose(parts, size):
    out = []
    for part in parts:
        if sum(out) + part >= size:
            break
        out.append(part)
    return (*out, size - sum(out))
