"""Networks by name."""

import subprocess
import sys

import pytest
import torch

from sarcd.errors import OptionError
from sarcd.networks import ARCHITECTURES, UNet, create_model, model_options


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_name_builds_what_its_options_say(name):
    options = model_options(name)
    with torch.device("meta"):
        network = create_model(name, 2)
    assert network.in_channels == 2
    assert {key: getattr(network, key) for key in options} == options


def test_names_differ_in_width():
    assert create_model("unet", 3).widths == (32, 64, 128, 256)
    assert create_model("unet-small", 3).widths == (16, 32, 64, 128)
    assert create_model("unet-small", 3, widths=[4, 8]).widths == (4, 8)
    assert isinstance(create_model("unet-small", 3, bottleneck=8), UNet)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(OptionError, match=r"unknown network 'resnet'[.] Use one of unet, unet-small, unet-classic"):
        create_model("resnet", 3)
    with pytest.raises(OptionError, match=r"unet has no option 'depth'[.] Use one of widths, bottleneck, convolutions"):
        create_model("unet", 3, depth=4)


def test_networks_load_no_scene_library():
    heavy = ("dask.array", "zarr", "rasterio", "numba")
    code = f"import sys; from sarcd.networks import create_model; create_model('changerex', 2); heavy = {heavy}"
    code += "; print([name for name in heavy if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
