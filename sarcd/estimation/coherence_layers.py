"""Coherence of the pairs of a scene, with any of the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.config import CoherenceOptions, Estimator, Window
from sarcd.engine.framed import Framed
from sarcd.engine.lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.errors import SceneError
from sarcd.estimation.looks import Calibration, Looks, Ramp, looks_later, needs_looks, needs_ramp, no_looks, ramp_later
from sarcd.store.openable import take
from sarcd.store.pairs import Pair, explicit_pairs, select_pairs


def coherence(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    estimator: Estimator = "boxcar",
    debias: bool = False,
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Estimate the magnitude of the coherence of each pair: how similar the radar echoes of its two images are.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, linear; invalid pixels NaN.
    window : int or Window
        Odd size in pixels; a number means a square.
    estimator : {"boxcar", "gaussian", "fringe", "adaptive"}
        ``boxcar``: all pixels of the window, with equal weights. ``gaussian``: with weights that fall off from the
        centre; the window is 4 standard deviations wide. ``fringe``: the boxcar after removing the pair's mean phase
        ramp, and the local fringe frequency where it differs significantly, estimated in a window three times as large.
        ``adaptive``: the pixels of the window with the same intensity around them as the centre, at both dates.
        See docs/coherence.md.
    debias : bool
        Remove the bias of low coherence estimated from few looks, with the effective looks from the scene's spectrum.
    min_valid : float
        Minimum fraction of valid pixels in a window, which is truncated at the border of the scene; below it the result
        is NaN.
    pairs : str or sequence of (before, after), optional
        ``consecutive``, ``reference``, ``all``, ``BEFORE:AFTER,...`` or dates; by default the scene's own list.

    Returns
    -------
    (pair, y, x) float32
        In [0, 1], lazy if `slc` is, chunked like it; NaN where undefined. The attribute `effective_looks` holds
        the looks of the window if they were needed and known at once.

    Raises
    ------
    SceneError
        If there is no `slc` or only one date, or if the looks are needed and the sample that they are measured on has
        no valid pixels (raised when computed, if `slc` is lazy).
    OptionError
        If the window size is even, or if it is one pixel, where coherence is always 1.

    See Also
    --------
    coherence_phase : the phase of the same coherence.
    sarcd.estimation.effective_looks : independent looks in a window.

    References
    ----------
    .. [1] Touzi et al. 1999, doi:10.1109/36.739146, Eq. 6; C of Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 1.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> coherence(sites.simulate("A", size=64), window=7).dims
    ('pair', 'y', 'x')
    """
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid, debias=debias)
    return coherence_with(scene, options, pairs=pairs)


def coherence_phase(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    estimator: Estimator = "boxcar",
    min_valid: float = 0.5,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Estimate the phase of the complex coherence of each pair, that of the mean ``before * conj(after)``.

    Parameters
    ----------
    scene, window, estimator, min_valid, pairs
        As in `coherence`.

    Returns
    -------
    (pair, y, x) float32
        In (-pi, pi] radians, lazy if `slc` is; NaN where the coherence is NaN. With ``fringe`` too it is the phase
        at the centre of the window, with all fringes, since ramps are removed within each window only.

    Raises
    ------
    SceneError, OptionError
        As `coherence`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> coherence_phase(sites.simulate("A", size=64)).attrs["units"]
    'radian'
    """
    options = CoherenceOptions(window=Window.of(window), estimator=estimator, min_valid=min_valid)
    return _of_pairs(scene, "coherence_phase", options, pairs)


def coherence_with(
    scene: xr.Dataset,
    options: CoherenceOptions,
    *,
    pairs: str | Sequence[Pair] | None = None,
) -> xr.DataArray:
    """Estimate `coherence` with the options in one object, as stores and model files hold it."""
    return _of_pairs(scene, "coherence", options, pairs)


def _of_pairs(
    scene: xr.Dataset,
    name: str,
    options: CoherenceOptions,
    pairs: str | Sequence[Pair] | None,
) -> xr.DataArray:
    scene = take(scene)
    images = schema.require(scene, "slc")
    chosen = pairs_of(scene, pairs)
    kernel = partial(magnitude if name == "coherence" else phase, options=options)
    plain = name == "coherence" and options.estimator == "boxcar" and not options.debias
    in_pieces = partial(_plain_magnitude, options=options) if plain else None
    measured: dict[str, Any] = {"looks": None, "ramp": None}
    if needs_looks(options):
        measured["looks"] = looks_later(scene, options)
    layers = []
    for before, after in chosen:
        if needs_ramp(options):
            measured["ramp"] = ramp_later(scene, before, after)
        layers.append(
            window_map(
                kernel,
                [images[before], images[after]],
                halo=options.halo,
                dtype="float32",
                measured=measured,
                placed=True,
                framed=in_pieces,
            )
        )
    attrs = made_by_attrs("coherence", config.to_dict(options))
    if isinstance(measured["looks"], Looks):
        attrs |= Calibration(measured["looks"]).attrs()
    return paired_array(scene, name, stack(layers), chosen, attrs)


def _plain_magnitude(
    before: Framed, after: Framed, options: CoherenceOptions, first_row: int, **_measured: None
) -> np.ndarray:
    """Return the result of `magnitude` for framed parts, without joining them."""
    from sarcd.estimation.kernels.boxcar import boxcar_framed

    window = options.window.y, options.window.x
    return boxcar_framed(before, after, window, options.min_valid, first_row)


def magnitude(
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
    ramp: Ramp | None,
    first_row: int = 0,
) -> np.ndarray:
    """Return the magnitude that `estimate` returns."""
    return estimate(before, after, options, looks, ramp, first_row)[0]


def phase(
    before: np.ndarray,
    after: np.ndarray,
    options: CoherenceOptions,
    looks: Looks | None,
    ramp: Ramp | None,
    first_row: int = 0,
) -> np.ndarray:
    """Return the phase that `estimate` returns."""
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
        Images, or parts of them that include `options.halo` around the part of interest.
    options : CoherenceOptions
        How coherence is estimated.
    looks, ramp : optional
        Scene-wide measurements, for the options that need them.
    first_row : int
        Row of the scene at which the parts begin; see `sarcd.estimation.kernels.boxcar.boxcar`.
    with_phase : bool
        Whether to return the phase.

    Returns
    -------
    magnitude : (Y, X) float32
        In [0, 1]; NaN where undefined.
    phase : (Y, X) float32, or None
        In (-pi, pi] radians; NaN where the magnitude is NaN.

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
            from sarcd.estimation.kernels.weighted import weighted

            complex_ = weighted(before, after, (np.ones(window[0]), np.ones(window[1])), options.min_valid)
    else:
        complex_, count = _complex(before, after, options, looks, ramp)
        found = np.minimum(np.abs(complex_), np.float32(1))  # NaN is preserved
    angle = None if complex_ is None or not with_phase else _angle(complex_, found)
    if options.debias:
        found = _without_bias(found, count, before, after, options, looks)
    return found, angle


def _complex(
    before: np.ndarray, after: np.ndarray, options: CoherenceOptions, looks: Looks | None, ramp: Ramp | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the complex coherence, and the number of averaged pixels if the estimator selects them."""
    window = options.window.y, options.window.x
    if options.estimator == "gaussian":
        from sarcd.estimation.kernels.weighted import gaussian_weights, weighted

        weights = gaussian_weights(window[0]), gaussian_weights(window[1])
        return weighted(before, after, weights, options.min_valid), None
    if options.estimator == "fringe":
        from sarcd.estimation.kernels.fringe import fringe

        return fringe(before, after, window, ramp or (0.0, 0.0), options.min_valid), None
    from sarcd.estimation.kernels.weighted import adaptive

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
    # linear from one look for one pixel to the looks of the whole window; exact for independent pixels
    of_one_more = np.float32((looks.floor - 1) / (window.pixels - 1))
    return unbias(found, 1 + of_one_more * (count.astype(np.float32) - 1))


def _angle(complex_: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the phase in (-pi, pi], NaN where the magnitude is NaN."""
    angle = np.angle(complex_)
    angle[angle <= -np.float32(np.pi)] = np.pi
    return np.where(np.isnan(found), np.float32(np.nan), angle).astype(np.float32)


def pairs_of(scene: xr.Dataset, pairs: str | Sequence[Pair] | None = None) -> list[tuple[int, int]]:
    """Return the positions along `time` of the two images of each pair.

    Parameters
    ----------
    scene : xr.Dataset
        Scene.
    pairs : str or sequence of (before, after), optional
        Policy as in `sarcd.store.pairs.select_pairs`, or list as in `explicit_pairs`; by default the scene's own list,
        or consecutive dates if it has none.

    Raises
    ------
    SceneError
        If the scene has fewer than two dates.
    OptionError
        If a pair is not a pair of the scene's dates.
    """
    times = schema.dates_of(scene, "time")
    if len(times) < 2:
        raise SceneError(
            f"time has {len(times)} date; change needs 2",
            source=schema.source_of(scene),
            hint="add images with 'sarcd ingest --append'",
        )
    if pairs is None and scene.sizes.get("pair"):  # an empty list counts as none
        chosen = list(zip(schema.dates_of(scene, "before"), schema.dates_of(scene, "after"), strict=True))
    elif pairs is None or isinstance(pairs, str):
        chosen = select_pairs(pairs or "consecutive", times)
    else:
        chosen = explicit_pairs(list(pairs), times)
    positions = {time: index for index, time in enumerate(times)}
    for date in np.unique(np.array(chosen, "datetime64[us]")):
        if date not in positions:
            raise SceneError(
                f"a pair names {schema.short_date(date)}, which is not in 'time'",
                source=schema.source_of(scene),
                hint="select pairs together with dates, or name pairs of the dates that are there",
            )
    return [(positions[before], positions[after]) for before, after in chosen]
