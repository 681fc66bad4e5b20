import numpy as np
import pytest
from scipy import ndimage, stats

from sarcd.errors import OptionError
from sarcd.simulation.core.classes import Cover, table
from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.speckle import (
    HIGHEST_COHERENCE,
    correlate,
    impulse_response,
    speckle,
    speckle_over,
    temporal_table,
)

DICE = RandomStreams(1, "T")


def white(number, shape=(500, 500)):
    return speckle_over(DICE, Region(0, 0, number * shape[0], shape[1]), "white", oversampling=(1.0, 1.0)).reshape(
        number, *shape
    )


def mixed(looks, table, *, cover=None, left=None, keeps=None, geometric=None, pull=None):
    """Call `correlate` with only the given causes of decorrelation; returns the images and the coherence."""
    dates, *shape = looks.shape
    out = looks.copy()
    g = correlate(
        out,
        np.asarray(table, np.float32),
        np.zeros(shape, np.uint8) if cover is None else cover,
        np.ones(shape, np.float32),
        np.ones((dates - 1, *shape), np.float32) if left is None else left,
        np.ones(looks.shape, np.float32) if keeps is None else keeps,
        np.zeros((dates, dates), np.float32) if geometric is None else geometric,
        np.ones(shape, np.float32) if pull is None else pull,
    )
    return out, g


def two(coherence):
    return np.array([[1, coherence], [coherence, 1]], np.float32)[..., None]


def complex_coherence(z1, z2):
    return np.sum(z1 * z2.conj()) / np.sqrt(np.sum(abs(z1) ** 2) * np.sum(abs(z2) ** 2))


def test_impulse_response_has_the_published_lag_correlations():
    response = impulse_response(1.2)
    lags = [float(np.sum(response[lag:] * response[:-lag])) for lag in (1, 2, 3)]
    np.testing.assert_allclose(lags, [0.657, 0.184, 0.025], atol=0.002)
    assert np.sum(response**2) == pytest.approx(1)
    np.testing.assert_array_equal(response, response[::-1])


@pytest.mark.parametrize("oversampling", [1.1, 1.25, 1.4])
@pytest.mark.parametrize("hamming", [0.54, 0.6, 0.75])
def test_impulse_response_fills_its_band_and_no_more(oversampling, hamming):
    response = impulse_response(oversampling, hamming=hamming)
    spectrum = np.abs(np.fft.fft(response, 4096)) ** 2
    frequency = np.abs(np.fft.fftfreq(4096))
    assert spectrum[frequency > 0.5 / oversampling].sum() / spectrum.sum() < 0.005
    # The weighting falls to 2 hamming - 1 of its peak at the edge of the band.
    edge = np.argmin(np.abs(np.fft.fftfreq(4096) - 0.45 / oversampling))
    assert np.sqrt(spectrum[edge] / spectrum[0]) == pytest.approx(
        hamming + (1 - hamming) * np.cos(0.9 * np.pi), abs=0.06
    )


def test_unusable_impulse_responses_are_refused():
    with pytest.raises(OptionError, match="oversampling"):
        impulse_response(0.9)
    with pytest.raises(OptionError, match="odd"):
        impulse_response(1.2, taps=8)


@pytest.mark.parametrize("named", [False, True])
def test_speckle_is_fully_developed(rng, named):
    if named:
        z = speckle_over(DICE, Region(-9, 5, 800, 800), "speckle", oversampling=(1.2, 1.3))
    else:
        z = speckle(rng, (800, 800), oversampling=(1.2, 1.3))
    assert z.dtype == np.complex64
    assert z.shape == (800, 800)
    intensity = np.abs(z) ** 2
    assert intensity.mean() == pytest.approx(1, abs=0.01)
    assert (intensity**2).mean() == pytest.approx(2, abs=0.05)  # moments of the exponential distribution: n!
    assert (intensity**3).mean() == pytest.approx(6, abs=0.45)
    apart = z[::10, ::10].ravel()
    assert stats.kstest(np.abs(apart) ** 2, "expon").pvalue > 0.01
    assert stats.kstest(np.angle(apart), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01
    assert abs((z**2).mean()) < 0.01  # circular


def test_each_axis_has_its_own_spectrum():
    z = speckle_over(DICE, Region(0, 0, 512, 512), "speckle", oversampling=(1.1, 1.4))
    for axis, rate in ((0, 1.1), (1, 1.4)):
        response = impulse_response(rate)
        expected = np.sum(response[1:] * response[:-1])
        moved = np.moveaxis(z, axis, 0)
        assert abs(complex_coherence(moved[1:], moved[:-1])) == pytest.approx(expected, abs=0.01)
        spectrum = np.mean(np.abs(np.fft.fft(moved, axis=0)) ** 2, axis=1)
        frequency = np.abs(np.fft.fftfreq(512))
        assert spectrum[frequency > 0.52 / rate].sum() / spectrum.sum() < 0.005


def test_a_lighter_weight_leaves_more_looks():
    looks = []
    for hamming in (0.6, 1.0):
        z = speckle_over(DICE, Region(0, 0, 800, 800), "speckle", oversampling=(1.2, 1.2), hamming=hamming)
        response = impulse_response(1.2, hamming=hamming)
        lags = [np.sum(response[lag:] * response[: len(response) - lag]) for lag in range(5)]
        along = sum((5 - abs(lag)) * lags[abs(lag)] ** 2 for lag in range(-4, 5)) / 25
        mean = ndimage.uniform_filter(np.abs(z) ** 2, 5)[5:-5, 5:-5]
        looks.append(mean.mean() ** 2 / mean.var())
        assert looks[-1] == pytest.approx(1 / along**2, rel=0.06)
    assert looks[1] > 1.5 * looks[0]


def test_windows_have_the_effective_looks_of_the_spectrum():
    z = speckle_over(DICE, Region(0, 0, 800, 800), "speckle", oversampling=(1.2, 1.2))
    # 8.3 and 15.3 looks in 5 x 5 and 7 x 7 pixels at 1.2: METHODS.md section 2.
    for window, looks in ((5, 8.3), (7, 15.3)):
        mean = ndimage.uniform_filter(np.abs(z) ** 2, window)[window:-window, window:-window]
        assert mean.mean() ** 2 / mean.var() == pytest.approx(looks, rel=0.06)


@pytest.mark.parametrize(
    ("coherence", "looks", "expected"),
    # E[g] over L independent looks: METHODS.md section 2, by mpmath.
    [(0.0, 5, 0.178134), (0.3, 5, 0.331010), (0.6, 5, 0.607269), (0.9, 5, 0.900432), (0.3, 3, 0.395041)],
)
def test_homogeneous_ground_has_the_coherence_asked_for(coherence, looks, expected):
    rng = np.random.default_rng(7)
    white = (rng.standard_normal((2, 500, 500, 2), np.float32) / np.float32(np.sqrt(2))).view(np.complex64)[..., 0]
    (z1, z2), told = mixed(white, two(coherence))
    np.testing.assert_allclose(told, coherence, atol=1e-6)
    assert abs(complex_coherence(z1, z2)) == pytest.approx(coherence, abs=0.006)
    assert abs(np.angle(complex_coherence(z1, z2))) < 0.02 or coherence == 0

    def mean(a):
        return ndimage.uniform_filter(a, looks)[looks::looks, looks::looks]

    cross = z1 * z2.conj()
    estimate = np.hypot(mean(cross.real), mean(cross.imag)) / np.sqrt(mean(abs(z1) ** 2) * mean(abs(z2) ** 2))
    assert estimate.mean() == pytest.approx(expected, abs=5 * estimate.std() / np.sqrt(estimate.size))


def test_two_dates_by_hand():
    looks = np.array([1 + 1j, 2 - 1j], np.complex64)[:, None, None]
    out, _ = mixed(looks, two(0.6))
    np.testing.assert_allclose(out[:, 0, 0], [1 + 1j, 0.6 * (1 + 1j) + 0.8 * (2 - 1j)], rtol=1e-6)


def test_causes_multiply():
    looks = white(2, (4, 4))
    left = np.ones((1, 4, 4), np.float32)
    left[0, 0] = 0.05
    keeps = np.ones((2, 4, 4), np.float32)
    keeps[1, 1] = 0.7
    keeps[0, 2] = 0.5
    pull = np.full((4, 4), 2, np.float32)
    geometric = np.array([[0, 0.1], [0.1, 0]], np.float32)
    _, g = mixed(looks, two(0.8), left=left, keeps=keeps, geometric=geometric, pull=pull)
    np.testing.assert_allclose(g[0, :, 0], [0.05 * 0.8, 0.8 * 0.7 * 0.8, 0.8 * 0.5 * 0.8, 0.8 * 0.8], rtol=1e-5)


def test_many_dates_equal_numpys_cholesky():
    rng = np.random.default_rng(3)
    days = np.array([0, 4, 11, 15, 40.0])
    cover = rng.integers(0, len(Cover), (3, 4)).astype(np.uint8)
    by_class = temporal_table(days)
    matrix = np.moveaxis(by_class[:, :, cover], (0, 1), (2, 3)).astype(np.float64)
    # Ground changed between the third and fourth date: pairs across the change keep a tenth.
    left = np.ones((4, 3, 4), np.float32)
    own = matrix[..., 3, 2].copy()
    left[2] = 0.1 * own
    matrix[..., 3:, :3] *= 0.1
    matrix[..., :3, 3:] *= 0.1
    looks = white(5, (3, 4))
    out, g = mixed(looks, by_class, cover=cover, left=left)
    np.testing.assert_allclose(g[2], 0.1 * own, rtol=1e-5)
    np.testing.assert_allclose(out, np.einsum("yxij,jyx->iyx", np.linalg.cholesky(matrix), looks), atol=1e-5)


def test_fully_coherent_dates_are_equal():
    out, _ = mixed(white(3, (4, 4)), np.ones((3, 3, 1)))
    np.testing.assert_allclose(out[1], out[0], atol=1e-6)
    np.testing.assert_allclose(out[2], out[0], atol=1e-6)


def test_time_alone_decorrelates_as_the_table_says():
    matrix = temporal_table(np.array([0.0, 22.0, 44.0, 100_000.0]))
    np.testing.assert_allclose(matrix[0, 1], table("coherence"), atol=1e-6)
    np.testing.assert_allclose(matrix[0, 3], table("coherence_end"), atol=1e-6)
    np.testing.assert_array_equal(matrix, matrix.swapaxes(0, 1))
    assert (np.diff(matrix[0], axis=0) <= 0).all()
    end, decay = table("coherence_end")[1], table("decay_days")[1]
    start = end + (table("coherence")[1] - end) * np.exp(22 / decay)
    assert matrix[0, 2, 1] == pytest.approx((start - end) * np.exp(-44 / decay) + end, abs=1e-6)


@pytest.mark.parametrize(("level", "decay"), [(0.5, 1.0), (1.0, 0.3), (1.5, 3.0), (20.0, 0.05)])
def test_scaled_coherences_remain_possible(level, decay):
    matrix = temporal_table(np.array([0.0, 4.0, 11.0, 12.0, 40.0]), level=level, decay=decay)
    assert matrix[~np.eye(5, dtype=bool)].max() <= HIGHEST_COHERENCE + 1e-6
    assert np.linalg.eigvalsh(np.moveaxis(matrix, 2, 0).astype(np.float64)).min() > -1e-6
