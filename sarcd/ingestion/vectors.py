"""Vector labels: read shapes, transform them to pixel coordinates, and rasterise them by windows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sarcd.errors import InputError
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_mapping import LabelMapping, Understood
from sarcd.ingestion.label_pairs import of_pair
from sarcd.ingestion.label_positions import to_pixels
from sarcd.ingestion.label_shapes import FIELD, Shapes, numbers_of, read_shapes
from sarcd.ingestion.labels import LabelReader, blocks
from sarcd.schema import NO_LABEL
from sarcd.store.pairs import Pair

__all__ = ["FIELD", "VectorLabels", "open_vector"]

_POINT, _LINE, _POLYGON = 0, 1, 3  # GEOS type ids of simple geometries
_MIN_AREA = 4.0  # pixels; larger polygons are assumed to cover a pixel centre
_NEAR = 0.25  # tolerance in pixels beyond the scene, for rounding and curved lines
_BLOCK = 1024


@dataclass(frozen=True)
class VectorLabels:
    """Shapes in pixel coordinates: x is the column and y the row, from the outer corner of the first pixel.

    Parameters
    ----------
    path : str
    shapes : ndarray of shapely geometries
        Shapes; later ones are on top.
    values : ndarray of uint8
        Label of each shape: 1, 0 or 255. Outside of all shapes it is 0.
    tree : shapely.STRtree
        Index of the shapes.
    understood : Understood
        How the file is read.
    """

    path: str
    shapes: np.ndarray
    values: np.ndarray
    tree: Any
    understood: Understood

    @contextlib.contextmanager
    def open(self) -> Iterator[LabelReader]:
        """Return the reader, which needs no open file."""
        yield self

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Return a window of labels, (y, x) uint8: 1, 0, 255; a pixel has the label of the shape at its centre."""
        import shapely

        touched = np.sort(self.tree.query(shapely.box(x.start, y.start, x.stop, y.stop)))
        return _burned(self.shapes[touched], self.values[touched], y, x)


def open_vector(
    path: str,
    *,
    shape: tuple[int, int],
    georeference: Georeference,
    words: LabelMapping,
    layer: str | None = None,
    field: str | None = None,
    pair: Pair | None = None,
) -> VectorLabels:
    """Return the shapes of a vector file in pixel coordinates of a scene.

    Parameters
    ----------
    path, shape, georeference, words, layer, field, pair
        See `sarcd.ingestion.labels.open_labels`.

    Raises
    ------
    NotAVectorFileError
        If OGR cannot open the file.
    InputError
        If the layer is ambiguous, cannot be transformed to the coordinates of the scene, or has no shape within it.
    """
    import shapely

    found, others = _of_pair(read_shapes(path, layer=layer, field=field), pair)
    labels, rule, missing = _labels_of(found, words)
    there = ~shapely.is_missing(found.geometry)
    if not there.any():
        raise InputError(
            f"has no shapes, since all {len(there)} are without geometry",
            source=path,
            hint="draw them, or select another layer",
        )
    parts, owners, repaired = _simple_parts(found.geometry)
    placed = to_pixels(found, parts, georeference, shape)
    kinds = shapely.get_type_id(parts)
    shapes, of_parts = _flat(placed.shapes, kinds)
    owners, kinds, kept = owners[of_parts], kinds[of_parts], placed.kept[of_parts]
    scene = shapely.box(0, 0, shape[1], shape[0])
    seen = shapely.intersects(shapes, scene) & ~((kinds == _POLYGON) & shapely.touches(shapes, scene))
    if not seen.any():
        raise InputError(
            f"has no shape within the scene; {_where(found)}",
            source=path,
            hint=_hint_for_location(found),
        )
    shapes, owners, kinds, kept = shapes[seen], owners[seen], kinds[seen], kept[seen]
    values, tree = labels[owners], shapely.STRtree(shapes)
    counts = _count(found, shapes, owners, kinds, shape)
    counts["repaired"], counts["other_pairs"] = repaired, others
    counts["without_value"] = int((there & (labels == NO_LABEL) & _no_value(found)).sum())
    cut = kept < 1 - 1e-9
    cut |= ~shapely.covered_by(shapes, shapely.box(-_NEAR, -_NEAR, shape[1] + _NEAR, shape[0] + _NEAR))
    counts["cut"] = len(np.unique(owners[cut]))
    understood = Understood(
        rule=rule,
        layer=found.layer,
        field=found.field,
        shapes=counts,
        notes=(*found.notes, *placed.notes, "ground outside all shapes is none"),
        warnings=(
            *found.warnings,
            *missing,
            *_losses(path, counts),
            *_hidden(path, tree, owners, values),
            *_cut_change(path, shapes[cut & (values == 1)], kept[cut & (values == 1)], scene),
            *_lonely_zeros(path, shapes, values),
        ),
    )
    return VectorLabels(path, shapes, values, tree, understood)


def _of_pair(found: Shapes, pair: Pair | None) -> tuple[Shapes, int]:
    """Return the shapes of a pair if the file has dates, and the number of other shapes."""
    if pair is None or found.dates is None:
        return found, 0
    mine = of_pair(found.path, found.dates, pair)
    values = None if found.values is None else found.values[mine]
    kept = replace(found, geometry=found.geometry[mine], values=values, dates=found.dates[mine])
    return kept, int(np.count_nonzero(~mine))


# -- values ---------------------------------------------------------------------------------------------------------


def _labels_of(found: Shapes, words: LabelMapping) -> tuple[np.ndarray, str, list[str]]:
    """Return the label of each shape (1, 0 or 255), a description of the rule, and warnings."""
    if found.values is None or found.field is None:
        return np.ones(len(found.geometry), "uint8"), "every shape is change", []
    texts = np.array(["" if one is None else str(one).strip() for one in found.values], object)
    lower = np.array([text.lower() for text in texts], object)
    are_words = found.values.dtype.kind in "Ob"
    ignored = np.isin(lower, list(words.ignore_names)) & are_words
    is_named = are_words and bool(np.isin(lower, list(words.change_names)).any())
    values = found.values.copy()
    if ignored.any():
        values = values.astype(object)
        values[ignored] = None
    numbers = None if is_named else numbers_of(found.path, found.field, values)
    if numbers is None:
        labels, rule = words.translate_texts(texts, found.field, found.path)
    else:
        known = set(numbers[np.isfinite(numbers)].tolist())
        words.check(known, found.path)
        labels, rule = words.translate(numbers, None), words.describe(known)
        rule += f"; {', '.join(sorted(set(texts[ignored].tolist())))}: unlabelled" if ignored.any() else ""
    missing = [
        f"{found.path}: no shape has {word!r} of {option}. Check its spelling."
        for option, word in (words.absent(texts.tolist()) if are_words else [])
    ]
    return labels, f"attribute '{found.field}': {rule}", missing


def _no_value(found: Shapes) -> np.ndarray:
    """Return which shapes have no value."""
    values = found.values if found.values is not None else np.zeros(len(found.geometry))
    return np.array([one is None or one != one or one == "" for one in values.tolist()], bool)  # noqa: PLR0124  NaN


# -- shapes ---------------------------------------------------------------------------------------------------------


def _simple_parts(geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return valid points, lines and polygons, the shape of each, and the number of repaired shapes."""
    import shapely

    parts, owners = shapely.get_parts(geometry, return_index=True)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    left = ~shapely.is_empty(parts)
    parts, owners = parts[left], owners[left]
    wrong = (shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_valid(parts)
    repaired = len(np.unique(owners[wrong]))
    if repaired:  # by the even-odd rule, as in rasterising, so that the inside stays the same
        valid, of_parts = _flat(shapely.make_valid(parts[wrong]), np.full(wrong.sum(), _POLYGON))
        parts = np.concatenate([parts[~wrong], valid])
        owners = np.concatenate([owners[~wrong], owners[wrong][of_parts]])
        order = np.argsort(owners, kind="stable")
        parts, owners = parts[order], owners[order]
    return parts, owners, repaired


def _flat(shapes: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split clipped or repaired shapes into simple parts, and drop parts of lower dimension.

    Returns
    -------
    parts : ndarray of shapely geometries
        Parts of the same type as their shape.
    of_shapes : ndarray of int
        Shape of each part.
    """
    import shapely

    parts, owners = shapely.get_parts(shapes, return_index=True)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    right = (shapely.get_type_id(parts) == kinds[owners]) & ~shapely.is_empty(parts)
    return parts[right], owners[right]


def _burned(shapes: np.ndarray, values: np.ndarray, y: slice, x: slice) -> np.ndarray:
    from affine import Affine
    from rasterio.features import rasterize

    shape = (y.stop - y.start, x.stop - x.start)
    if not len(shapes):
        return np.zeros(shape, "uint8")
    drawn = zip(shapes, values.tolist(), strict=True)
    burned: np.ndarray = rasterize(drawn, shape, transform=Affine.translation(x.start, y.start), dtype="uint8")
    return burned


# -- reports --------------------------------------------------------------------------------------------------------


def _count(
    found: Shapes, shapes: np.ndarray, owners: np.ndarray, kinds: np.ndarray, shape: tuple[int, int]
) -> dict[str, int]:
    """Return counts of shapes, and of the pixels of points and lines."""
    import shapely

    absent = int(shapely.is_missing(found.geometry).sum())
    used = len(np.unique(owners))
    thin = kinds != _POLYGON
    pixels = 0
    if thin.any():
        drawn, tree = shapes[thin], shapely.STRtree(shapes[thin])
        for y, x in blocks(shape, (_BLOCK, _BLOCK)):
            touched = tree.query(shapely.box(x.start, y.start, x.stop, y.stop))
            if len(touched):
                pixels += int(_burned(drawn[touched], np.ones(len(touched), "uint8"), y, x).sum())
    return {
        "read": len(found.geometry),
        "used": used,
        "without_geometry": absent,
        "outside": len(found.geometry) - absent - used,
        "too_small": _without_centre(shapes, owners, kinds, shape),
        "points": len(np.unique(owners[kinds == _POINT])),
        "lines": len(np.unique(owners[kinds == _LINE])),
        "point_and_line_pixels": pixels,
    }


def _without_centre(shapes: np.ndarray, owners: np.ndarray, kinds: np.ndarray, shape: tuple[int, int]) -> int:
    """Return the number of shapes that cover no pixel centre."""
    import shapely

    covers = (kinds != _POLYGON) | (shapely.area(shapes) >= _MIN_AREA)
    lost = set(np.unique(owners).tolist()) - set(owners[covers].tolist())
    low = np.ceil(shapely.bounds(shapes)[:, :2] - 0.5)  # first and last pixel centre within the bounds
    high = np.floor(shapely.bounds(shapes)[:, 2:] - 0.5)
    low, high = np.maximum(low, 0), np.minimum(high, [shape[1] - 1, shape[0] - 1])
    for i in np.flatnonzero((low <= high).all(axis=1) & ~covers):
        if owners[i] in lost:
            (left, top), (right, bottom) = low[i].astype(int).tolist(), high[i].astype(int).tolist()
            window = slice(top, bottom + 1), slice(left, right + 1)
            if _burned(shapes[i : i + 1], np.ones(1, "uint8"), *window).any():
                lost.discard(int(owners[i]))
    return len(lost)


def _losses(path: str, counts: dict[str, int]) -> list[str]:
    """Return a warning of shapes without any pixel in the labels."""
    words = {
        "outside": "are outside the scene",
        "without_geometry": "have no geometry",
        "too_small": "cover no pixel centre",
    }
    lost = [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
    if not lost:
        return []
    hint = {
        "outside": "Check its CRS if they should be inside.",
        "without_geometry": "Draw them again if they should count.",
        "too_small": "Draw them larger than a pixel if they should count.",
    }[next(key for key in words if counts[key])]
    return [f"{path}: of {counts['read']} shapes, {', '.join(lost)}. {hint}"]


def _cut_change(path: str, shapes: np.ndarray, kept: np.ndarray, scene: Any) -> list[str]:
    """Return a warning of change outside the scene."""
    import shapely

    inside = shapely.area(shapely.intersection(shapes, scene)).sum()
    total = (shapely.area(shapes) / np.maximum(kept, 1e-9)).sum()
    lost = 1 - inside / total if total else 0.0
    if lost < 0.01:
        return []
    return [
        f"{path}: shapes of change extend beyond the scene, and {lost:.0%} of the area of clipped ones is lost. "
        "Check its CRS if they should be inside."
    ]


def _hidden(path: str, tree: Any, owners: np.ndarray, values: np.ndarray) -> list[str]:
    """Return a warning of shapes that are covered by a later shape with another label."""
    under, over = tree.query(tree.geometries, predicate="covered_by")
    parts = np.unique(under[(owners[over] > owners[under]) & (values[over] != values[under])])
    shapes, gone = np.unique(owners[parts], return_counts=True)
    lost = shapes[gone == np.bincount(owners)[shapes]]
    if not len(lost):
        return []
    return [
        f"{path}: {len(lost)} of its shapes are covered by later ones with another label and have no effect, the first "
        f"is number {lost[0] + 1}. Delete the wrong one of the two, or draw the smaller one last."
    ]


def _lonely_zeros(path: str, shapes: np.ndarray, values: np.ndarray) -> list[str]:
    """Return a warning of shapes of "no change" without effect, since pixels outside of all shapes are 0 too."""
    import shapely

    zeros, others = shapes[values == 0], shapes[values != 0]
    if not len(zeros):
        return []
    over, under = shapely.STRtree(others).query(zeros, predicate="intersects")
    if not shapely.touches(zeros[over], others[under]).all():
        return []
    return [
        f"{path}: shapes of no change ({len(zeros)}) beside the others have no effect, since ground outside all shapes "
        "is no change too. If it is unlabelled, draw one shape of 255 around everything as the first."
    ]


def _where(found: Shapes) -> str:
    """Return the extent of the shapes as text."""
    import shapely

    left, low, right, high = (f"{value:.6g}" for value in shapely.total_bounds(found.geometry))
    return f"its shapes span x {left} to {right} and y {low} to {high}" + (f" in {found.crs[:40]}" if found.crs else "")


def _hint_for_location(found: Shapes) -> str:
    """Return the hint for shapes outside of the scene."""
    import shapely

    if found.driver == "GeoJSON" and (np.abs(shapely.total_bounds(found.geometry)) > [360, 90, 360, 90]).any():
        return "save a GeoPackage with its CRS, since a GeoJSON file without a CRS must be in degrees"
    return f"check its coordinates{' and its CRS' if found.crs else ', and set its CRS if it has one'}"
