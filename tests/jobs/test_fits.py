"""Jobs warn about decorrelated pairs and about maps that flag much of a scene, and continue."""

import numpy as np
import pytest

from sarcd import jobs
from sarcd.config import CoherenceOptions, DetectOptions
from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene
from tests.factories.stacks import speckle_stack

SHAPE = (3, 96, 96)
FIRST, SECOND = "2023-03-19 to 2023-03-31: ", "2023-03-31 to 2023-04-12: "


def scene(tmp_path, *, ramp=(0.0, 0.0), change=0):
    """Store speckle of coherence 0.7; the last date has a ramp, in cycles per pixel, and new ground in its top rows."""
    rng = np.random.default_rng(1)
    slc = speckle_stack(rng, SHAPE, 0.7)
    slc[2, :change] = 3 * speckle_stack(rng, (1, change, 96), 0.0)[0]
    y, x = np.ogrid[:96, :96]
    slc[2] *= np.exp(2j * np.pi * (ramp[0] * y + ramp[1] * x))
    return stored_scene(tmp_path / "scene.zarr", None, SHAPE, chunk=48, slc=slc.astype("complex64"))


def low(notes):
    return [text for text in notes if "median coherence" in text]


def test_fringes_that_were_not_removed_are_told_of_once_a_pair(tmp_path):
    path, notes = scene(tmp_path, ramp=(0.2, 0.25)), []
    jobs.coherence(path, note=notes.append)
    (line,) = notes
    assert line.startswith(SECOND + "median coherence 0.1")
    assert "below the 0.18 of ground without any" in line  # E[g] for 25 looks, 0.178
    assert "--estimator fringe" in line
    notes.clear()
    jobs.coherence(path, note=notes.append)  # everything is already done
    jobs.coherence(path, CoherenceOptions(estimator="fringe"), name="coherence_f", note=notes.append)
    assert notes == []


def test_every_job_tells(tmp_path, capsys):
    path, notes = scene(tmp_path, ramp=(0.2, 0.25)), []
    jobs.predict(path, random_model_file(tmp_path / "m.safetensors", widths=(4, 8)), note=notes.append)
    assert len(low(notes)) == 1
    notes.clear()
    jobs.detect(path, DetectOptions("ratio-test"), name="test", note=notes.append)
    assert len(low(notes)) == 1
    assert main(["coherence", str(path)]) == 0
    assert capsys.readouterr().err.startswith(SECOND + "median coherence")


@pytest.mark.parametrize("change", [0, 40])
def test_much_change_is_told_of(tmp_path, change):
    path, notes = scene(tmp_path, change=change), []
    jobs.detect(path, DetectOptions("ratio-test"), note=notes.append)
    assert low(notes) == []
    much = [text for text in notes if "called changed" in text]
    assert len(much) == bool(change)
    if change:
        assert much[0].startswith(SECOND + "4")
        assert "over 10 %" in much[0]
        notes.clear()
        jobs.detect(path, DetectOptions("ratio-test"), note=notes.append)
        assert notes == []


def test_ground_without_any_coherence_does_not_stop_a_job(tmp_path):
    slc = speckle_stack(np.random.default_rng(2), (2, 48, 48), 0.0)
    slc[:, :, :4] = np.nan
    path = stored_scene(tmp_path / "water.zarr", None, slc.shape, chunk=48, slc=slc)
    notes = []
    assert jobs.coherence(path, note=notes.append).computed == 1
    assert notes[0].startswith(FIRST)
    nothing = stored_scene(tmp_path / "nan.zarr", None, slc.shape, chunk=48, slc=np.full_like(slc, np.nan))
    assert jobs.coherence(nothing, note=notes.append).computed == 1
    assert len(notes) == 1
