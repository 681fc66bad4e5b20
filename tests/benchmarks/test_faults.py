"""Cost of fault tolerance: syncing each chunk to disk or decoding chunks on resume, and the checksum."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from sarcd.store.scene import codecs_of
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
SIDE, CHUNK, THREADS = 8192, 1024, 2
CELLS = [(i, j) for i in range(SIDE // CHUNK) for j in range(SIDE // CHUNK)]
MEGABYTES = SIDE * SIDE * 4 / 1e6


def block():
    """Return the coherence of noise, which compresses as poorly as real coherence."""
    rng = np.random.default_rng(0)
    return np.abs(rng.standard_normal((CHUNK, CHUNK)) + 1j * rng.standard_normal((CHUNK, CHUNK))).astype("float32") / 5


def new_array(path, *, checksum=True):
    shutil.rmtree(path, ignore_errors=True)
    codecs = codecs_of(np.dtype("float32"))
    return zarr.create_array(
        path,
        shape=(SIDE, SIDE),
        chunks=(CHUNK, CHUNK),
        dtype="float32",
        compressors=codecs if checksum else codecs[:-1],
        fill_value=np.nan,
    )


def on_threads(function):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(function, CELLS))


def sync(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write(path, values, *, each=False, at_end=False, checksum=True):
    array = new_array(path, checksum=checksum)

    def one(cell):
        i, j = cell
        array[i * CHUNK : (i + 1) * CHUNK, j * CHUNK : (j + 1) * CHUNK] = values
        if each:
            sync(path / "c" / str(i) / str(j))

    on_threads(one)
    if at_end:
        on_threads(lambda cell: sync(path / "c" / str(cell[0]) / str(cell[1])))


def decode(path):
    array = zarr.open_array(path, mode="r")
    on_threads(array.get_block_selection)


def speed(times, name):
    return f"{MEGABYTES / float(np.median(times[name])):.0f}"


def test_sync_or_decode(tmp_path):
    values = block()
    write(tmp_path / "whole", values)
    times = compare(
        {
            "written, no sync": lambda: write(tmp_path / "a", values),
            "written, each chunk synced": lambda: write(tmp_path / "b", values, each=True),
            "written, all chunks synced at the end": lambda: write(tmp_path / "c", values, at_end=True),
            "decoded again on resume": lambda: decode(tmp_path / "whole"),
        }
    )
    first = next(iter(times))
    table(
        f"{len(CELLS)} regions of {CHUNK} x {CHUNK} float32 on {THREADS} threads",
        ["", "MB/s", "time over writing without sync"],
        [(name, speed(times, name), f"{ratio(times, name, first):.2f}") for name in times],
    )
    assert ratio(times, "decoded again on resume", first) < 2


def test_checksum(tmp_path):
    values = block()
    for checksum in (True, False):
        write(tmp_path / f"read{checksum}", values, checksum=checksum)
    times = compare(
        {
            "written without": lambda: write(tmp_path / "a", values, checksum=False),
            "written with": lambda: write(tmp_path / "b", values),
            "read without": lambda: decode(tmp_path / "readFalse"),
            "read with": lambda: decode(tmp_path / "readTrue"),
        },
        rounds=9,
    )
    yardstick = {name: name.split()[0] + " without" for name in times}
    table(
        "The checksum, CRC32C",
        ["", "MB/s", "time over the same without it"],
        [(name, speed(times, name), f"{ratio(times, name, yardstick[name]):.3f}") for name in times],
    )
    assert ratio(times, "read with", "read without") < 1.3
    assert ratio(times, "written with", "written without") < 1.3
