"""Maps of change: by the pretrained networks, by tests and ratios, or by what suits the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import xarray as xr

from sarcd.config import DetectOptions
from sarcd.config.detection import Method
from sarcd.detection.auto import PRETRAINED, is_pretrained, refuse_device, require_networks
from sarcd.models.pretrained import MINES
from sarcd.store.openable import take
from sarcd.store.pairs import Pair


def detect(
    scene: xr.Dataset,
    *,
    method: Method | DetectOptions | None = None,
    pairs: str | Sequence[Pair] | None = None,
    device: str = "auto",
    uncertainty: bool = False,
) -> xr.Dataset:
    """Map the changes of every pair by what suits the scene, or by a method that is named.

    The choice follows from the scene and the options alone. Complex images are given the network pretrained on
    simulated mines; amplitude images the one pretrained on simulated pairs of amplitudes. Options that the former does
    not look at, such as a rate of false alarms, choose among the methods without labels (``auto-label-free``).

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` for what needs no coherence.
    method : str or DetectOptions, optional
        See `sarcd.config.DetectOptions`; ``auto`` by default.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    device : str
        Of the pretrained network: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    uncertainty : bool
        Return the probability that each decision is wrong as well.

    Returns
    -------
    xr.Dataset
        `change` (pair, y, x) uint8, 255 where invalid, with the evidence for it, NaN there: of the pretrained network
        on complex images `change_probability` (pair, y, x) float32 in [0, 1], else `change_score` in units of the
        method. Lazy. What was chosen, and why, is the attribute ``why`` of `change`. Without the pretrained network
        also `undecidable` (pair, y, x) uint8, where the scene has a `mask` or the method looks at coherence: 1 on
        layover and shadow, where `change` is 255, and where coherence cannot tell. With `uncertainty` also that,
        (pair, y, x) float32: of a network the standard deviation of the probability, else the probability that the
        decision is wrong, in [0, 1].

    Raises
    ------
    SceneError
        If the scene lacks what the method looks at.
    OptionError
        If an option cannot be used, or the method does not look at it.
    MissingPackageError
        If the method uses a network and PyTorch is not installed.

    See Also
    --------
    sarcd.predict : the map of a network that is named.
    sarcd.jobs.detect : the same into the store, resumable.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> from sarcd.attributes import parameters_of
    >>> found = detect(sites.simulate("A", size=64), method="ratio-test")
    >>> found.change.dims, parameters_of(found.change)["method"]
    (('pair', 'y', 'x'), 'ratio-test')
    """
    scene = take(scene)
    options = method if isinstance(method, DetectOptions) else DetectOptions(method or "auto")
    if uncertainty:
        options = replace(options, uncertainty=True)
    if is_pretrained(scene, options):
        require_networks()
        from sarcd.inference.prediction import predict

        found = predict(scene, model=MINES, pairs=pairs, device=device)
        if options.method == "auto":
            found["change"].attrs["why"] = PRETRAINED
        return found
    refuse_device(device)
    from sarcd.detection.label_free import apply, fit

    return apply(scene, fit(scene, options, pairs=pairs))
