"""From the options of coherence to the kernels: magnitude and phase of two arrays."""

from __future__ import annotations

import numpy as np

from sarcd.config import CoherenceOptions
from sarcd.estimation.looks import Looks, Ramp, no_looks


def magnitude(
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
    ramp: Ramp | None,
    first_row: int = 0,
) -> np.ndarray:
    """Return the first of what `estimate` returns."""
    return estimate(before, after, options, looks, ramp, first_row)[0]


def phase(
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
    ramp: Ramp | None,
    first_row: int = 0,
) -> np.ndarray:
    """Return the second of what `estimate` returns."""
    found = estimate(before, after, options, looks, ramp, first_row, with_phase=True)[1]
    return np.asarray(found)


def estimate(
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
    ramp: Ramp | None,
    first_row: int = 0,
    *,
    with_phase: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Estimate magnitude and phase of the coherence of two images.

    Parameters
    ----------
    before, after : (Y, X) complex64
        Images, or parts of them with `options.halo` around what is wanted.
    options : CoherenceOptions
        How.
    looks, ramp : optional
        Measured on the whole scene, for what needs them.
    first_row : int
        Row of the scene at which the parts begin; see `sarcd.estimation.kernels.boxcar.boxcar`.
    with_phase : bool
        Whether the phase is wanted.

    Returns
    -------
    magnitude : (Y, X) float32
        In [0, 1]; NaN where undefined.
    phase : (Y, X) float32, or None
        In (-pi, pi] radians; NaN where the magnitude is.

    Raises
    ------
    SceneError
        If the looks are needed and unknown.
    """
    window = options.window.y, options.window.x
    complex_, count = None, None
    if options.estimator == "boxcar":
        from sarcd.estimation.kernels.boxcar import boxcar

        found = boxcar(before, after, window, options.min_valid, first_row)
        if with_phase:
            from sarcd.estimation.kernels.gaussian import weighted

            complex_ = weighted(before, after, (np.ones(window[0]), np.ones(window[1])), options.min_valid)
    else:
        complex_, count = _complex(before, after, options, looks, ramp)
        found = np.minimum(np.abs(complex_), np.float32(1))  # NaN stays
    angle = None if complex_ is None or not with_phase else _angle(complex_, found)
    if options.debias:
        found = _without_bias(found, count, before, after, options, looks)
    return found, angle


def _complex(
    before: np.ndarray, after: np.ndarray, options: CoherenceOptions, looks: Looks | None, ramp: Ramp | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the complex coherence, and the number of pixels averaged where that is the estimator's choice."""
    window = options.window.y, options.window.x
    if options.estimator == "gaussian":
        from sarcd.estimation.kernels.gaussian import gaussian_weights, weighted

        weights = gaussian_weights(window[0]), gaussian_weights(window[1])
        return weighted(before, after, weights, options.min_valid), None
    if options.estimator == "fringe":
        from sarcd.estimation.kernels.fringe import fringe

        return fringe(before, after, window, ramp or (0.0, 0.0), options.min_valid), None
    from sarcd.estimation.kernels.adaptive import adaptive

    if looks is None:
        raise no_looks()
    return adaptive(before, after, window, looks.core, options.min_valid)


def _without_bias(
    found: np.ndarray,
    count: np.ndarray | None,
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
) -> np.ndarray:
    from sarcd.estimation.kernels.bias import unbias
    from sarcd.estimation.kernels.looks import valid_count

    if looks is None:
        raise no_looks()
    window = options.window
    if count is None:
        count = valid_count(before, after, (window.y, window.x))
    # exact for independent pixels, and one look for one pixel; correlated ones lie in between
    of_one_more = np.float32((looks.floor - 1) / (window.pixels - 1))
    return unbias(found, 1 + of_one_more * (count.astype(np.float32) - 1))


def _angle(complex_: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the phase in (-pi, pi], NaN where the magnitude is."""
    angle = np.angle(complex_)
    angle[angle <= -np.float32(np.pi)] = np.pi
    return np.where(np.isnan(found), np.float32(np.nan), angle).astype(np.float32)
