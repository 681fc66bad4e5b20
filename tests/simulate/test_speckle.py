import numpy as np
import pytest
from scipy import ndimage, stats

from sarcd.errors import OptionError
from sarcd.simulate.classes import Cover, table
from sarcd.simulate.fields import stream
from sarcd.simulate.speckle import correlate, impulse_response, speckle, temporal_coherence


def white(number, shape=(600, 600), seed=0):
    rng = stream(seed, "white")
    return (rng.standard_normal((number, *shape)) + 1j * rng.standard_normal((number, *shape))).astype(
        np.complex64
    ) / np.float32(np.sqrt(2))


def complex_coherence(z1, z2):
    return np.sum(z1 * z2.conj()) / np.sqrt(np.sum(abs(z1) ** 2) * np.sum(abs(z2) ** 2))


def test_impulse_response_has_the_published_lag_correlations():
    response = impulse_response(1.2)
    lags = [float(np.sum(response[lag:] * response[:-lag])) for lag in (1, 2, 3)]
    np.testing.assert_allclose(lags, [0.657, 0.184, 0.025], atol=0.002)
    assert np.sum(response**2) == pytest.approx(1)
    np.testing.assert_array_equal(response, response[::-1])


@pytest.mark.parametrize("oversampling", [1.1, 1.25, 1.4])
def test_impulse_response_fills_its_band_and_no_more(oversampling):
    response = impulse_response(oversampling)
    spectrum = np.abs(np.fft.fft(response, 4096)) ** 2
    frequency = np.abs(np.fft.fftfreq(4096))
    assert spectrum[frequency > 0.5 / oversampling].sum() / spectrum.sum() < 0.005
    # Hamming 0.6 falls to 0.2 of its peak at the edge of the band.
    edge = np.argmin(np.abs(np.fft.fftfreq(4096) - 0.45 / oversampling))
    assert np.sqrt(spectrum[edge] / spectrum[0]) == pytest.approx(0.6 + 0.4 * np.cos(0.9 * np.pi), abs=0.05)


def test_unusable_impulse_responses_are_refused():
    with pytest.raises(OptionError, match="oversampling"):
        impulse_response(0.9)
    with pytest.raises(OptionError, match="odd"):
        impulse_response(1.2, taps=8)


def test_speckle_is_fully_developed():
    z = speckle(stream(1, "speckle"), (1000, 1000), oversampling=(1.2, 1.3))
    assert z.dtype == np.complex64
    intensity = np.abs(z) ** 2
    assert intensity.mean() == pytest.approx(1, abs=0.01)
    assert (intensity**2).mean() == pytest.approx(2, abs=0.04)  # moments of the exponential distribution: n!
    assert (intensity**3).mean() == pytest.approx(6, abs=0.35)
    apart = z[::10, ::10].ravel()
    assert stats.kstest(np.abs(apart) ** 2, "expon").pvalue > 0.01
    assert stats.kstest(np.angle(apart), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01
    assert abs((z**2).mean()) < 0.01  # circular


def test_each_axis_has_its_own_oversampling():
    z = speckle(stream(2, "speckle"), (700, 700), oversampling=(1.1, 1.4))
    for axis, rate in ((0, 1.1), (1, 1.4)):
        response = impulse_response(rate)
        expected = np.sum(response[1:] * response[:-1])
        moved = np.moveaxis(z, axis, 0)
        assert abs(complex_coherence(moved[1:], moved[:-1])) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("coherence", "looks", "expected"),
    # E[g] over L independent looks: METHODS.md section 2, by mpmath.
    [(0.0, 5, 0.178134), (0.3, 5, 0.331010), (0.6, 5, 0.607269), (0.9, 5, 0.900432), (0.3, 3, 0.395041)],
)
def test_homogeneous_ground_has_the_coherence_asked_for(coherence, looks, expected):
    matrix = np.array([[1, coherence], [coherence, 1]], np.float32)[..., None, None]
    z1, z2 = correlate(white(2), matrix)
    assert abs(complex_coherence(z1, z2)) == pytest.approx(coherence, abs=0.005)
    assert abs(np.angle(complex_coherence(z1, z2))) < 0.02 or coherence == 0

    def mean(a):
        return ndimage.uniform_filter(a, looks)[looks::looks, looks::looks]

    cross = z1 * z2.conj()
    estimate = np.hypot(mean(cross.real), mean(cross.imag)) / np.sqrt(mean(abs(z1) ** 2) * mean(abs(z2) ** 2))
    assert estimate.mean() == pytest.approx(expected, abs=5 * estimate.std() / np.sqrt(estimate.size))


def test_two_dates_by_hand():
    looks = np.array([1 + 1j, 2 - 1j], np.complex64)[:, None, None]
    matrix = np.array([[1, 0.6], [0.6, 1]], np.float32)[..., None, None]
    mixed = correlate(looks, matrix)[:, 0, 0]
    np.testing.assert_allclose(mixed, [1 + 1j, 0.6 * (1 + 1j) + 0.8 * (2 - 1j)], rtol=1e-6)


def test_many_dates_equal_numpys_cholesky():
    rng = np.random.default_rng(3)
    days = np.array([0, 4, 11, 15, 40.0])
    cover = rng.integers(0, len(Cover), (3, 4)).astype(np.uint8)
    matrix = temporal_coherence(days, cover)
    looks = white(5, (3, 4))
    lower = np.linalg.cholesky(np.moveaxis(matrix.astype(np.float64), (0, 1), (2, 3)))
    np.testing.assert_allclose(correlate(looks, matrix), np.einsum("yxij,jyx->iyx", lower, looks), atol=1e-5)


def test_fully_coherent_dates_are_equal():
    looks = white(3, (4, 4))
    mixed = correlate(looks, np.ones((3, 3, 1, 1), np.float32))
    np.testing.assert_allclose(mixed[1], mixed[0], atol=1e-6)
    np.testing.assert_allclose(mixed[2], mixed[0], atol=1e-6)


def test_contradicting_coherences_are_refused():
    matrix = np.array([[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]], np.float32)[..., None, None]
    with pytest.raises(OptionError, match="contradict"):
        correlate(white(3, (2, 2)), matrix)


def test_time_alone_decorrelates_as_the_table_says():
    cover = np.array([[int(c) for c in Cover]], np.uint8)
    days = np.array([0.0, 11.0, 33.0, 10_000.0])
    matrix = temporal_coherence(days, cover)[:, :, 0]
    np.testing.assert_allclose(matrix[0, 1], table("coherence"), atol=1e-6)
    np.testing.assert_allclose(matrix[0, 3], table("coherence_end"), atol=1e-6)
    np.testing.assert_array_equal(matrix, matrix.swapaxes(0, 1))
    assert (np.diff(matrix[0], axis=0) <= 0).all()
    end, decay = table("coherence_end")[1], table("decay_days")[1]
    start = end + (table("coherence")[1] - end) * np.exp(11 / decay)
    assert matrix[0, 2, 1] == pytest.approx((start - end) * np.exp(-33 / decay) + end, abs=1e-6)
    assert start < 1
