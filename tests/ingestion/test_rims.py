"""Edges of decoded chunks are kept, so that neighbours do not require decoding a chunk again."""

from itertools import product

import numpy as np
import pytest

from sarcd.store.reader import SceneReader
from tests.factories.scenes import stored_scene

SHAPE = (2, 100, 130)


@pytest.fixture
def path(tmp_path, rng):
    return stored_scene(tmp_path / "a.zarr", rng, SHAPE, chunk=32, holes=0.1)


@pytest.fixture
def decoded(monkeypatch):
    keys, real = [], SceneReader._decode
    monkeypatch.setattr(SceneReader, "_decode", lambda self, key: keys.append(key) or real(self, key))
    return keys


def blocks(halo, rng):
    """Read chunks with a halo, in a random order."""
    rows, columns = (
        [slice(max(start - halo, 0), min(start + 32 + halo, size)) for start in range(0, size, 32)]
        for size in SHAPE[1:]
    )
    found = list(product(rows, columns))
    return [found[i] for i in rng.permutation(len(found))]


def test_same_pixels_and_one_reading_a_chunk(path, rng, decoded):
    whole = SceneReader(path).scene["slc"].values
    reader = SceneReader(path, cache_bytes=2**17, rim=3)  # 16 of 40 chunks
    for again in (False, True, True):
        first = len(decoded)
        for y, x in blocks(3, rng):
            before = len(decoded)
            for date, image in enumerate(reader.pair_images((0, 1), y, x)):
                np.testing.assert_array_equal(image, whole[date, y, x])
            if again:  # nothing is decoded for a neighbour
                own = (y.start + 31) // 32, (x.start + 31) // 32
                assert {key[1][1:] for key in decoded[before:]} <= {own}
        assert len(decoded) - first <= (40 if again else 80)
    without = SceneReader(path, cache_bytes=2**17)
    before = len(decoded)
    for y, x in blocks(3, rng):
        without.pair_images((0, 1), y, x)
    assert len(decoded) - before > 80


def test_rims_are_bounded(path, rng):
    reader = SceneReader(path, cache_bytes=2**14, rim=3)
    for y, x in blocks(3, rng):
        reader.pair_images((0, 1), y, x)
    held = sum(strip.result().nbytes for strips in reader._rims.values() for _, _, strip in strips)
    assert 0 < held == reader._rims_held <= 2**14
    assert len(reader._rims) < 40


def test_further_than_a_rim(path):
    whole = SceneReader(path).scene["slc"].values
    reader = SceneReader(path, cache_bytes=0, rim=3)
    for part in (np.s_[0:32, 0:32], np.s_[20:44, 29:33], np.s_[29:40, 0:60], np.s_[0:100, 0:130]):
        np.testing.assert_array_equal(reader.plane("slc", 1, *part), whole[(1, *part)])
        np.testing.assert_array_equal(reader.plane("slc", 1, *part), whole[(1, *part)])
