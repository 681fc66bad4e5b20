"""Shared setup: limits on CPU cores, cached compiled kernels per worker, real data, and checks for laziness."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.kernel_cache import kernel_cache

# Must be set before numpy, torch and numba are imported, which read it once; subprocesses inherit it.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # gw0, gw1 ...; unset in the controller process
if _WORKER:
    _share = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_name, str(_share))

# The first process names the folder; workers inherit the name and use a folder of their own inside it.
if not _WORKER:
    os.environ["SARCD_TEST_CACHE"] = os.environ.get("NUMBA_CACHE_DIR") or str(kernel_cache())
os.environ["NUMBA_CACHE_DIR"] = str(Path(os.environ["SARCD_TEST_CACHE"]) / (_WORKER or "gw0"))

os.environ["MPLBACKEND"] = "Agg"

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile("dev", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("dev"), derandomize=True)
hypothesis.settings.register_profile("thorough", hypothesis.settings.get_profile("dev"), max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
    if item.get_closest_marker("distributed") and importlib.util.find_spec("distributed") is None:
        pytest.skip("needs dask.distributed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SARCD_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SARCD_TEST_DATA")
    return folder


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Run on one thread: small networks gain little from more, and waiting for busy cores costs more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def raise_if_dask_computes() -> Callable[[], AbstractContextManager[None]]:
    """Fail if anything inside ``with raise_if_dask_computes():`` computes a dask graph."""
    import dask

    def scheduler(_graph: Any, keys: Any, **_options: Any) -> Any:
        raise AssertionError(f"dask computed {keys!r} where nothing should compute")

    @contextlib.contextmanager
    def guard() -> Iterator[None]:
        with dask.config.set(scheduler=scheduler):
            yield

    return guard


@pytest.fixture
def rng() -> np.random.Generator:
    """Random generator with a fixed seed."""
    return np.random.default_rng(20231206)


@pytest.fixture(scope="session")
def object_storage() -> Iterator[tuple[str, int]]:
    """Host and port of a local S3 server."""
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()
    running.stop()


@pytest.fixture
def bucket(object_storage: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket, with the environment variables needed to access it."""
    host, port = object_storage
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    for method, path in (("POST", "/moto-api/reset"), ("PUT", "/scenes")):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request(method, path)
        assert connection.getresponse().status == 200
        connection.close()
    return "s3://scenes"
