"""Window size as used in options."""

from __future__ import annotations

from dataclasses import dataclass

from sarcd.errors import OptionError


@dataclass(frozen=True)
class Window:
    """Size of a rectangular window in pixels; both sides are odd so that it has a centre.

    Examples
    --------
    >>> Window(y=7, x=5).pixels
    35
    >>> Window.of(5)
    Window(y=5, x=5)
    """

    y: int
    x: int

    def __post_init__(self) -> None:
        for axis, size in (("y", self.y), ("x", self.x)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1 or size % 2 == 0:
                raise OptionError(
                    f"window size along {axis} is {size!r}",
                    option="window",
                    hint="use odd whole numbers such as 5, or Window(y=7, x=5)",
                )

    @classmethod
    def of(cls, window: int | Window | tuple[int, int]) -> Window:
        """Return a `Window` from a whole number, a (y, x) pair or a `Window`."""
        if isinstance(window, Window):
            return window
        if isinstance(window, (tuple, list)) and len(window) == 2:
            return cls(*window)
        return cls(window, window)

    @property
    def pixels(self) -> int:
        """Number of pixels in the window."""
        return self.y * self.x

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels by which the window extends beyond its centre, along y and x."""
        return self.y // 2, self.x // 2
