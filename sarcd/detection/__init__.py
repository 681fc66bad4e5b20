"""Maps of change: by trained networks, or without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from sarcd.config import DetectOptions
from sarcd.config.detection import Method
from sarcd.errors import OptionError
from sarcd.models.pretrained import MINES
from sarcd.store.openable import take
from sarcd.store.pairs import Pair


def detect(  # noqa: PLR0913  one knob a choice, as the commands have them
    scene: xr.Dataset,
    *,
    model: str | Path | Sequence[str | Path] | None = None,
    method: Method | DetectOptions | None = None,
    tiles: int | Literal["auto", "whole"] = "auto",
    device: str = "auto",
    statistics: Any = None,
    threshold: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    swap: bool = False,
    flips: bool = False,
    adapt_batchnorm: bool = False,
    uncertainty: bool = False,
) -> xr.Dataset:
    """Map the changes of every pair: with a trained network, or several, or without labels.

    Where neither is named, complex images are given the network that ships, `sarcd.models.pretrained.MINES`, and
    detected images the method ``auto``.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` for what needs no coherence.
    model : str or Path, or a sequence of them, optional
        Model files made by `sarcd train`; of several the map is the mean of their probabilities.
    method : str or DetectOptions, optional
        How change is found without labels, see `sarcd.config.DetectOptions`; ``auto`` chooses by what the scene holds,
        and the result says what and why.
    tiles : int, "auto" or "whole"
        Of a network: side of a tile in pixels, rounded up to its stride; the map is the same for any, unless the
        network cannot be tiled exactly: then tiles overlap by half and are blended.
    device : str
        Of a network: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    statistics : "scene", "model", AmplitudeStatistics or (median, mad), optional
        What normalises the amplitudes for a network; by default what the model file says, the scene's own as a rule.
    threshold : float, optional
        Probability from which a pixel counts as changed; the model's by default, of several the mean.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    swap, flips : bool
        Of a network: mean over both orders of the dates; over the ground turned round along y, along x, and both.
    adapt_batchnorm : bool
        Estimate a network's batch-norm statistics anew, on a sample of the scene that is read when the map is computed.
    uncertainty : bool
        Return how little each pixel is to be trusted as well.

    Returns
    -------
    xr.Dataset
        `change` (pair, y, x) uint8, 255 where invalid, with the evidence for it, NaN there: of networks
        `change_probability` (pair, y, x) float32 in [0, 1], else `change_score` in units of the method. Lazy. Without
        labels also `undecidable` (pair, y, x) uint8, where the scene has a `mask` or the method looks at coherence: 1
        on layover and shadow, where `change` is 255, and where coherence cannot tell.
        With `uncertainty` also that, (pair, y, x) float32: of all networks the standard deviation of the probability
        among models and variants, in [0, 0.5]; of other methods the probability that the decision is wrong, in [0, 1].

    Raises
    ------
    ModelError
        If a file is no model, or does not go with the others.
    SceneError
        If the scene lacks what the model or method looks at.
    OptionError
        If an option cannot be used, or model and method are both named.

    See Also
    --------
    sarcd.jobs.predict, sarcd.jobs.detect : the same into the store, resumable.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 5-7.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> from sarcd.attributes import parameters_of
    >>> found = detect(sites.simulate("A", size=64), method="ratio-test")
    >>> found.change.dims, parameters_of(found.change)["method"]
    (('pair', 'y', 'x'), 'ratio-test')
    """
    scene = take(scene)
    if model is None and method is None and "slc" in scene:
        model = MINES
    if model is not None:
        if method is not None:
            raise OptionError("a model and a method are named", option="method", hint="name one of them")
        from sarcd.jobs.lazy_prediction import predict

        return predict(
            scene,
            model=model,
            tiles=tiles,
            device=device,
            statistics=statistics,
            threshold=threshold,
            pairs=pairs,
            swap=swap,
            flips=flips,
            adapt_batchnorm=adapt_batchnorm,
            uncertainty=uncertainty,
        )
    given = {"tiles": tiles != "auto", "statistics": statistics is not None, "threshold": threshold is not None}
    given |= {"swap": swap, "flips": flips, "adapt_batchnorm": adapt_batchnorm}
    for name, is_given in given.items():
        if is_given:
            raise OptionError(f"{name} is for networks", option=name, hint="name a model too, or leave it out")
    from sarcd.detection.label_free import apply, fit

    options = method if isinstance(method, DetectOptions) else DetectOptions(method or "auto")
    if uncertainty:
        options = replace(options, uncertainty=True)
    return apply(scene, fit(scene, options, pairs=pairs))
