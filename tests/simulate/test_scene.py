from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sarcd.errors import OptionError
from sarcd.simulate.classes import Cover
from sarcd.simulate.landcover import LandMix
from sarcd.simulate.options import SceneOptions
from sarcd.simulate.pseudo import Pseudo
from sarcd.simulate.scene import simulate

OPTIONS = SceneOptions(site="T", shape=(384, 384), days=(0.0, 11.0, 22.0), mix=LandMix(vegetation=0.25))


@pytest.fixture(scope="module")
def scene():
    return simulate(OPTIONS, seed=1)


def pooled_coherence(scene, pair, where, lags=1):
    """Coherence magnitude and its expectation, both summed over pixels, the phase held within small blocks."""
    z1, z2 = np.where(where, scene.slc[pair], 0), np.where(where, scene.slc[pair + 1], 0)

    def blocks(a):
        return a.reshape(48, 8, 48, 8).sum((1, 3))

    # The residual phase is smooth: it is estimated over the neighbourhood and taken out.
    smooth = ndimage.gaussian_filter(scene.slc[pair + 1] * scene.slc[pair].conj(), 12)
    cross = blocks(z1 * z2.conj() * np.exp(1j * np.angle(smooth)))
    powers = np.sum(np.abs(z1) ** 2) * np.sum(np.abs(z2) ** 2)
    return float(cross.real.sum() / np.sqrt(powers))


def test_shapes_and_types(scene):
    assert scene.slc.shape == (3, 384, 384)
    assert scene.slc.dtype == np.complex64
    for array, kind in ((scene.label, np.uint8), (scene.pseudo_change, np.uint8), (scene.coherence, np.float32)):
        assert array.shape == (2, 384, 384)
        assert array.dtype == kind
    assert scene.cover.shape == (384, 384)
    assert scene.cover.dtype == np.uint8
    assert np.isfinite(scene.slc).all()
    assert scene.coherence.min() >= 0
    assert scene.coherence.max() <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(scene):
    again = simulate(OPTIONS, seed=1)
    other = simulate(OPTIONS, seed=2)
    for name in ("slc", "label", "coherence", "pseudo_change", "cover", "power"):
        assert getattr(again, name).tobytes() == getattr(scene, name).tobytes(), name
        assert getattr(other, name).tobytes() != getattr(scene, name).tobytes(), name


def test_a_later_date_changes_nothing_before_it(scene):
    shorter = simulate(replace(OPTIONS, days=(0.0, 11.0)), seed=1)
    assert shorter.label[0].tobytes() == scene.label[0].tobytes()
    assert shorter.slc[0].tobytes() == scene.slc[0].tobytes()


def test_gain_scales_amplitudes_alone(scene):
    louder = simulate(replace(OPTIONS, gain_db=6.0), seed=1)
    np.testing.assert_allclose(louder.slc, scene.slc * 10 ** (6 / 20), rtol=1e-5)
    np.testing.assert_array_equal(louder.coherence, scene.coherence)
    np.testing.assert_array_equal(louder.label, scene.label)


def test_labels_are_the_patches_and_never_pseudo_changes(scene):
    for pair, patches in enumerate(scene.patches):
        changed = np.zeros(scene.cover.shape, bool)
        for patch in patches:
            changed[patch.box] |= patch.inside
        np.testing.assert_array_equal(scene.label[pair], changed)
        assert 0.03 < changed.mean() < 0.06
        assert not scene.pseudo_change[pair][changed].any()
        unlabelled = (Cover.VEGETATION, Cover.WATER, Cover.ROAD_BUSY, Cover.TAILINGS_WET)
        assert not np.isin(scene.cover[changed], unlabelled).any()
        assert set(np.unique(scene.pseudo_change[pair])) == {int(kind) for kind in Pseudo}


def test_change_brightness_is_what_its_patch_says(scene):
    ratio_db = 10 * np.log10(scene.power[1] / scene.power[0])
    quiet = np.zeros(scene.cover.shape, bool)
    for patch in scene.patches[0]:
        quiet[patch.box][patch.inside] = abs(patch.offset_db) <= 1
    changed = scene.label[0] == 1
    # New texture scatters single pixels, so the mean over the changed area counts.
    assert abs(ratio_db[quiet].mean()) < 1.3
    assert np.abs(ndimage.uniform_filter(ratio_db, 9)[ndimage.binary_erosion(changed, iterations=5)]).max() < 7
    # Texture is kept where the ground was not moved and is new where it was.
    still = (~changed) & (scene.pseudo_change[0] == 0) & np.isin(scene.cover, (Cover.GROUND, Cover.BENCH_FLOOR))
    np.testing.assert_allclose(ratio_db[still], 0, atol=1e-4)
    assert ratio_db[changed].std() > 1


def test_images_have_the_power_and_noise_asked_for(scene):
    for noise_db in (-21.0, -10.0):
        noisy = simulate(replace(OPTIONS, noise_db=noise_db, vehicles=0), seed=1)
        water = noisy.cover == Cover.GROUND
        expected = noisy.power[0][water].mean() + 10 ** (noise_db / 10)
        assert np.mean(np.abs(noisy.slc[0][water]) ** 2) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("cover", [Cover.GROUND, Cover.BENCH_FLOOR, Cover.VEGETATION, Cover.WATER])
def test_images_have_the_coherence_that_is_called_true(scene, cover):
    where = (scene.cover == cover) & (scene.label[0] == 0) & (scene.pseudo_change[0] == 0)
    weight = np.sqrt(scene.power[0] * scene.power[1])[where] + 10**-2.1
    expected = np.average(scene.coherence[0][where], weights=weight)
    assert pooled_coherence(scene, 0, where) == pytest.approx(expected, abs=0.05)


def test_changed_ground_has_lost_its_coherence(scene):
    changed = scene.label == 1
    assert scene.coherence[changed].max() <= 0.1
    assert abs(pooled_coherence(scene, 0, changed[0])) < 0.2


def test_moisture_raises_brightness_and_keeps_coherence(scene):
    moist = scene.pseudo_change[0] == Pseudo.MOISTURE  # wetted at the second date, after a dry first
    ratio_db = 10 * np.log10(scene.power[1] / scene.power[0])[moist]
    assert ratio_db.min() >= 2 - 1e-3
    assert ratio_db.max() <= 5 + 1e-3
    measured_db = 10 * np.log10(np.mean(np.abs(scene.slc[1][moist]) ** 2) / np.mean(np.abs(scene.slc[0][moist]) ** 2))
    assert 2 < measured_db < 5
    dry = simulate(replace(OPTIONS, moist_share=(0.0, 0.0)), seed=1)
    kept = scene.coherence[0][moist] / dry.coherence[0][moist]
    # Brighter ground also has less noise in proportion, so a little more than 1 is possible.
    assert kept.min() > 0.69
    assert kept.max() < 1.35
    # What was wetted dries again by the third date.
    np.testing.assert_allclose(
        (scene.power[2] / scene.power[1])[moist & (scene.label[1] == 0)],
        (scene.power[0] / scene.power[1])[moist & (scene.label[1] == 0)],
        rtol=1e-4,
    )


def test_wet_tailings_go_dark_and_incoherent(scene):
    flooded = scene.pseudo_change[0] == Pseudo.WET_TAILINGS
    ratio_db = 10 * np.log10(scene.power[1] / scene.power[0])[flooded]
    np.testing.assert_allclose(ratio_db, -3, atol=1e-3)
    assert scene.coherence[0][flooded].mean() < 0.25


def test_vehicles_are_bright_and_seen_at_one_date_only():
    quiet = simulate(replace(OPTIONS, vehicles=0.0), seed=1)
    busy = simulate(replace(OPTIONS, vehicles=300.0), seed=1)
    extra = np.abs(busy.slc - quiet.slc)
    bright = extra > 0.5  # sqrt of -6 dB, over ground of -12 dB
    assert 10 < ndimage.label(bright[0])[1] < 120
    assert (bright[0] & bright[1]).sum() < 0.2 * bright[0].sum()
    np.testing.assert_array_equal(busy.label, quiet.label)
    seen = bright[0] & (busy.label[0] == 0)
    assert (busy.pseudo_change[0][seen] == Pseudo.VEHICLE).mean() > 0.6
    assert busy.coherence[0][seen].mean() < 0.5 * quiet.coherence[0][seen].mean()


def test_low_coherence_without_a_label_clearly_exceeds_the_change(scene):
    low = (scene.coherence[0] < 0.2) & (scene.label[0] == 0)
    assert low.mean() > 2 * scene.label[0].mean()


def test_pixels_without_data():
    scene = simulate(replace(OPTIONS, invalid=True), seed=1)
    gone = np.isnan(scene.slc[0].real)
    assert 0.01 < gone.mean() < 0.15
    assert gone[:, 0].all()
    assert ndimage.label(gone)[1] == 2  # a border and a hole
    for image in scene.slc:
        np.testing.assert_array_equal(np.isnan(image.real), gone)
        np.testing.assert_array_equal(np.isnan(image.imag), gone)
    assert (scene.label[:, gone] == 255).all()
    assert (scene.label[:, ~gone] <= 1).all()
    np.testing.assert_array_equal(np.isnan(scene.coherence[0]), gone)


def test_the_look_lights_one_side_of_the_pit():
    calm = replace(OPTIONS, shape=(512, 512), mix=LandMix(relief_m=0.0, vegetation=0.0, water=0.0, tailings=0.0))
    for look, brighter in (("right", 1), ("left", -1)):
        scene = simulate(replace(calm, look=look), seed=0)
        face = scene.cover == Cover.BENCH_FACE
        middle = np.median(np.flatnonzero(face.any(axis=0)))
        x = np.broadcast_to(np.arange(512), face.shape)
        power = scene.power[0]
        far, near = power[face & (x > middle + 60)].mean(), power[face & (x < middle - 60)].mean()
        assert np.sign(far - near) == brighter


@pytest.mark.parametrize("wrong", [{"shape": (63, 200)}, {"days": (0.0,)}, {"days": (0.0, 0.0)}])
def test_unusable_options_are_refused(wrong):
    with pytest.raises(OptionError):
        replace(OPTIONS, **wrong)
