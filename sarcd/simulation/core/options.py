"""What a simulated site is made of, and the radar that watches it."""

from __future__ import annotations

from dataclasses import dataclass

from sarcd.errors import OptionError
from sarcd.simulation.core.projection import Look, View
from sarcd.simulation.core.speckle import HAMMING

Range = tuple[float, float]

_SHARES = ("vegetation", "water", "fields", "wet")


@dataclass(frozen=True)
class SiteOptions:
    """A site and the radar that watches it. `dataclasses.replace` makes others of it.

    Parameters
    ----------
    site : str
        Name, part of the key of every random number.
    vegetation, water : float
        Shares of the natural ground, outside mines.
    fields : float
        Share of the natural ground that is farmed in parcels; every second one bears a crop.
    river, town : bool
        Whether a river crosses the site, and whether each mine has a town.
    cell_px : int
        There is one mine to each square of this side.
    pit, dump, tailings : float
        Mean radii in pixels; tailings ponds are left out at 0.
    wet : float
        Share of a tailings pond that is wet or under water.
    relief_m : float
        Standard deviation of the natural terrain.
    changes : (int, int)
        Between these numbers of changes of interest a mine and pair; (0, 0) leaves pseudo-changes alone.
    change_size : float
        Factor on the length and width of changes.
    quiet : float
        Share of the changes whose mean brightness stays within 1 dB.
    moist : (float, float)
        Between these shares of the porous ground and of the dry tailings are wet at a date after the first.
    vehicles : float
        Vehicles a million pixels of busy road at a date; quieter roads, benches and active dumps have fewer.
    gain_db : float
        Calibration of the images: factor on their power.
    noise_db : float
        Noise-equivalent sigma nought, before gain.
    incidence_deg : float
        On flat ground, 20 to 50.
    look : {"right", "left"}
        Direction along x in which the radar looks.
    oversampling : (y, x)
        Sampling rate over bandwidth, 1 or more; independent looks in a window fall with it.
    hamming : float
        Coefficient of the Hamming weight on the spectrum, 0.5 to 1 (none): products differ in it (0.6 at X-band, 0.7
        to 0.75 on Sentinel-1), and with it in looks and in the side lobes of bright targets.
    spacing_m : float
        Of the pixels along azimuth, and of level ground along range.
    coherence : float
        Factor on the temporal coherence of every class, which never rises above 0.97.
    decay : float
        Factor on the time in which coherence is lost.
    baseline_m : float
        Standard deviation over the dates of the perpendicular baseline: geometric decorrelation and fringes.
    height_error_m : float
        Standard deviation of the error of the heights whose phase was removed.
    turbulence_rad : float
        Standard deviation of the phase of the troposphere at a date.
    ramp : (y, x)
        Residual phase ramp from one date to the next, cycles a pixel.
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
        for name in _SHARES:
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
                raise OptionError(f"{name} is ({low}, {high})", where=name, mend="use two numbers from 0, in order")
        if self.look not in ("right", "left"):
            raise OptionError(f"look is {self.look!r}", where="look", mend="use right or left")

    @property
    def view(self) -> View:
        """Return how the radar sees the ground."""
        return View(self.incidence_deg, self.spacing_m, self.look)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{name} is {value}", where=name, mend=f"use a value from {low:g} to {high:g}")
