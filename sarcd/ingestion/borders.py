"""Areas that touch the edge of an image, found window by window: the borders that fill a footprint up to a rectangle.

An area is connected to the edge by pixels that share a side. Each window is labelled by itself; of its areas only those
on its rim can reach the edge of the image, so a graph of these, a few for each pixel of the rims, decides. Memory does
not grow with the image but with the rims, and the answer does not depend on the windows.
"""

from __future__ import annotations

import numpy as np

Window = tuple[slice, slice]

_EDGE = 0  # node of the graph that stands for everything beyond the image


class EdgeAreas:
    """Which pixels are connected to the edge of an image.

    Windows are added in rows, from the top and from the left, and cover the image as a grid.

    Parameters
    ----------
    width, height : int
        Of the image, in pixels.

    Examples
    --------
    >>> mask = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    >>> areas = EdgeAreas(4, 3)
    >>> areas.add((slice(0, 3), slice(0, 4)), mask, mask)
    >>> areas.close()
    2
    >>> areas.connected(0, mask).astype(int).tolist()
    [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._above = np.zeros(width, np.int64)  # node of each pixel in the row above the windows at hand, 0 for none
        self._left = np.zeros(0, np.int64)
        self._links: list[np.ndarray] = []
        self._counts = [np.zeros(1, np.int64)]
        self._windows: list[tuple[int, np.ndarray]] = []  # first node of each window, and its own numbers of its areas
        self._nodes = 1
        self._reached = np.zeros(0, bool)

    def add(self, window: Window, passable: np.ndarray, counted: np.ndarray) -> None:
        """Add a window.

        Parameters
        ----------
        window : (slice, slice)
            Its rows and columns of the image.
        passable : (y, x) bool
            Pixels that areas consist of.
        counted : (y, x) bool
            Those of them that are counted.
        """
        y, x = window
        labels, found = _label(passable)
        rims = labels[0], labels[-1], labels[:, 0], labels[:, -1]
        on_rim = np.unique(np.concatenate(rims))
        on_rim = on_rim[on_rim > 0]
        nodes = np.zeros(found + 1, np.int64)
        nodes[on_rim] = self._nodes + np.arange(len(on_rim))
        self._windows.append((self._nodes, on_rim))
        self._counts.append(np.bincount(labels[counted], minlength=found + 1)[on_rim])
        self._nodes += len(on_rim)
        top, bottom, left, right = (nodes[rim] for rim in rims)
        at_edge = y.start == 0, y.stop == self._height, x.start == 0, x.stop == self._width
        for is_edge, rim in zip(at_edge, (top, bottom, left, right), strict=True):
            if is_edge:
                self._link(rim, np.full(len(rim), _EDGE), edge=True)
        if y.start > 0:
            self._link(top, self._above[x])
        if x.start > 0:
            self._link(left, self._left)
        self._above[x], self._left = bottom, right

    def _link(self, one: np.ndarray, other: np.ndarray, *, edge: bool = False) -> None:
        touching = (one > 0) if edge else (one > 0) & (other > 0)
        if touching.any():
            self._links.append(np.unique(np.stack([one[touching], other[touching]], axis=1), axis=0))

    def close(self) -> int:
        """Decide, after the last window, and return how many of the counted pixels are connected to the edge."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = np.concatenate(self._links) if self._links else np.zeros((0, 2), np.int64)
        graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(self._nodes, self._nodes))
        _, component = connected_components(graph, directed=False)
        self._reached = component == component[_EDGE]
        return int(np.concatenate(self._counts)[self._reached].sum())

    def reaches(self, index: int) -> bool:
        """Tell whether a window, by its place in the order of adding, has pixels that are connected to the edge."""
        first, on_rim = self._windows[index]
        return bool(self._reached[first : first + len(on_rim)].any())

    def connected(self, index: int, passable: np.ndarray) -> np.ndarray:
        """Return where the pixels of a window, the same that were added, are connected to the edge: (y, x) bool."""
        first, on_rim = self._windows[index]
        labels, found = _label(passable)
        reached = np.zeros(found + 1, bool)
        reached[on_rim] = self._reached[first : first + len(on_rim)]
        return np.asarray(reached[labels])


def _label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    if not mask.any():
        return np.zeros(mask.shape, np.int32), 0
    from scipy.ndimage import label

    labels, found = label(mask)
    return labels, int(found)
