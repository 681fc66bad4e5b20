"""Speed of coherence relative to common alternatives and to reading and writing the images."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from numba import njit
from scipy.ndimage import uniform_filter

from sarcd import jobs, schema
from sarcd.estimation.kernels import boxcar as kernel
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.store.scene import SceneStore
from tests.benchmarks.measure import ROUNDS, compare, ratio, seconds, speeds, table
from tests.benchmarks.test_statistics import store_noise

pytestmark = pytest.mark.benchmark
SIDE, CHUNK, THREADS = 4096, 1024, 2
SCENE_SIDE = 16384  # as large as real scenes, so that the fixed cost of a command is negligible


def with_scipy(before, after, size):
    product = before * after.conj()
    real, imag = (uniform_filter(part, size, mode="constant") for part in (product.real, product.imag))
    first, second = (uniform_filter(np.abs(image) ** 2, size, mode="constant") for image in (before, after))
    return np.hypot(real, imag) / np.sqrt(first * second)


def with_opencv(before, after, size):
    import cv2

    def mean(image):
        return cv2.boxFilter(image, cv2.CV_32F, (size, size), borderType=cv2.BORDER_CONSTANT)

    product = before * after.conj()
    real, imag = mean(np.ascontiguousarray(product.real)), mean(np.ascontiguousarray(product.imag))
    powers = [mean(image.real**2 + image.imag**2) for image in (before, after)]
    return cv2.magnitude(real, imag) / cv2.sqrt(powers[0] * powers[1])


def in_bands(function, halo):
    """Apply a function of (before, after) to two bands of rows in parallel, with a halo, as dask does."""

    def run(before, after):
        step = SIDE // THREADS

        def work(start):
            low, high = max(0, start - halo), min(SIDE, start + step + halo)
            return function(before[low:high], after[low:high])[start - low : start - low + step]

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(work, range(0, SIDE, step)))

    return run


def noise_pair():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((SIDE, SIDE, 2), np.float32).view(np.complex64)[..., 0] for _ in range(2)]


@njit
def _repeat(step, arguments, count):
    for _ in range(count):
        step(*arguments)


def test_what_bounds_it():
    """Time each step on buffers that fit the CPU caches, beside the complete kernel and a read of memory."""
    rng = np.random.default_rng(0)
    n, count = 1024, 2000
    rows = [rng.standard_normal(2 * n).astype("float32") for _ in range(2)]
    lines = [rng.random(n + 4).astype("float32") for _ in range(8)]
    levels = rng.random((2, n + 4)).astype("float32")
    sums = [line[:n] for line in lines]
    out = np.empty(n, np.float32)
    steps = {  # number of runs per row of pixels, over the five passes that sum rows and columns
        "products": (1, kernel._multiply, (*rows, *sums[:4])),
        "window sums along rows": (4, kernel._slide, (levels, n + 4, kernel._terms(5), out)),
        "window sums down columns": (8, kernel._add, (out, sums[0])),
        "coherence of the sums": (1, kernel._divide, (*sums, out)),
    }
    rows_of_table, total = [], 0.0
    for name, (times, step, arguments) in steps.items():
        _repeat(step, arguments, 1)
        taken = min(seconds(lambda s=step, a=arguments: _repeat(s, a, count)) for _ in range(ROUNDS))
        nanoseconds = times * taken / count / n * 1e9
        total += nanoseconds
        rows_of_table.append((name, f"{nanoseconds:.2f}"))
    before, after = noise_pair()
    whole = min(seconds(lambda: boxcar(before, after, (5, 5))) for _ in range(ROUNDS)) / SIDE**2 * 1e9
    read = min(seconds(lambda: (before.view("float32").max(), after.view("float32").max())) for _ in range(ROUNDS))
    rows_of_table += [
        ("all steps", f"{total:.2f}"),
        ("the kernel, one thread", f"{whole:.2f}"),
        ("only reading both images", f"{read / SIDE**2 * 1e9:.2f}"),
    ]
    table("What the 5 x 5 kernel does with its time", ["step", "ns a pixel"], rows_of_table)


def test_window_sizes():
    before, after = noise_pair()
    runs = {
        f"{size} x {size}": partial(in_bands(partial(boxcar, window=(size, size)), size // 2), before, after)
        for size in (5, 3, 9, 21, 41)
    }
    rows = speeds(compare(runs), SIDE**2, "5 x 5")
    table(f"sarcd's boxcar by window, {THREADS} threads", ["window", "Mpx/s", "time over 5 x 5's"], rows)


@pytest.mark.parametrize("window", [5, 21])
def test_coherence(window):
    before, after = noise_pair()
    out = np.empty((SIDE, SIDE), np.float32)

    def only_read_and_write():
        np.add(before.real, after.imag, out=out)

    runs = {
        "sarcd, 2 threads": lambda: in_bands(lambda a, b: boxcar(a, b, (window, window)), window // 2)(before, after),
        "scipy uniform_filter, 2 threads": lambda: in_bands(lambda a, b: with_scipy(a, b, window), window // 2)(
            before, after
        ),
        "scipy uniform_filter, 1 thread": lambda: with_scipy(before, after, window),
        "reading both, writing one": only_read_and_write,
    }
    try:
        import cv2

        cv2.setNumThreads(THREADS)
        runs["OpenCV boxFilter, 2 threads"] = lambda: in_bands(lambda a, b: with_opencv(a, b, window), window // 2)(
            before, after
        )
    except ImportError:
        print("OpenCV is not installed: its row is missing")
    inner = np.s_[window:-window, window:-window]
    np.testing.assert_allclose(
        np.concatenate(runs["sarcd, 2 threads"]())[inner], with_scipy(before, after, window)[inner], atol=1e-4
    )
    rows = speeds(compare(runs), SIDE**2, "sarcd, 2 threads")
    title = f"Coherence {window} x {window} of a pair of {SIDE} x {SIDE} complex64"
    table(title, ["", "Mpx/s (median)", "time over sarcd's (median of ratios)"], rows)


@pytest.mark.parametrize("window", [5, 21])
def test_lazy_coherence(window):
    """Measure the overhead of chunks, tasks and assembling the result on top of the kernel."""
    before, after = noise_pair()
    times = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    images = xr.DataArray(np.stack([before, after]), dims=("time", "y", "x"), coords={"time": times}, name="slc")
    others = images.to_dataset().chunk(time=1, y=CHUNK, x=CHUNK)
    own = others.assign_attrs(sarcd_schema=schema.VERSION)  # skips the search for undeclared no-data
    runs = {
        "the kernel": partial(in_bands(partial(boxcar, window=(window, window)), window // 2), before, after),
        "lazy": lambda: own.sarcd.coherence(window=window).compute(),
        "lazy, images of others": lambda: others.sarcd.coherence(window=window).compute(),
    }
    try:
        import cv2

        cv2.setNumThreads(THREADS)
        runs["OpenCV boxFilter"] = partial(in_bands(partial(with_opencv, size=window), window // 2), before, after)
    except ImportError:
        print("OpenCV is not installed: its row is missing")
    np.testing.assert_array_equal(runs["lazy"]()[0], boxcar(before, after, (window, window)))
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        taken = compare(runs, rounds=9)
    table(
        f"Lazy coherence {window} x {window} of a pair of {SIDE} x {SIDE} in chunks of {CHUNK}, {THREADS} threads",
        ["", "Mpx/s (median)", "time over the kernel's (median of ratios)"],
        speeds(taken, SIDE**2, "the kernel"),
    )
    assert ratio(taken, "lazy", "the kernel") <= 2.6


def test_coherence_job(tmp_path):
    """Measure coherence from store to store, beside a plain dask copy of the images to an array of the same size."""
    path = str(store_noise(tmp_path / "scene.zarr", SCENE_SIDE))

    def copy():
        images = xr.open_zarr(path).slc.data
        result = da.map_blocks(
            lambda before, after: np.ascontiguousarray(before.real), images[:1], images[1:], dtype="float32"
        )
        like = SceneStore(path).array("coherence")
        target = zarr.create_array(
            str(tmp_path / "copy.zarr"),
            shape=result.shape,
            chunks=like.chunks,
            dtype=like.dtype,
            compressors=like.compressors,
            overwrite=True,
        )
        da.store(result, target, lock=False)

    times = compare({"sarcd coherence": lambda: jobs.coherence(path, overwrite=True), "bare dask copy": copy}, rounds=5)
    table(
        f"Two stored images of {SCENE_SIDE} x {SCENE_SIDE} to stored coherence, 5 x 5",
        ["", "Mpx/s (median)", "time over the copy's (median of ratios)", "seconds (median)"],
        [(*row, f"{np.median(times[row[0]]):.2f}") for row in speeds(times, SCENE_SIDE**2, "bare dask copy")],
    )
