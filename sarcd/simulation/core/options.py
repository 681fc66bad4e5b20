"""Options of a simulated site and of the radar that images it, and the sites that come with sarcd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sarcd.errors import OptionError
from sarcd.simulation.core.fields import RandomStreams
from sarcd.simulation.core.projection import Look, View
from sarcd.simulation.core.speckle import HAMMING

Range = tuple[float, float]

_FRACTIONS = ("vegetation", "water", "fields", "wet")


@dataclass(frozen=True)
class SiteOptions:
    """Options of a site and of the radar that images it. Use `dataclasses.replace` to change some of them.

    Parameters
    ----------
    site : str
        Name, which is part of the key of every random stream.
    vegetation, water : float
        Fractions of the natural ground, outside mines.
    fields : float
        Fraction of the natural ground that is farmed in parcels, half of which bear a crop.
    river, town : bool
        Whether a river crosses the site, and whether each mine has a town.
    cell_px : int
        Side of the grid cells, each of which has one mine.
    pit, dump, tailings : float
        Mean radii in pixels; 0 means no tailings ponds.
    wet : float
        Fraction of a tailings pond that is wet or under water.
    relief_m : float
        Standard deviation of the natural terrain.
    changes : (int, int)
        Range of the number of changes of interest per mine and pair; (0, 0) leaves only pseudo-changes.
    change_size : float
        Factor on the length and width of changes.
    quiet : float
        Fraction of the changes whose mean intensity changes by less than 1 dB.
    moist : (float, float)
        Range of the fraction of porous ground and of dry tailings that is wet at a date after the first.
    vehicles : float
        Vehicles per million pixels of busy road at a date; quieter roads, benches and active dumps have fewer.
    gain_db : float
        Calibration of the images: gain on their power.
    noise_db : float
        Noise-equivalent sigma nought, before the gain.
    incidence_deg : float
        Incidence angle on flat ground, 20 to 50.
    look : {"right", "left"}
        Direction along x in which the radar looks.
    oversampling : (y, x)
        Sampling rate over bandwidth, 1 or more; the independent looks of a window decrease with it.
    hamming : float
        Coefficient of the Hamming weighting of the spectrum, 0.5 to 1 (none): products differ in it (0.6 at X-band, 0.7
        to 0.75 for Sentinel-1), and therefore in looks and in the side lobes of bright targets.
    spacing_m : float
        Pixel spacing along azimuth, and on level ground along range.
    coherence : float
        Factor on the temporal coherence of every class, which never exceeds 0.97.
    decay : float
        Factor on the time constant of the loss of coherence.
    baseline_m : float
        Standard deviation over the dates of the perpendicular baseline: geometric decorrelation and fringes.
    height_error_m : float
        Standard deviation of the error of the heights used to remove the topographic phase.
    turbulence_rad : float
        Standard deviation of the tropospheric phase of a date.
    ramp : (y, x)
        Residual phase ramp from one date to the next, cycles per pixel.
    """

    site: str
    vegetation: float = 0.3
    water: float = 0.02
    fields: float = 0.0
    river: bool = False
    town: bool = False
    cell_px: int = 1300
    pit: float = 270.0
    dump: float = 125.0
    tailings: float = 110.0
    wet: float = 0.5
    relief_m: float = 20.0
    changes: tuple[int, int] = (3, 4)
    change_size: float = 1.0
    quiet: float = 1 / 3
    moist: Range = (0.12, 0.2)
    vehicles: float = 3000.0
    gain_db: float = 0.0
    noise_db: float = -21.0
    incidence_deg: float = 35.0
    look: Look = "right"
    oversampling: tuple[float, float] = (1.2, 1.2)
    hamming: float = HAMMING
    spacing_m: float = 2.5
    coherence: float = 1.0
    decay: float = 1.0
    baseline_m: float = 60.0
    height_error_m: float = 3.0
    turbulence_rad: float = 0.5
    ramp: tuple[float, float] = (0.002, -0.001)

    def __post_init__(self) -> None:
        for name in _FRACTIONS:
            _between(name, getattr(self, name), 0, 1)
        _between("quiet", self.quiet, 0, 1)
        _between("hamming", self.hamming, 0.5, 1)
        _between("incidence_deg", self.incidence_deg, 20, 50)
        _between("spacing_m", self.spacing_m, 0.5, 20)
        _between("pit", self.pit, 60, 0.33 * self.cell_px)
        for name in ("dump", "tailings"):
            _between(name, getattr(self, name), 0, 0.2 * self.cell_px)
        _between("dump", self.dump, 40, 0.2 * self.cell_px)
        _between("change_size", self.change_size, 0.5, 2)
        for name in ("coherence", "decay"):
            _between(name, getattr(self, name), 0.05, 20)
        for name in ("vehicles", "baseline_m", "height_error_m", "turbulence_rad", "relief_m"):
            _between(name, getattr(self, name), 0, 1e4)
        _between("gain_db", self.gain_db, -100, 100)
        _between("noise_db", self.noise_db, -100, 20)
        for side in self.ramp:
            _between("ramp", side, -0.5, 0.5)
        for side in self.oversampling:
            _between("oversampling", side, 1, 4)
        for name in ("changes", "moist"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                hint = "use two ascending numbers of 0 or more"
                raise OptionError(f"invalid {name} ({low}, {high})", option=name, hint=hint)
        if self.look not in ("right", "left"):
            raise OptionError(f"unknown look {self.look!r}", option="look", hint="use right or left")

    @property
    def view(self) -> View:
        """Return the viewing geometry."""
        return View(self.incidence_deg, self.spacing_m, self.look)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"invalid {name} {value}", option=name, hint=f"use a value from {low:g} to {high:g}")


SITES: dict[str, SiteOptions] = {
    # Arid, one large pit, ascending orbit.
    "A": SiteOptions(site="A", vegetation=0.12, water=0.01, noise_db=-22.0),
    # Farmland, a river and a town: the most varied, descending orbit, higher gain and noise.
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
    # Wooded hills with lakes, ascending orbit at a large incidence angle, lower gain.
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
"""The three sites, and the radar that images them."""


def varied(seed: int, *, no_change: bool = False) -> SiteOptions:
    """Draw the options of a random site, to train networks that generalise.

    Calibration, looks (oversampling and spectral weighting), incidence, look side, level and decay of coherence, noise,
    prevalence, land cover and sizes are drawn, each over a wider range than the three sites span.

    Parameters
    ----------
    seed : int
        The same seed gives the same options.
    no_change : bool
        Pseudo-changes only: moisture, vegetation, water, traffic.

    Examples
    --------
    >>> varied(0) == varied(0), varied(0) == varied(1), varied(3, no_change=True).changes
    (True, False, (0, 0))
    """
    rng = RandomStreams(seed, "varied").stream("options")

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
    """Return options with some fields set from text, as given on a command line.

    Parameters
    ----------
    options : SiteOptions
        Initial options.
    settings : sequence of str
        Each ``name=value``; numbers in brackets or separated by a comma make a pair.

    Raises
    ------
    OptionError
        If a name is unknown or a value has another type.

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
            raise OptionError(f"unknown site option {name!r}", option="--set", hint=f"use one of {', '.join(known)}")
        try:
            values[name] = _value(known[name], text)
        except ValueError:
            hint = f"write it as {_text(known[name])}"
            raise OptionError(f"invalid {name} {text!r}", option="--set", hint=hint) from None
    return replace(options, **values)


def _value(like: Any, text: str) -> Any:
    """Convert text to the type of another value."""
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
