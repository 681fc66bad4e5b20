"""Distance from no-data up to which the pretrained network flags unchanged ground if the rim is not masked."""

import numpy as np
import pytest
from scipy import ndimage

from sarcd import predict
from sarcd.models.pretrained import MINES
from sarcd.simulation import sites
from tests.benchmarks.measure import table

pytestmark = pytest.mark.benchmark
SIDE, SITES = 512, (("A", 1), ("B", 2))
DISTANCES = (1, 2, 3, 5, 6, 8, 12)


def gaps(width):
    """Return a mask with five gaps of the given height in rows."""
    mask = np.zeros((SIDE, SIDE), bool)
    for row in (60, 160, 260, 360, 450):
        mask[row : row + width] = True
    return mask


def borders(width):
    mask = np.ones((SIDE, SIDE), bool)
    mask[width:-width, width:-width] = False
    return mask


def discs(radius):
    y, x = np.ogrid[:SIDE, :SIDE]
    centres = np.linspace(40, 470, 6).astype(int)
    return np.any([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a in centres for b in centres], axis=0)


def wedge():
    y, x = np.ogrid[:SIDE, :SIDE]
    return (x < 60 + 0.3 * y) | (x > SIDE - 60)


HOLES = {
    "discs of radius 8": discs(8),
    "gaps 3 wide": gaps(3),
    "gaps 5 wide": gaps(5),
    "gaps 7 wide": gaps(7),
    "gaps 11 wide": gaps(11),
    "gaps 15 wide": gaps(15),
    "3 along the border": borders(3),
    "7 along the border": borders(7),
    "wedge": wedge(),
}


def test_rim(monkeypatch):
    monkeypatch.setattr("sarcd.inference.plan.rim_of", lambda *_: (0, 0))
    counts = {name: np.zeros((len(DISTANCES), 2), int) for name in HOLES}
    plain = np.zeros(2, int)
    for name, seed in SITES:
        scene = sites.simulate(name, size=SIDE, seed=seed)
        unchanged = scene.label.values[0] == 0
        found = predict(scene, model=MINES).change.values[0]
        plain += [unchanged.sum(), (found[unchanged] == 1).sum()]
        for kind, hole in HOLES.items():
            images = scene.slc.values.copy()
            images[0][hole] = np.nan
            cut = scene.assign(slc=scene.slc.copy(data=images))
            change = predict(cut, model=MINES, statistics="scene").change.values[0]
            distance = ndimage.distance_transform_cdt(change != 255, metric="chessboard")
            for row, (low, high) in enumerate(zip((0, *DISTANCES), DISTANCES, strict=False)):
                ring = unchanged & (distance > low) & (distance <= high)
                counts[kind][row] += [ring.sum(), (change[ring] == 1).sum()]
    rows = [[kind, *(f"{100 * hit / known:.2f}" for known, hit in found)] for kind, found in counts.items()]
    rows.append(["without", f"{100 * plain[1] / plain[0]:.2f}", *[""] * (len(DISTANCES) - 1)])
    table("% of unchanged ground flagged", ["no-data", *(f"to {far} px" for far in DISTANCES)], rows)
    flagged = {kind: found[:, 1] / found[:, 0] for kind, found in counts.items()}
    assert flagged["gaps 15 wide"][0] > 0.05  # the reason why the rim is masked
    beyond = DISTANCES.index(6) + 1
    assert max(values[beyond:].max() for values in flagged.values()) < 0.02
