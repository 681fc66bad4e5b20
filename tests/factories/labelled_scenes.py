"""Small labelled scenes on which a small network can be trained in seconds."""

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from sarcd.geography.georeference import Georeference, to_coordinates
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore
from tests.factories.scenes import dates


def noise(rng, shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def toy_images(rng, shape, *, squares, gain=1.0, coherence=0.9):
    """Make coherent speckle of two intensities, incoherent in the squares: slc (2, y, x), label (1, y, x)."""
    first = noise(rng, shape)
    second = coherence * first + np.sqrt(1 - coherence**2) * noise(rng, shape)
    label = np.zeros((1, *shape), np.uint8)
    for y, x, side in squares:
        label[0, y : y + side, x : x + side] = 1
    second = np.where(label[0] == 1, noise(rng, shape), second)
    brightness = np.where(np.arange(shape[1]) < shape[1] // 2, 1.0, 3.0) * gain
    return (np.stack([first, second]) * brightness).astype("complex64"), label


def store_toy(path, slc, label, *, chunk=64, images="slc", corner=None):
    """Store images and labels (255 unlabelled) as a scene, optionally with a corner (x, y) in UTM; returns its path."""
    grid = Georeference()
    if corner is not None:
        grid = Georeference(CRS.from_epsg(32633), Affine(3, 0, corner[0], 0, -3, corner[1]))
    found = to_coordinates(grid, slc.shape[1:])
    layout = SceneLayout(dates(len(slc)), found.y, found.x, chunk=chunk, images=images, spatial_ref=found.spatial_ref)
    new = NewScene(path, layout)
    with new as store:
        store.array(images)[...] = slc
        new.create_image(store, "label", len(label))
        store.array("label")[...] = label
    return str(path)


def toy_scene(
    path,
    *,
    seed=0,
    side=128,
    squares=((8, 8, 24), (40, 80, 24), (80, 24, 24)),
    hole=None,
    chunk=64,
    corner=None,
    **options,
):
    """Store a toy scene; `hole` (y slice, x slice) has no data in both images."""
    rng = np.random.default_rng(seed)
    slc, label = toy_images(rng, (side, side), squares=squares, **options)
    if hole is not None:
        slc[(slice(None), *hole)] = np.nan + 1j * np.nan
    return store_toy(path, slc, label, chunk=chunk, corner=corner)


def add_pseudo_labels(path, values):
    """Write labels (pair, y, x) as pseudo-labels."""
    add_layer(path, "pseudo_label", values)


def add_layer(path, name, values):
    """Write values (pair, y, x) as a derived variable."""
    with stage(SceneStore(path), [name], range(len(values)), MadeBy(name, {})) as staging:
        for region in staging.missing():
            staging.write(region, {name: values[region.index]})
        staging.finish()
