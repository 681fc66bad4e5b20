"""Imports are cheap, and a store opens without warnings."""

import subprocess
import sys

import pytest

from tests.factories.scenes import stored_scene

HEAVY = ("dask.array", "torch", "numba", "rasterio", "matplotlib", "zarr", "scipy")


def run(program, *options):
    return subprocess.run([sys.executable, *options, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["sarcd", "sarcd_cli.main"])
def test_importing_loads_nothing_heavy(module):
    assert run(f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])") == "[]\n"


def test_accessor_is_there_and_a_store_opens_with_warnings_as_errors(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    program = f"import xarray as xr, sarcd; print(xr.open_zarr({str(path)!r}).sarcd.coherence(window=3).shape)"
    assert run(program, "-W", "error") == "(1, 50, 60)\n"
