"""Change detection with the pretrained networks, with tests and ratios, or with the method that suits the scene."""

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
    """Map the changes of every pair with the method that suits the scene, or with a given method.

    The choice follows from the scene and the options alone: for complex images the network pretrained on simulated
    mines, for amplitude images the one pretrained on simulated amplitude pairs. Options that the former does not use,
    such as a false-alarm rate, restrict the choice to the label-free methods (``auto-label-free``).

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`, or with `amplitude` for methods that need no coherence.
    method : str or DetectOptions, optional
        See `sarcd.config.DetectOptions`; ``auto`` by default.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    device : str
        Device of the pretrained network: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    uncertainty : bool
        Also return the probability that each decision is wrong.

    Returns
    -------
    xr.Dataset
        `change` (pair, y, x) uint8, 255 where invalid, and the evidence for it, NaN where invalid: from the pretrained
        network on complex images `change_probability` (pair, y, x) float32 in [0, 1], otherwise `change_score` in units
        of the method. Lazy. The attribute ``why`` of `change` gives the reason for the choice. Without the pretrained
        network also `undecidable` (pair, y, x) uint8, if the scene has a `mask` or the method uses coherence: 1 on
        layover and shadow, where `change` is 255, and where coherence is uninformative. With `uncertainty` also
        `uncertainty` (pair, y, x) float32: for a network the standard deviation of the probability, otherwise the
        probability that the decision is wrong, in [0, 1].

    Raises
    ------
    SceneError
        If the scene lacks what the method needs.
    OptionError
        If an option cannot be used, or the method does not use it.
    MissingPackageError
        If the method uses a network and PyTorch is not installed.

    See Also
    --------
    sarcd.predict : the map of a given network.
    sarcd.jobs.detect : the same, stored and resumable.

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
