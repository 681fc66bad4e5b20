"""Fit to one pair: the pretrained amplitude network labels its confident pixels and is then trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.detection.kernels import PairScale, measure_scale
from sarcd.detection.self_trained.fitted import ReadPair, SelfTrained, best_threshold, features_of, logits_and_spread
from sarcd.detection.self_trained.training import Example, Plan, learn, load_amplitude_network
from sarcd.engine.tasks import Progress, Rectangle, silent
from sarcd.errors import OptionError, SceneError
from sarcd.inference.predictor import sigmoid
from sarcd.inference.tiling import round_up
from sarcd.networks.folding import for_inference
from sarcd.training.patches import IGNORE

if TYPE_CHECKING:
    from sarcd.networks.base import Network

WHOLE, WINDOW, WINDOWS = 1024, 256, 4
"""Fitting uses all of a scene with sides up to `WHOLE` pixels, else `WINDOWS` x `WINDOWS` windows of side `WINDOW`."""


@dataclass(frozen=True)
class FitOptions:
    """Options for fitting a network to a pair.

    Parameters
    ----------
    rounds : int
        Number of self-training rounds on confident pixels. With 0 the pretrained network is used unchanged, and only
        scale and threshold are fitted to the pair. The default is 0 because one round improved the result on one real
        pair and degraded it more on another.
    sure : float
        Minimum probability, of change or of no change, for a pixel to count as confident; in [0.5, 1).
    least_share : float
        Minimum fraction of pixels that must be confidently changed; below it no further round is run.
    plan : Plan
        Training options of one round.
    lowest, least_kappa, least_gain : float
        Limits on lowering the threshold; see `best_threshold`.
    seed : int
        Seed for sampling the crops.
    """

    rounds: int = 0
    sure: float = 0.8
    least_share: float = 0.001
    plan: Plan = Plan(steps=60, batch=6, side=96, rate=5e-4, about_change=0.5, statistics=False)  # noqa: RUF009  frozen
    lowest: float = 0.3
    least_kappa: float = 0.2
    least_gain: float = 0.03
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise OptionError(f"rounds are {self.rounds}", option="rounds", hint="use 0 or more")
        if not 0.5 <= self.sure < 1:
            raise OptionError(f"sure is {self.sure}", option="sure", hint="use a probability from 0.5 to 1")
        if not 0 < self.lowest <= 0.5:
            raise OptionError(f"lowest is {self.lowest}", option="lowest", hint="use a probability up to 0.5")


def fit(
    read: ReadPair,
    shape: tuple[int, int],
    options: FitOptions | None = None,
    *,
    decibels: bool = False,
    progress: Progress = silent,
) -> SelfTrained:
    """Fit a network to a pair of amplitude images, without labels.

    Parameters
    ----------
    read : callable
        Returns the two images of a rectangle of the scene, NaN where invalid.
    shape : (int, int)
        Rows and columns of the scene.
    options : FitOptions, optional
        Options of the fit; the published figures were obtained with the defaults.
    decibels : bool
        Whether the values are in decibels, on any scale, rather than linear amplitudes.
    progress : callable
        Reports each training step.

    Returns
    -------
    SelfTrained
        The fitted network; its `score` maps any part of the pair.

    Raises
    ------
    SceneError
        If no pixel is valid at both dates.
    """
    options = options or FitOptions()
    windows = sample_windows(shape)
    scale = measure_scale([read(window) for window in windows], decibels=decibels)
    if scale is None:
        raise SceneError("no pixel has values at both dates", hint="choose dates that cover the same ground")
    network: Network = load_amplitude_network()
    parts = [_Part.of(read, window, shape, scale, int(network.stride)) for window in windows]
    record: dict[str, Any] = {"noise": list(scale.noise), "shift": scale.shift, "strength": scale.strength, "rounds": 0}
    record["why"] = "the shipped network, with scale and threshold of this pair"
    scores = [part.score(network) for part in parts]
    record |= _shares(parts, scores, options.sure)
    for number in range(options.rounds):
        if record["surely_changed"] < options.least_share:
            record["why"] += "; too little is surely changed to learn more from"
            break
        examples = [part.example(score, options.sure) for part, score in zip(parts, scores, strict=True)]
        network = learn(load_amplitude_network(), examples, options.plan, seed=options.seed + number, progress=progress)
        record["rounds"] = number + 1
        scores = [part.score(network) for part in parts]
        record |= _shares(parts, scores, options.sure)
    if record["rounds"]:
        record["why"] += "; learnt more from what it was sure of"
    decision = best_threshold(
        _valid_scores(parts, scores),
        lowest=options.lowest,
        least_kappa=options.least_kappa,
        least_gain=options.least_gain,
    )
    record |= {"threshold": decision.threshold, "expected_kappa": decision.kappa, "expected_change": decision.changed}
    return SelfTrained(for_inference(network), scale, decision.threshold, shape, record)


def sample_windows(shape: tuple[int, int]) -> list[Rectangle]:
    """Return the parts of a scene used for fitting: the whole of a small scene, else evenly spaced windows.

    Examples
    --------
    >>> sample_windows((350, 290))
    [(slice(0, 350, None), slice(0, 290, None))]
    >>> len(sample_windows((20000, 20000)))
    16
    """
    if max(shape) <= WHOLE:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    axes = []
    for size in shape:
        side = min(WINDOW, size)
        starts = np.linspace(0, size - side, min(WINDOWS, -(-size // side))).round().astype(int)
        axes.append([slice(int(start), int(start) + side) for start in starts])
    return list(product(*axes))


@dataclass(frozen=True)
class _Part:
    """A window of the scene: its features, padded to sides the network accepts, and its valid pixels."""

    features: np.ndarray
    valid: np.ndarray

    @classmethod
    def of(cls, read: ReadPair, window: Rectangle, shape: tuple[int, int], scale: PairScale, stride: int) -> _Part:
        source = tuple(slice(part.start, part.start + round_up(part.stop - part.start, stride)) for part in window)
        features = features_of(read, (source[0], source[1]), shape, scale)
        inside = tuple(slice(part.start, min(part.stop, size)) for part, size in zip(source, shape, strict=True))
        before, after = read((inside[0], inside[1]))
        valid = np.zeros(features.shape[1:], bool)
        valid[: before.shape[0], : before.shape[1]] = np.isfinite(before) & np.isfinite(after)
        return cls(features, valid)

    def score(self, network: Network) -> np.ndarray:
        return sigmoid(logits_and_spread(network, self.features)[0])

    def example(self, score: np.ndarray, sure: float) -> Example:
        target = (score > 0.5).astype(np.uint8)
        target[(np.maximum(score, 1 - score) < sure) | ~self.valid] = IGNORE
        return Example(self.features, target)


def _shares(parts: list[_Part], scores: list[np.ndarray], sure: float) -> dict[str, float]:
    found = _valid_scores(parts, scores)
    changed, unchanged = float((found >= sure).mean()), float((found <= 1 - sure).mean())
    return {"surely_changed": changed, "surely_unchanged": unchanged, "unsure": 1 - changed - unchanged}


def _valid_scores(parts: list[_Part], scores: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([score[part.valid] for part, score in zip(parts, scores, strict=True)])
