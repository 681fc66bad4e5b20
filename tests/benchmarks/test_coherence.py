"""Coherence against the usual compositions and against merely reading and writing the images."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from sarcd.kernels.coherence import boxcar
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
SIDE, THREADS = 4096, 2


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
    """Run a function of (before, after) on two bands of rows at once, with halo, as dask does."""

    def run(before, after):
        step = SIDE // THREADS
        out = np.empty(before.shape, np.float32)

        def work(start):
            low, high = max(0, start - halo), min(SIDE, start + step + halo)
            out[start : start + step] = function(before[low:high], after[low:high])[start - low : start - low + step]

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(0, SIDE, step)))
        return out

    return run


@pytest.mark.parametrize("window", [5, 21])
def test_coherence(window):
    rng = np.random.default_rng(0)
    before, after = (
        (rng.standard_normal((SIDE, SIDE), np.float32) + 1j * rng.standard_normal((SIDE, SIDE), np.float32)).astype(
            "complex64"
        )
        for _ in range(2)
    )
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
    np.testing.assert_allclose(runs["sarcd, 2 threads"]()[inner], with_scipy(before, after, window)[inner], atol=1e-4)
    times = compare(runs)
    rows = [
        (
            name,
            f"{SIDE * SIDE / 1e6 / float(np.median(values)):.0f}",
            f"{ratio(times, name, 'sarcd, 2 threads'):.2f}",
        )
        for name, values in times.items()
    ]
    title = f"Coherence {window} x {window} of a pair of {SIDE} x {SIDE} complex64"
    table(title, ["", "Mpx/s (median)", "time over sarcd's (median of ratios)"], rows)
