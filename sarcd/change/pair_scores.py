"""Block functions of the change tests: ratio, coherence and looks of two images, then scores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcd.config import Window

if TYPE_CHECKING:
    from sarcd.change.kernels.significance.coherence import Kind
    from sarcd.change.kernels.significance.looks import StackLooks

MIN_POWER = 0.5
"""Coherence is disregarded where a complete loss would be detected with less than this probability."""

OUTLIERS = 0.02
"""Assumed fraction of earlier pairs in which the ground changed, and which are therefore uninformative."""

_LARGEST_SCORE = 300.0  # for a p-value that float64 cannot distinguish from 0


@dataclass(frozen=True)
class WindowLooks:
    """Independent looks of a whole window.

    Parameters
    ----------
    power : float
        Looks that apply to a ratio of mean powers.
    coherence : float
        Looks that apply to the coherence.
    stack : StackLooks, optional
        Looks that apply to tests of many dates, if such a test is run and the looks were not given.
    """

    power: float
    coherence: float
    stack: StackLooks | None = None


@dataclass(frozen=True)
class PairHistory:
    """Properties of the whole scene that a history of coherence needs.

    Parameters
    ----------
    scales : tuple of float
        Coherence of the scene in each earlier pair, and last in the pair under test, relative to its usual value; empty
        where unknown, which counts as 1 for each.
    prior : tuple of float
        Distribution of the coherence of the ground, see `sarcd.change.kernels.significance.levels`; empty where
        unknown.
    """

    scales: tuple[float, ...] = ()
    prior: tuple[float, ...] = ()


@dataclass(frozen=True)
class Histories:
    """Histories of the pairs of a test, measured beforehand.

    Parameters
    ----------
    of_pairs : tuple of PairHistory
        One for each pair.
    levels : tuple of (int, int, float)
        Mean coherence of the scene in each pair of consecutive dates involved, by the positions of its dates along
        `time`.
    """

    of_pairs: tuple[PairHistory, ...]
    levels: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True)
class Expectation:
    """What coherence is compared with.

    Parameters
    ----------
    expected : float, "map" or "history"
        One coherence, that of an additional layer, or that of additional images (those before the pair, in order).
    kind : {"sample", "berger"}
        Estimator of the coherence.
    rate : float
        False-alarm rate.
    with_ratio : bool
        Whether intensity is tested too.
    """

    expected: float | str
    kind: Kind
    rate: float
    with_ratio: bool


@dataclass(frozen=True)
class Pair:
    """Quantities that the tests derive from two images: ratio, coherence and looks, (Y, X) each; NaN where undefined.

    Parameters
    ----------
    before, after : (Y, X) float64
        Mean powers of the pixels valid in both.
    sample : (Y, X) float64, or None
        Sample coherence; None for amplitude images.
    power_looks, coherence_looks : (Y, X) float64
        Independent looks of the valid pixels of each window.
    """

    before: np.ndarray
    after: np.ndarray
    sample: np.ndarray | None
    power_looks: np.ndarray
    coherence_looks: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Mean power after over that before."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.after / self.before)


def pair_of(
    before: np.ndarray,
    after: np.ndarray,
    window: Window,
    min_valid: float,
    looks: WindowLooks,
    first_row: int = 0,
) -> Pair:
    """Derive the inputs of the tests from two images (Y, X), complex or amplitude, that start at a row of the scene."""
    from sarcd.change.kernels.significance.looks import count_valid, enough, looks_of, mean_power

    size = window.y, window.x
    valid = np.isfinite(before) & np.isfinite(after)
    known = enough(valid, size, min_valid)
    powers = [mean_power(image, valid, size) for image in (before, after)]
    known &= (powers[0] > 0) & (powers[1] > 0)
    sample = None
    if np.iscomplexobj(before) and window.pixels > 1:
        from sarcd.estimation.kernels.boxcar import boxcar

        sample = boxcar(before, after, size, min_valid, first_row).astype(np.float64)
        sample[~known] = np.nan
    for power in powers:
        power[~known] = np.nan
    count = count_valid(valid, size)
    of_power, of_coherence = (looks_of(count, whole, window.pixels) for whole in (looks.power, looks.coherence))
    return Pair(powers[0], powers[1], sample, of_power, of_coherence)


def score(p: np.ndarray) -> np.ndarray:
    """Return -log10 of p-values as float32: the evidence of change."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(-np.log10(p), _LARGEST_SCORE), np.float32)


def ratio_score(
    before: np.ndarray,
    after: np.ndarray,
    *known: np.ndarray,
    window: Window,
    min_valid: float,
    coherence: float | str,
    looks: WindowLooks,
    first_row: int = 0,
) -> np.ndarray:
    """Score the intensity ratio given the coherence: `known`, estimated, none, or one number."""
    from sarcd.change.kernels.significance.coherence import coherent_ratio_p, ratio_p

    pair = pair_of(before, after, window, min_valid, looks, first_row)
    if coherence == "estimated":
        assert pair.sample is not None
        return score(coherent_ratio_p(pair.ratio, pair.power_looks, pair.sample))
    truth = known[0] if known else 0.0 if coherence == "none" else float(coherence)
    return score(ratio_p(pair.ratio, pair.power_looks, truth))


def correlation_score(
    before: np.ndarray,
    after: np.ndarray,
    *,
    window: Window,
    min_valid: float,
    looks: WindowLooks,
    first_row: int = 0,
) -> np.ndarray:
    """Score the sample coherence against no coherence at all."""
    from sarcd.change.kernels.significance.coherence import correlation_p

    pair = pair_of(before, after, window, min_valid, looks, first_row)
    return score(correlation_p(np.asarray(pair.sample), pair.power_looks))


def expected_score(
    before: np.ndarray,
    after: np.ndarray,
    *given: np.ndarray,
    window: Window,
    min_valid: float,
    expectation: Expectation,
    looks: WindowLooks,
    history: PairHistory | None = None,
    first_row: int = 0,
) -> np.ndarray:
    """Return the score and, as imaginary part, the power to detect a complete loss of coherence."""
    from sarcd.change.kernels.significance.coherence import coherence_cdf, coherent_ratio_p, fisher_p, power_of_loss
    from sarcd.change.kernels.significance.history import history_p
    from sarcd.change.kernels.significance.looks import berger

    expected, kind, rate = expectation.expected, expectation.kind, expectation.rate
    pair = pair_of(before, after, window, min_valid, looks, first_row)
    sample = np.asarray(pair.sample)
    now = sample if kind == "sample" else berger(sample, pair.before, pair.after)
    if expected == "history":
        earlier = [pair_of(*images, window, min_valid, looks, first_row) for images in itertools.pairwise(given)]
        if earlier:
            past, past_looks = (
                np.stack([getattr(one, name) for one in earlier]) for name in ("sample", "coherence_looks")
            )
            known = history or PairHistory()
            scales, prior = known.scales or None, np.array(known.prior) if known.prior else None
            p, power = history_p(
                now,
                pair.coherence_looks,
                past,
                past_looks,
                rate,
                kind,
                scales=scales,
                prior=prior,
                outliers=OUTLIERS,
            )
        else:
            p, power = np.full(now.shape, np.nan), np.where(np.isnan(now), np.nan, 0.0)
        power = np.where(np.isnan(power) & ~np.isnan(now), 0, power)  # gaps in the history
    else:
        truth = np.broadcast_to(given[0] if given else np.float64(expected), now.shape)
        p = coherence_cdf(now, truth, pair.coherence_looks, kind)
        power = power_of_loss(truth, pair.coherence_looks, rate, kind)
        power = np.where(np.isnan(now), np.nan, np.where(np.isnan(truth), 0, power))
    if expectation.with_ratio:
        of_ratio = coherent_ratio_p(pair.ratio, pair.power_looks, sample)
        p = np.where(power < MIN_POWER, of_ratio, fisher_p(of_ratio, p))
    both = np.empty(now.shape, np.complex64)
    both.real, both.imag = score(p), power
    return both
