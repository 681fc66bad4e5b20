"""Memory of a job: divided within the budget, and refused if it is too small."""

import numpy as np
import psutil
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.config import PredictOptions
from sarcd.engine import memory as _memory
from sarcd.engine.memory import Limit, Shares, budget, free_bytes, left, share_out
from sarcd.errors import OptionError
from sarcd.store.scene import open_scene
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene


def test_shares_by_hand():
    share = {"region_bytes": 30, "chunk_bytes": 2, "workers": 4}
    assert share_out(None, 62, **share) == Shares(1, 32)  # two regions would leave less than 16 chunks
    assert share_out(None, 92, **share) == Shares(2, 32)
    assert share_out(None, 10**6, **share) == Shares(4, 10**6 - 120)
    assert share_out(None, 10**12, **share).cache_bytes == 2**29
    with pytest.raises(OptionError, match="not enough"):
        share_out(2**30, 61, **share)


def test_the_default_is_bounded_by_what_is_free():
    assert 0 < free_bytes() <= psutil.virtual_memory().total
    assert 0 < left(None) <= 2**30
    assert left(None) <= free_bytes() // 2 + 2**24  # free memory changes between the two calls
    assert left(2**40) < 2**40
    assert budget(12345) == 12345


@pytest.mark.parametrize("job", ["coherence", "predict", "statistics"])
def test_too_little_is_refused_with_what_would_do_and_nothing_is_lost(tmp_path, rng, job):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 64, 64))
    jobs.statistics(path)
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    jobs.coherence(path)
    jobs.predict(path, model)
    before = xr.open_zarr(path).load()
    few = 2**20
    with pytest.raises(OptionError, match="not enough") as caught:
        {
            "coherence": lambda: jobs.coherence(path, memory_bytes=few, overwrite=True),
            "predict": lambda: jobs.predict(path, model, PredictOptions(memory_bytes=few), overwrite=True),
            "statistics": lambda: jobs.statistics(path, refresh=True, memory_bytes=few),
        }[job]()
    assert "--memory" in caught.value.hint
    xr.testing.assert_identical(xr.open_zarr(path).load(), before)


def test_memory_changes_no_byte_of_the_map(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 150, 181), chunk=48)
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    used = psutil.Process().memory_info().rss
    maps = []
    for more in (2**29, 2**32):
        result = jobs.predict(path, model, PredictOptions(tiles=48, batch=1, memory_bytes=used + more), overwrite=True)
        assert result.tile == 48
        maps.append(open_scene(path).change_probability.values)
    np.testing.assert_array_equal(*maps)


def test_what_was_asked_for_may_take_more_than_the_default(monkeypatch):
    """Without a given budget the limit is half of the free memory; a given budget is used as it is."""
    monkeypatch.setattr(_memory, "free_bytes", lambda: 4 * 2**30)
    shares = _memory.share_out(None, 100, region_bytes=2**29, chunk_bytes=2, workers=4)
    assert shares.workers == 1
    assert shares.cache_bytes == 32
    with pytest.raises(OptionError, match="not enough"):
        _memory.share_out(2**30, 100, region_bytes=2**29, chunk_bytes=2, workers=4)
    monkeypatch.setattr(_memory, "free_bytes", lambda: 2**30)
    with pytest.raises(OptionError, match="not enough"):
        _memory.share_out(None, 100, region_bytes=2**29, chunk_bytes=2, workers=4)


def test_the_error_names_the_limit_that_was_obeyed(monkeypatch):
    limit = Limit(2**29, "left by memory.max of control group /job")
    monkeypatch.setattr(_memory, "free_memory", lambda: limit)
    with pytest.raises(OptionError, match=r"not enough for this job \(0.50 GiB are left by memory.max of") as caught:
        share_out(None, 100, region_bytes=2**30, chunk_bytes=2, workers=4)
    assert "0.50 GiB are left by memory.max of control group /job: raise that limit" in caught.value.hint
    with pytest.raises(OptionError, match=r"0.25 GiB of memory are not enough for this job[.] Use --memory") as caught:
        share_out(2**28, 100, region_bytes=2**27, chunk_bytes=2, workers=4)
    assert caught.value.hint.endswith("or more")
