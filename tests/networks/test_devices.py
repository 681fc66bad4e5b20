"""Choice of a device."""

import pytest
import torch

from sarcd.errors import OptionError
from sarcd.networks.devices import choose_device


@pytest.fixture
def machine(monkeypatch):
    """Mock the number of CUDA devices and the availability of mps."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


def test_auto_takes_the_fastest(machine):
    machine()
    assert choose_device() == torch.device("cpu")
    machine(mps=True)
    assert choose_device("auto") == torch.device("mps")
    machine(cuda=2, mps=True)
    assert choose_device("auto") == torch.device("cuda:0")


def test_named_devices(machine):
    machine(cuda=2, mps=True)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("mps") == torch.device("mps")
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "no CUDA device is available. Use auto or cpu"),
        ("cuda:0", "no CUDA device is available"),
        ("mps", "no mps device is available"),
        ("gpu", "unknown device 'gpu'. Use auto, cpu, cuda, cuda:N or mps"),
        ("cuda:", "unknown device"),
        ("cuda:one", "unknown device"),
        ("cuda:-1", "unknown device"),
        ("cpu:0", "unknown device"),
        ("CPU\n", "unknown device"),
        ("", "unknown device"),
    ],
)
def test_what_is_not_there_is_refused(machine, name, message):
    machine()
    with pytest.raises(OptionError, match=message):
        choose_device(name)


def test_a_number_too_high_is_refused(machine):
    machine(cuda=2)
    with pytest.raises(OptionError, match=r"device cuda:2 is not available[.] Use cuda:0 to cuda:1"):
        choose_device("cuda:2")
