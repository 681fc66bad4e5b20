"""``scene.sarcd``: every operation as a method of the dataset, with the signature of the function that it calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from sarcd.config import CoherenceOptions, Estimator, Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sarcd.config.detection import DetectOptions, Method
    from sarcd.exporting.export_files import Exported
    from sarcd.metrics import Bootstrap, ObjectRules
    from sarcd.store.pairs import Pair
    from sarcd.store.results import WhichPair


@xr.register_dataset_accessor("sarcd")
class SceneAccessor:
    """Operations of sarcd as methods of a scene; each calls a function with the dataset as its first argument.

    Parameters
    ----------
    scene : xr.Dataset
        Dataset of the accessor.
    """

    def __init__(self, scene: xr.Dataset) -> None:
        self._scene = scene

    def statistics(self, *, per_date: bool = False) -> xr.Dataset:
        """Compute the exact median and MAD of the amplitude; see `sarcd.estimation.statistics`."""
        from sarcd import estimation

        return estimation.statistics(self._scene, per_date=per_date)

    def coherence(
        self,
        *,
        window: int | Window = 5,
        estimator: Estimator = "boxcar",
        debias: bool = False,
        min_valid: float = 0.5,
        pairs: str | Sequence[Pair] | None = None,
    ) -> xr.DataArray:
        """Estimate the coherence of every pair in a window; see `sarcd.estimation.coherence`."""
        from sarcd import estimation

        return estimation.coherence(
            self._scene, window=window, estimator=estimator, debias=debias, min_valid=min_valid, pairs=pairs
        )

    def coherence_phase(
        self,
        *,
        window: int | Window = 5,
        estimator: Estimator = "boxcar",
        min_valid: float = 0.5,
        pairs: str | Sequence[Pair] | None = None,
    ) -> xr.DataArray:
        """Estimate the phase of the coherence of every pair; see `sarcd.estimation.coherence_phase`."""
        from sarcd import estimation

        return estimation.coherence_phase(
            self._scene, window=window, estimator=estimator, min_valid=min_valid, pairs=pairs
        )

    def effective_looks(self, window: int | Window = 5, *, estimator: Estimator = "boxcar") -> float:
        """Compute the independent looks of a window; see `sarcd.estimation.effective_looks`."""
        from sarcd import estimation

        return estimation.effective_looks(self._scene, window, estimator=estimator)

    def normalize(self, *, statistics: Any = "scene") -> xr.DataArray:
        """Normalise the amplitudes by median and MAD; see `sarcd.estimation.normalize`."""
        from sarcd import estimation

        return estimation.normalize(self._scene, statistics=statistics)

    def features(
        self,
        *,
        channels: Sequence[str] | None = None,
        statistics: Any = "scene",
        coherence: CoherenceOptions | None = None,
        pairs: str | Sequence[Pair] | None = None,
    ) -> xr.DataArray:
        """Compute the input of the networks; see `sarcd.estimation.features`."""
        from sarcd import estimation

        return estimation.features(
            self._scene, channels=channels, statistics=statistics, coherence=coherence, pairs=pairs
        )

    def detect(
        self,
        *,
        method: Method | DetectOptions | None = None,
        pairs: str | Sequence[Pair] | None = None,
        device: str = "auto",
        uncertainty: bool = False,
    ) -> xr.Dataset:
        """Map the changes with the method that suits the scene, or with a given method; see `sarcd.detect`."""
        from sarcd.detection import detect

        return detect(self._scene, method=method, pairs=pairs, device=device, uncertainty=uncertainty)

    def predict(  # noqa: PLR0913  the signature of the function that it calls
        self,
        *,
        model: str | Path | Sequence[str | Path] | None = None,
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
        """Map the changes with a network, the pretrained one or others; see `sarcd.predict`."""
        from sarcd.inference.prediction import predict

        return predict(
            self._scene,
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

    def omnibus_test(
        self,
        *,
        window: int | Window = 5,
        false_alarms: float = 0.01,
        looks: float | None = None,
        min_valid: float = 0.5,
    ) -> xr.Dataset:
        """Test where and when the intensity changed over all dates; see `sarcd.change.omnibus_test`."""
        from sarcd import change

        return change.omnibus_test(
            self._scene, window=window, false_alarms=false_alarms, looks=looks, min_valid=min_valid
        )

    def summarise(
        self,
        changes: xr.DataArray | str | None = None,
        *,
        threshold: float | None = None,
        persistence: bool = True,
        window: int | Window = 5,
        false_alarms: float = 0.01,
        looks: float | None = None,
        min_valid: float = 0.5,
    ) -> xr.Dataset:
        """Summarise how often and when each pixel changed, and whether it reverted; see `sarcd.change.summarise`."""
        from sarcd import change

        return change.summarise(
            self._scene,
            changes,
            threshold=threshold,
            persistence=persistence,
            window=window,
            false_alarms=false_alarms,
            looks=looks,
            min_valid=min_valid,
        )

    def evaluate(
        self,
        *,
        variable: str = "change",
        truth: str = "label",
        threshold: float | None = None,
        bootstrap: Bootstrap | int | None = None,
        objects: ObjectRules | bool = False,
        bins: int = 15,
    ) -> xr.Dataset:
        """Evaluate a result against labels; see `sarcd.metrics.evaluate`."""
        from sarcd.metrics import evaluate

        return evaluate(
            self._scene,
            variable=variable,
            truth=truth,
            threshold=threshold,
            bootstrap=bootstrap,
            objects=objects,
            bins=bins,
        )

    def plot(self, *, pair: WhichPair = 0, variable: str | None = None, stretch_percent: float = 1.0) -> Figure:
        """Draw the changes of a pair; see `sarcd.figures.change_figure.plot`."""
        from sarcd.figures.change_figure import plot

        return plot(self._scene, pair=pair, variable=variable, stretch_percent=stretch_percent)

    def export(
        self,
        path: str | Path,
        *,
        variable: str | None = None,
        pair: WhichPair | None = None,
        min_pixels: int | None = None,
        overwrite: bool = False,
    ) -> Exported:
        """Export a result to a file, in the format of its suffix; see `sarcd.exporting.export_files.export`."""
        from sarcd.exporting.export_files import export

        return export(self._scene, path, variable=variable, pair=pair, min_pixels=min_pixels, overwrite=overwrite)
