from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sarcd.errors import OptionError
from sarcd.simulation.core.classes import Cover
from sarcd.simulation.core.options import SITES, SiteOptions
from sarcd.simulation.core.parts import parts, simulate_arrays
from sarcd.simulation.core.projection import LAYOVER, SHADOW
from sarcd.simulation.core.pseudo import Pseudo

# No phase, so that coherence can be pooled over a class; the effect of weather on intensity is unaffected.
OPTIONS = SiteOptions(
    "T",
    vegetation=0.25,
    baseline_m=0.0,
    turbulence_rad=0.0,
    ramp=(0.0, 0.0),
    changes=(4, 4),
    cell_px=900,
    pit=200.0,
    vehicles=1500.0,
)
DAYS = (0.0, 11.0, 22.0)
SHAPE = (640, 640)
ARRAYS = ("slc", "label", "mask", "coherence", "pseudo_change", "cover", "power")


@pytest.fixture(scope="module")
def scene():
    return simulate_arrays(OPTIONS, SHAPE, DAYS, seed=1)


def test_shapes_and_types(scene):
    assert scene.slc.shape == scene.power.shape == (3, *SHAPE)
    assert scene.slc.dtype == np.complex64
    for array, kind in ((scene.label, np.uint8), (scene.pseudo_change, np.uint8), (scene.coherence, np.float32)):
        assert array.shape == (2, *SHAPE)
        assert array.dtype == kind
    assert scene.cover.shape == scene.mask.shape == SHAPE
    assert np.isfinite(scene.slc).all()
    assert scene.coherence.min() >= 0
    assert scene.coherence.max() <= 1


@pytest.mark.parametrize(("site", "part_px", "hamming"), [("A", 150, 0.6), ("B", 97, 0.6), ("C", 64, 0.85)])
def test_parts_change_no_byte(site, part_px, hamming):
    options = replace(SITES[site], hamming=hamming)
    whole = simulate_arrays(options, (200, 230), (0.0, 11.0, 15.0), seed=4)
    pieces = simulate_arrays(options, (200, 230), (0.0, 11.0, 15.0), seed=4, part_px=part_px)
    assert (whole.label == 1).any()
    for name in ARRAYS:
        assert getattr(pieces, name).tobytes() == getattr(whole, name).tobytes(), name


def test_another_seed_is_another_mine(scene):
    other = simulate_arrays(OPTIONS, SHAPE, DAYS[:2], seed=2)
    assert (other.slc[0] != scene.slc[0]).mean() > 0.99
    assert (other.cover != scene.cover).mean() > 0.1


def test_a_later_date_changes_nothing_before_it(scene):
    shorter = simulate_arrays(OPTIONS, SHAPE, DAYS[:2], seed=1)
    assert shorter.label[0].tobytes() == scene.label[0].tobytes()
    assert shorter.slc[:2].tobytes() == scene.slc[:2].tobytes()


def test_gain_scales_amplitudes_alone(scene):
    louder = simulate_arrays(replace(OPTIONS, gain_db=6.0), SHAPE, DAYS, seed=1)
    np.testing.assert_allclose(louder.slc, scene.slc * 10 ** (6 / 20), rtol=1e-5)
    np.testing.assert_array_equal(louder.coherence, scene.coherence)
    np.testing.assert_array_equal(louder.label, scene.label)


def test_the_spectral_weight_changes_speckle_and_not_the_ground():
    usual, light = (
        simulate_arrays(replace(OPTIONS, vehicles=0.0, hamming=hamming), (256, 256), DAYS[:2], seed=1)
        for hamming in (0.6, 0.9)
    )
    for name in ("label", "mask", "cover", "power", "pseudo_change"):
        np.testing.assert_array_equal(getattr(usual, name), getattr(light, name))
    # Weighting at the edges of the band: Hamming 0.6 falls to 0.2 there, 0.9 to 0.8.
    shares = []
    for scene in (usual, light):
        level = np.sqrt(scene.power[0] + 10 ** (OPTIONS.noise_db / 10))
        spectrum = np.abs(np.fft.fft(scene.slc[0] / level, axis=0)) ** 2
        frequency = np.abs(np.fft.fftfreq(256)) * OPTIONS.oversampling[0]
        shares.append(spectrum[(frequency > 0.4) & (frequency < 0.5)].sum() / spectrum[frequency < 0.1].sum())
    assert shares[1] > 3 * shares[0]


def test_labels_say_what_cannot_be_judged(scene):
    assert set(np.unique(scene.mask)) == {0, LAYOVER, SHADOW, LAYOVER | SHADOW}
    for label in scene.label:
        assert set(np.unique(label)) == {0, 1, 255}
        assert (scene.mask[label == 255] != 0).all()
    judged_once = (scene.label != 255).any(axis=0) & (scene.mask != 0)
    assert judged_once.mean() < 0.02  # masked at one of three dates
    assert not scene.pseudo_change[scene.label == 1].any()
    # Shadow contains only noise.
    dark = (scene.mask == SHADOW) & (scene.label[0] == 255) & (scene.label[1] == 255)
    inner = ndimage.binary_erosion(dark, iterations=2)
    assert np.mean(np.abs(scene.slc[0][inner]) ** 2) < 2 * 10 ** (OPTIONS.noise_db / 10)


def test_the_near_wall_lies_over_and_the_far_wall_is_dark():
    plain = replace(OPTIONS, relief_m=0.0, vegetation=0.0, water=0.0, tailings=0.0, changes=(0, 0), vehicles=0.0)
    for look in ("right", "left"):
        scene = simulate_arrays(replace(plain, look=look), (640, 640), (0.0, 11.0), seed=3)
        pit = np.isin(scene.cover, (Cover.BENCH_FACE,))
        middle = np.median(np.nonzero(pit)[1])
        right = np.broadcast_to(np.arange(640) > middle, pit.shape)
        # When looking left, the right wall of a pit faces the radar.
        lit, dark = (right, ~right) if look == "right" else (~right, right)
        near = np.isin(scene.cover, (Cover.BENCH_FLOOR, Cover.BENCH_FACE))
        assert ((scene.mask & LAYOVER) > 0)[lit & near].mean() > 3 * ((scene.mask & LAYOVER) > 0)[dark & near].mean()
        assert ((scene.mask & SHADOW) > 0)[dark & near].sum() > 5 * ((scene.mask & SHADOW) > 0)[lit & near].sum()
        assert scene.power[0][lit & pit].mean() > 2 * scene.power[0][dark & pit].mean()


def test_outlines_move_with_the_terrain(scene):
    # Excavation moves faces, so some earlier layover and shadow disappears, only within the changed area.
    still = simulate_arrays(replace(OPTIONS, changes=(0, 0)), SHAPE, DAYS[:2], seed=1)
    assert set(np.unique(still.label)) == {0, 255}
    moved = (scene.label[0] == 255) & (still.label[0] != 255)
    assert moved.sum() > 100
    near = ndimage.binary_dilation(scene.label[0] == 1, iterations=25)
    assert near[moved].mean() > 0.95


@pytest.mark.parametrize("cover", [Cover.GROUND, Cover.BENCH_FLOOR, Cover.DUMP, Cover.VEGETATION])
def test_images_have_the_coherence_that_is_called_true(scene, cover):
    where = (scene.cover == cover) & (scene.label[0] == 0) & (scene.pseudo_change[0] == 0)
    noise = 10 ** (OPTIONS.noise_db / 10)
    # The estimate weights pixels by their power, so the true value must too.
    powers = (scene.power[0][where] + noise, scene.power[1][where] + noise)
    expected = np.sum(scene.coherence[0][where] * np.sqrt(powers[0] * powers[1])) / np.sqrt(
        powers[0].sum() * powers[1].sum()
    )
    z1, z2 = scene.slc[0][where], scene.slc[1][where]
    got = abs(np.sum(z1 * z2.conj())) / np.sqrt(np.sum(abs(z1) ** 2) * np.sum(abs(z2) ** 2))
    assert got == pytest.approx(expected, abs=0.02 + 2.5 / np.sqrt(where.sum()))


def test_noise_alone_makes_the_thermal_factor():
    quiet = replace(OPTIONS, noise_db=-90.0, vehicles=0.0)
    clean, noisy = (
        simulate_arrays(replace(quiet, noise_db=db), (128, 128), (0.0, 11.0), seed=1) for db in (-90.0, -12.0)
    )
    snr1, snr2 = (noisy.power[date] / 10**-1.2 for date in (0, 1))
    lit = np.minimum(snr1, snr2) > 0
    factor = 1 / np.sqrt((1 + 1 / snr1[lit]) * (1 + 1 / snr2[lit]))
    np.testing.assert_allclose(noisy.coherence[0][lit], clean.coherence[0][lit] * factor, rtol=1e-3, atol=1e-5)
    expected = noisy.power[0].mean() + 10**-1.2
    assert np.mean(np.abs(noisy.slc[0]) ** 2) == pytest.approx(expected, rel=0.05)


def test_changed_ground_has_lost_its_coherence(scene):
    for pair in (0, 1):
        changed = scene.label[pair] == 1
        assert scene.coherence[pair][changed].max() <= 0.101
        z1, z2 = scene.slc[pair][changed], scene.slc[pair + 1][changed]
        assert abs(np.sum(z1 * z2.conj())) / np.sqrt(np.sum(abs(z1) ** 2) * np.sum(abs(z2) ** 2)) < 0.15


def test_texture_is_shared_by_unchanged_ground_and_new_where_it_moved(scene):
    ratio_db = 10 * np.log10(np.maximum(scene.power[1], 1e-9) / np.maximum(scene.power[0], 1e-9))
    still = (scene.label[0] == 0) & (scene.pseudo_change[0] == 0) & (scene.mask == 0)
    still &= np.isin(scene.cover, (Cover.GROUND, Cover.BENCH_FLOOR, Cover.DUMP))
    assert np.quantile(np.abs(ratio_db[still]), 0.97) < 0.2
    changed = scene.label[0] == 1
    assert abs(np.median(ratio_db[changed])) < 5
    # Only the fine texture, without slopes and classes: the residual of logarithms after subtracting the local mean.
    logs = np.log(np.maximum(scene.power[:2], 1e-9))
    grain = logs - ndimage.uniform_filter(logs, (0, 7, 7))
    inner = ndimage.binary_erosion(changed, iterations=3)
    assert inner.sum() > 500
    assert np.corrcoef(grain[:, still])[0, 1] > 0.95
    assert np.corrcoef(grain[:, inner])[0, 1] < 0.3


def test_moisture_raises_brightness_and_keeps_coherence(scene):
    moist = (scene.pseudo_change[0] == Pseudo.MOISTURE) & (scene.label[0] == 0)  # wetted at the second date
    moist &= scene.mask == 0
    assert moist.mean() > 0.01
    ratio_db = 10 * np.log10(scene.power[1][moist] / scene.power[0][moist])
    assert np.quantile(ratio_db, 0.02) > 1.5  # columns that also contain some dry ground
    assert np.quantile(ratio_db, 0.99) < 5.1
    dry = simulate_arrays(replace(OPTIONS, moist=(0.0, 0.0)), SHAPE, DAYS[:2], seed=1)
    kept = (scene.coherence[0] / np.maximum(dry.coherence[0], 1e-3))[moist]
    # Brighter ground also has relatively less noise, so slightly more than 1 is possible.
    assert np.quantile(kept, 0.01) > 0.69
    assert np.quantile(kept, 0.99) < 1.2
    # Wetted ground has dried again by the third date.
    back = moist & (scene.label[1] == 0)
    np.testing.assert_allclose(np.median(scene.power[2][back] / scene.power[0][back]), 1, rtol=0.01)


def test_vehicles_are_bright_and_seen_at_one_date_only():
    quiet = simulate_arrays(replace(OPTIONS, vehicles=0.0), SHAPE, DAYS[:2], seed=1)
    busy = simulate_arrays(replace(OPTIONS, vehicles=4000.0), SHAPE, DAYS[:2], seed=1)
    bright = np.abs(busy.slc - quiet.slc) > 0.8
    assert 10 < ndimage.label(bright[0])[1] < 200
    assert (bright[0] & bright[1]).sum() < 0.2 * bright[0].sum()
    np.testing.assert_array_equal(busy.label, quiet.label)
    seen = bright[0] & (busy.label[0] == 0)
    assert (busy.pseudo_change[0][seen] == Pseudo.VEHICLE).mean() > 0.6
    assert busy.coherence[0][seen].mean() < 0.6 * quiet.coherence[0][seen].mean()


def test_residual_phase_is_no_loss_of_coherence():
    phased = replace(OPTIONS, baseline_m=50.0, turbulence_rad=0.5, ramp=(0.01, 0.02))
    scene = simulate_arrays(phased, (160, 160), (0.0, 11.0), seed=1)
    still = scene.label[0] == 0
    product = np.where(still, scene.slc[0] * scene.slc[1].conj(), 0)
    power = np.where(still, np.abs(scene.slc[0] * scene.slc[1]), 0)
    pooled = abs(product.sum()) / power.sum()
    local = np.mean(np.abs(ndimage.uniform_filter(product, 5))) / np.mean(ndimage.uniform_filter(power, 5))
    assert pooled < 0.5 * local


def test_small_scenes_lie_around_a_change():
    for site in SITES.values():
        label = simulate_arrays(site, (64, 64), (0.0, 11.0), seed=0).label
        assert 0.02 < (label == 1).mean() < 0.9


@pytest.mark.parametrize(("shape", "days"), [((63, 200), (0.0, 1.0)), ((64, 64), (0.0,)), ((64, 64), (0.0, 0.0))])
def test_unusable_scenes_are_refused(shape, days):
    with pytest.raises(OptionError):
        next(parts(OPTIONS, shape, days))


@pytest.mark.parametrize(
    "wrong",
    [
        {"vegetation": 1.1},
        {"incidence_deg": 60.0},
        {"oversampling": (0.9, 1.2)},
        {"hamming": 0.4},
        {"changes": (3, 2)},
        {"look": "up"},
        {"pit": 900.0},
        {"gain_db": float("nan")},
        {"ramp": (0.6, 0.0)},
    ],
)
def test_unusable_options_are_refused(wrong):
    with pytest.raises(OptionError) as caught:
        replace(OPTIONS, **wrong)
    assert caught.value.option == next(iter(wrong))
