"""Windows of a scene read through the chunk cache."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarcd.errors import CorruptChunkError
from sarcd.store.reader import SceneReader
from tests.factories.scenes import random_slc, stored_scene

SHAPE = (3, 61, 83)


@pytest.fixture(scope="module")
def images():
    return random_slc(np.random.default_rng(2), SHAPE, holes=0.02)


@pytest.fixture(scope="module", params=[(16, 0), (16, 32)])
def path(request, tmp_path_factory, images):
    chunk, shard = request.param
    folder = tmp_path_factory.mktemp("reader")
    return stored_scene(folder / "scene.zarr", None, SHAPE, chunk=chunk, shard=shard, slc=images)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), cache=st.sampled_from([0, 5000, 10**9]))
def test_any_window(path, images, data, cache):
    reader = SceneReader(path, cache_bytes=cache)
    for _ in range(4):
        y0, x0 = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 82))
        y, x = slice(y0, data.draw(st.integers(y0 + 1, 61))), slice(x0, data.draw(st.integers(x0 + 1, 83)))
        np.testing.assert_array_equal(reader.pair_images((0, 2), y, x), images[[0, 2], y, x])
    assert reader._held <= max(cache, 0)


def test_threads_share_chunks(path, images):
    reader = SceneReader(path)
    decoded = []
    decode = reader._decode
    reader._decode = lambda key: (decoded.append(key), decode(key))[1]
    with ThreadPoolExecutor(8) as pool:
        windows = list(pool.map(lambda _: reader.pair_images((0, 1), slice(0, 61), slice(0, 83)), range(8)))
    for window in windows:
        np.testing.assert_array_equal(window, images[:2])
    assert len(decoded) == len(set(decoded)) == 2 * 4 * 6


def test_corrupt_and_absent_chunks_are_named(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 40, 40), chunk=16)
    chunk = path / "slc" / "c" / "1" / "0" / "1"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-5])
    with pytest.raises(CorruptChunkError, match="slc/c/1/0/1"):
        SceneReader(path).pair_images((0, 1), slice(0, 40), slice(0, 40))
    chunk.unlink()
    with pytest.raises(CorruptChunkError, match=r"slc/c/1/0/1.*absent"):
        SceneReader(path).pair_images((0, 1), slice(30, 40), slice(30, 40))
