"""Chunks, shards, codecs and readers: full scans, random patches and region writes of one image."""

import multiprocessing
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from tests.benchmarks.measure import seconds, table

pytestmark = pytest.mark.benchmark
SIDE, PATCH, PATCHES, ROUNDS, THREADS = 4096, 256, 128, 3, 2
ZARRS = "zarrs.ZarrsCodecPipeline"
CODECS = {
    "lz4 of shuffled bits, crc32c": [
        BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4),
        Crc32cCodec(),
    ],
    "the same without crc32c": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4)],
    "lz4 of shuffled bytes, crc32c": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4), Crc32cCodec()],
    "zstd 1 with its checksum": [ZstdCodec(level=1, checksum=True)],
    "zstd 3 with its checksum": [ZstdCodec(level=3, checksum=True)],
    "none": None,
}
DEFAULT = next(iter(CODECS))
LAYOUTS = [  # chunk, shard, codec
    *((chunk, 0, DEFAULT) for chunk in (256, 512, 1024, 2048)),
    *((chunk, 2048, DEFAULT) for chunk in (256, 512, 1024)),
    *((1024, 0, codec) for codec in list(CODECS)[1:]),
]


def image():
    """Make speckle in integers, as in most products; it compresses about as well as real images."""
    rng = np.random.default_rng(0)
    return np.round(100 * rng.standard_normal((SIDE, SIDE, 2), np.float32)).view(np.complex64)[..., 0]


def on_threads(function, items):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(function, items))


def blocks(step):
    return [np.s_[y : y + step, x : x + step] for y, x in product(range(0, SIDE, step), repeat=2)]


def measure(path, pixels, chunk, shard, codec):
    region = max(1024, shard or chunk)

    def write():
        array = zarr.create_array(
            path,
            shape=pixels.shape,
            chunks=(chunk, chunk),
            shards=(shard, shard) if shard else None,
            dtype="complex64",
            compressors=CODECS[codec],
            overwrite=True,
        )
        on_threads(lambda block: array.__setitem__(block, pixels[block]), blocks(region))

    found = {"write": [seconds(write) for _ in range(ROUNDS)]}
    origins = np.random.default_rng(1).integers(0, SIDE - PATCH, (PATCHES, 2))
    patches = [np.s_[y : y + PATCH, x : x + PATCH] for y, x in origins]
    for name, pipeline in (("zarr", "zarr.core.codec_pipeline.BatchedCodecPipeline"), ("zarrs", ZARRS)):
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            read = zarr.open_array(path, mode="r").__getitem__
        for kind, wanted in (("scan", blocks(region)), ("patches", patches)):
            found[f"{kind} {name}"] = [seconds(partial(on_threads, read, wanted)) for _ in range(ROUNDS)]
    size = zarr.open_array(path, mode="r").nbytes_stored()
    return {name: statistics.median(times) for name, times in found.items()}, size


def test_store(tmp_path):
    pytest.importorskip("zarrs")
    pixels = image()
    rows, measured = [], {}
    for chunk, shard, codec in LAYOUTS:
        times, size = measure(str(tmp_path / f"{chunk}-{shard}.zarr"), pixels, chunk, shard, codec)
        megabytes = pixels.nbytes / 1e6
        measured[chunk, shard, codec] = times, size
        rows.append(
            (
                chunk,
                shard or "-",
                codec,
                f"{size / pixels.nbytes:.2f}",
                f"{megabytes / times['write']:.0f}",
                f"{megabytes / times['scan zarr']:.0f}",
                f"{megabytes / times['scan zarrs']:.0f}",
                f"{PATCHES / times['patches zarr']:.0f}",
                f"{PATCHES / times['patches zarrs']:.0f}",
            )
        )
    header = ["chunk", "shard", "codec", "size", "region writes, MB/s", "full scan, MB/s", "the same by zarrs"]
    header += [f"random {PATCH} x {PATCH} patches/s", "the same by zarrs"]
    table(f"A {SIDE} x {SIDE} complex64 image of whole numbers, {THREADS} threads", header, rows)
    (times, size), (fastest, _) = measured[1024, 0, DEFAULT], measured[1024, 0, "none"]
    assert size < 0.4 * pixels.nbytes
    assert times["scan zarr"] < 2 * fastest["scan zarr"]
    assert times["write"] < 2 * fastest["write"]


def read_in_child(path):
    with zarr.config.set({"codec_pipeline.path": ZARRS}):
        zarr.open_array(path, mode="r")[:64, :64]


def test_zarrs_after_fork(tmp_path):
    """Return whether a process that has read with zarrs can fork working child processes."""
    pytest.importorskip("zarrs")
    path = str(tmp_path / "a.zarr")
    zarr.create_array(path, data=np.zeros((256, 256), "float32"), chunks=(64, 64))
    read_in_child(path)
    rows = []
    for method in ("spawn", "fork"):
        child = multiprocessing.get_context(method).Process(target=read_in_child, args=(path,))
        child.start()
        child.join(20)
        rows.append((method, "hangs" if child.is_alive() else "reads" if child.exitcode == 0 else "fails"))
        child.kill()
        child.join()
    table("A child process of one that has read with zarrs", ["started by", "then"], rows)
    assert rows[0] == ("spawn", "reads")
