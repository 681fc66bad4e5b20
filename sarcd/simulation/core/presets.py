"""The three sites, others like them, and options given as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sarcd.errors import OptionError
from sarcd.simulation.core.fields import Dice
from sarcd.simulation.core.options import SiteOptions

SITES: dict[str, SiteOptions] = {
    # Arid, one large pit, seen ascending.
    "A": SiteOptions(site="A", vegetation=0.12, water=0.01, noise_db=-22.0),
    # Farmland, a river and a town: the most varied, seen descending, brighter and noisier.
    "B": SiteOptions(
        site="B",
        vegetation=0.25,
        water=0.03,
        fields=0.4,
        river=True,
        town=True,
        cell_px=1350,
        pit=225.0,
        dump=115.0,
        tailings=95.0,
        wet=0.6,
        relief_m=15.0,
        changes=(2, 4),
        moist=(0.14, 0.24),
        vehicles=4500.0,
        gain_db=6.0,
        noise_db=-19.5,
        incidence_deg=29.0,
        look="left",
        oversampling=(1.3, 1.15),
        spacing_m=3.0,
        ramp=(-0.001, 0.003),
    ),
    # Wooded hills with lakes, seen ascending at a flat angle, darker.
    "C": SiteOptions(
        site="C",
        vegetation=0.5,
        water=0.05,
        pit=250.0,
        dump=135.0,
        tailings=125.0,
        wet=0.35,
        relief_m=32.0,
        moist=(0.1, 0.2),
        vehicles=2500.0,
        gain_db=-4.0,
        noise_db=-22.5,
        incidence_deg=41.0,
        oversampling=(1.15, 1.35),
        spacing_m=2.2,
        ramp=(0.001, 0.001),
    ),
}
"""What the three sites are made of, and the radar that watches them."""


def varied(seed: int, *, no_change: bool = False) -> SiteOptions:
    """Return a site like no other: what a network that is to serve anywhere should learn from.

    Calibration, looks (oversampling and spectral weight), incidence, look side, level and decay of coherence, noise,
    prevalence, land cover and sizes are drawn, each over more than the three sites span.

    Parameters
    ----------
    seed : int
        The same seed gives the same options.
    no_change : bool
        With pseudo-changes alone: moisture, vegetation, water, traffic.

    Examples
    --------
    >>> varied(0) == varied(0), varied(0) == varied(1), varied(3, no_change=True).changes
    (True, False, (0, 0))
    """
    rng = Dice(seed, "varied").stream("options")

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    fewest = int(rng.integers(2, 6))
    options = SiteOptions(
        site=f"varied {seed}",
        vegetation=draw(0.05, 0.6),
        water=draw(0.0, 0.08),
        fields=draw(0.1, 0.6) if rng.random() < 0.4 else 0.0,
        river=bool(rng.random() < 0.4),
        town=bool(rng.random() < 0.5),
        cell_px=int(rng.integers(1150, 1500)),
        pit=draw(170, 300),
        dump=draw(90, 150),
        tailings=draw(80, 140),
        wet=draw(0.1, 0.8),
        relief_m=draw(5, 40),
        changes=(fewest, fewest + 3),
        change_size=draw(0.8, 1.2),
        moist=(0.0, draw(0.1, 0.4)),
        vehicles=draw(0, 8000),
        gain_db=draw(-12, 12),
        noise_db=draw(-26, -17),
        incidence_deg=draw(25, 45),
        look="right" if rng.random() < 0.5 else "left",
        oversampling=(draw(1.1, 1.4), draw(1.1, 1.4)),
        spacing_m=draw(1.8, 3.2),
        coherence=draw(0.75, 1.2),
        decay=draw(0.5, 3),
        baseline_m=draw(10, 120),
        height_error_m=draw(1, 6),
        turbulence_rad=draw(0.1, 1.2),
        ramp=(draw(-0.01, 0.01), draw(-0.01, 0.01)),
        hamming=draw(0.54, 0.9),
    )
    return replace(options, changes=(0, 0)) if no_change else options


def with_settings(options: SiteOptions, settings: Sequence[str]) -> SiteOptions:
    """Return options with some fields given as text, as a command line has them.

    Parameters
    ----------
    options : SiteOptions
        Those to begin with.
    settings : sequence of str
        Each ``name=value``; numbers in brackets or with a comma between them make a pair.

    Raises
    ------
    OptionError
        If a name is unknown or a value is of another kind.

    Examples
    --------
    >>> with_settings(SITES["A"], ["gain_db=3", "changes=2,5", "river=true"]).changes
    (2, 5)
    """
    known = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "site"}
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            raise OptionError(f"no option {name!r} of a site", where="--set", mend=f"use one of {', '.join(known)}")
        try:
            values[name] = _value(known[name], text)
        except ValueError:
            mend = f"write it as {_text(known[name])}"
            raise OptionError(f"{name} is {text!r}", where="--set", mend=mend) from None
    return replace(options, **values)


def _value(like: Any, text: str) -> Any:
    """Return text as a value of the kind of another."""
    if isinstance(like, tuple):
        items = text.strip("()[] ").split(",")
        if len(items) != len(like):
            raise ValueError(text)
        return tuple(type(one)(item) for one, item in zip(like, items, strict=True))
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return type(like)(text)


def _text(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value).lower()
