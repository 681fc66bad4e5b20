"""The demo at its default seed: the network is best on the unseen site, and all documented output is present."""

import json

import pytest
import rasterio
import xarray as xr

from sarcd_cli.main import main


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert main(["demo", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    network = result["f1"].pop("network")
    assert set(result["f1"]) == {"coherence_threshold", "log_ratio_threshold"}
    assert network > 1.5 * max(result["f1"].values())
    scene = xr.open_zarr(folder / "scene.zarr")
    assert {"slc", "label", "coherence", "change_probability", "change"} <= set(scene)
    with rasterio.open(folder / "change_probability.tif") as file:
        assert file.shape == scene.slc.shape[1:]
    assert (folder / "change.png").stat().st_size > 10_000
    assert main(["demo", str(folder)]) == 1
    assert "--overwrite" in capsys.readouterr().err
