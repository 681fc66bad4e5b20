"""Vector labels: shapes of any format that OGR reads, brought into pixel coordinates and burned in by windows."""

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

_POINT, _LINE, _POLYGON = 0, 1, 3  # GEOS's numbers of the kinds that are left once collections are taken apart
_SURE_PIXELS = 4.0  # area from which a polygon is taken to cover a pixel centre
_NEAR = 0.25  # pixels beyond the scene that are left of rounding and of lines that bend
_BLOCK = 1024


@dataclass(frozen=True)
class VectorLabels:
    """Shapes in pixel coordinates: x is the column and y the row, from the outer corner of the first pixel.

    Parameters
    ----------
    path : str
    shapes : ndarray of shapely geometries
        Later ones lie on top.
    values : ndarray of uint8
        1, 0 or 255 of each shape; 0 outside all of them.
    tree : shapely.STRtree
        Of the shapes.
    understood : Understood
        How the file was read.
    """

    path: str
    shapes: np.ndarray
    values: np.ndarray
    tree: Any
    understood: Understood

    @contextlib.contextmanager
    def open(self) -> Iterator[LabelReader]:
        """Give a reader; nothing has to be opened."""
        yield self

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Return a window as (y, x) uint8: 1, 0, 255; a pixel belongs to the shape that covers its centre."""
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
    """Return the shapes of a vector file in a scene's pixel coordinates.

    Parameters
    ----------
    path, shape, georeference, words, layer, field, pair
        See `sarcd.ingestion.labels.open_labels`.

    Raises
    ------
    NotAVectorFileError
        If OGR does not open it.
    InputError
        If it leaves its layer open, cannot be brought into the scene's coordinates, or has no shape within the scene.
    """
    import shapely

    found, others = _of_pair(read_shapes(path, layer=layer, field=field), pair)
    labels, rule, doubts = _labels_of(found, words)
    there = ~shapely.is_missing(found.geometry)
    if not there.any():
        raise InputError(
            f"has no shapes: all {len(there)} are without geometry",
            source=path,
            hint="draw them, or choose another layer",
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
            f"has no shape within the scene: {_where(found)}",
            source=path,
            hint=_how_to_place(found),
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
            *doubts,
            *_losses(path, counts),
            *_hidden(path, tree, owners, values),
            *_cut_change(path, shapes[cut & (values == 1)], kept[cut & (values == 1)], scene),
            *_lonely_zeros(path, shapes, values),
        ),
    )
    return VectorLabels(path, shapes, values, tree, understood)


def _of_pair(found: Shapes, pair: Pair | None) -> tuple[Shapes, int]:
    """Return the shapes that are of a pair, where the file tells, and how many are of others."""
    if pair is None or found.dates is None:
        return found, 0
    mine = of_pair(found.path, found.dates, pair)
    values = None if found.values is None else found.values[mine]
    kept = replace(found, geometry=found.geometry[mine], values=values, dates=found.dates[mine])
    return kept, int(np.count_nonzero(~mine))


# -- values ---------------------------------------------------------------------------------------------------------


def _labels_of(found: Shapes, words: LabelMapping) -> tuple[np.ndarray, str, list[str]]:
    """Return 1, 0 or 255 of each shape, the rule in words, and warnings."""
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
    doubts = [
        f"{found.path}: no shape has {word!r}, which {option} names: check how it is written"
        for option, word in (words.absent(texts.tolist()) if are_words else [])
    ]
    return labels, f"attribute '{found.field}': {rule}", doubts


def _no_value(found: Shapes) -> np.ndarray:
    """Return where a shape has no value."""
    values = found.values if found.values is not None else np.zeros(len(found.geometry))
    return np.array([one is None or one != one or one == "" for one in values.tolist()], bool)  # noqa: PLR0124  NaN


# -- shapes ---------------------------------------------------------------------------------------------------------


def _simple_parts(geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return valid points, lines and polygons, the shape each is of, and how many shapes were repaired."""
    import shapely

    parts, owners = shapely.get_parts(geometry, return_index=True)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    left = ~shapely.is_empty(parts)
    parts, owners = parts[left], owners[left]
    wrong = (shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_valid(parts)
    repaired = len(np.unique(owners[wrong]))
    if repaired:  # by the even-odd rule, as polygons are burned in: what was inside stays inside
        mended, of_parts = _flat(shapely.make_valid(parts[wrong]), np.full(wrong.sum(), _POLYGON))
        parts = np.concatenate([parts[~wrong], mended])
        owners = np.concatenate([owners[~wrong], owners[wrong][of_parts]])
        order = np.argsort(owners, kind="stable")
        parts, owners = parts[order], owners[order]
    return parts, owners, repaired


def _flat(shapes: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take apart what a cut or a repair left of simple shapes, and drop the rims of lower dimension.

    Returns
    -------
    parts : ndarray of shapely geometries
        Of the kind of the shape they are of.
    of_shapes : ndarray of int
        Which shape that is.
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


# -- what is said ---------------------------------------------------------------------------------------------------


def _count(
    found: Shapes, shapes: np.ndarray, owners: np.ndarray, kinds: np.ndarray, shape: tuple[int, int]
) -> dict[str, int]:
    """Count shapes, and the pixels of those that have no area."""
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
    """Count shapes that cover no pixel's centre."""
    import shapely

    sure = (kinds != _POLYGON) | (shapely.area(shapes) >= _SURE_PIXELS)
    lost = set(np.unique(owners).tolist()) - set(owners[sure].tolist())
    low = np.ceil(shapely.bounds(shapes)[:, :2] - 0.5)  # the first and last centre that the bounds hold
    high = np.floor(shapely.bounds(shapes)[:, 2:] - 0.5)
    low, high = np.maximum(low, 0), np.minimum(high, [shape[1] - 1, shape[0] - 1])
    for i in np.flatnonzero((low <= high).all(axis=1) & ~sure):
        if owners[i] in lost:
            (left, top), (right, bottom) = low[i].astype(int).tolist(), high[i].astype(int).tolist()
            window = slice(top, bottom + 1), slice(left, right + 1)
            if _burned(shapes[i : i + 1], np.ones(1, "uint8"), *window).any():
                lost.discard(int(owners[i]))
    return len(lost)


def _losses(path: str, counts: dict[str, int]) -> list[str]:
    """Warn of shapes that leave no trace in the labels."""
    words = {
        "outside": "lie outside the scene",
        "without_geometry": "have no geometry",
        "too_small": "cover no pixel's centre",
    }
    lost = [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
    if not lost:
        return []
    hint = {
        "outside": "check its CRS if they should lie within",
        "without_geometry": "draw them anew if they should count",
        "too_small": "draw them larger than a pixel if they should count",
    }[next(key for key in words if counts[key])]
    return [f"{path}: of {counts['read']} shapes {', '.join(lost)}: {hint}"]


def _cut_change(path: str, shapes: np.ndarray, kept: np.ndarray, scene: Any) -> list[str]:
    """Warn of change that lies beyond the scene's edge."""
    import shapely

    inside = shapely.area(shapely.intersection(shapes, scene)).sum()
    whole = (shapely.area(shapes) / np.maximum(kept, 1e-9)).sum()
    lost = 1 - inside / whole if whole else 0.0
    if lost < 0.01:
        return []
    return [
        f"{path}: shapes of change reach beyond the scene, which leaves out {lost:.0%} of the area of those it cuts: "
        "check its CRS if they should lie within"
    ]


def _hidden(path: str, tree: Any, owners: np.ndarray, values: np.ndarray) -> list[str]:
    """Warn of shapes that lie wholly under a later one of another label: ground that was drawn twice."""
    under, over = tree.query(tree.geometries, predicate="covered_by")
    parts = np.unique(under[(owners[over] > owners[under]) & (values[over] != values[under])])
    shapes, gone = np.unique(owners[parts], return_counts=True)
    lost = shapes[gone == np.bincount(owners)[shapes]]
    if not len(lost):
        return []
    return [
        f"{path}: {len(lost)} of its shapes lie wholly under later ones of another label and leave nothing, the first "
        f"is number {lost[0] + 1}: delete the wrong one of the two, or draw the smaller one last"
    ]


def _lonely_zeros(path: str, shapes: np.ndarray, values: np.ndarray) -> list[str]:
    """Warn of shapes of "no change" that change nothing, since ground outside all shapes is none too."""
    import shapely

    zeros, others = shapes[values == 0], shapes[values != 0]
    if not len(zeros):
        return []
    over, under = shapely.STRtree(others).query(zeros, predicate="intersects")
    if not shapely.touches(zeros[over], others[under]).all():
        return []
    return [
        f"{path}: shapes of no change ({len(zeros)}) lie beside the others and alter nothing, for ground outside all "
        "shapes is no change too: if it is unlabelled, draw one shape of 255 around everything as the first"
    ]


def _where(found: Shapes) -> str:
    """Say where the shapes of a file lie."""
    import shapely

    left, low, right, high = (f"{value:.6g}" for value in shapely.total_bounds(found.geometry))
    return f"its shapes span x {left} to {right} and y {low} to {high}" + (f" in {found.crs[:40]}" if found.crs else "")


def _how_to_place(found: Shapes) -> str:
    """Say how shapes that lie elsewhere may come to lie within the scene."""
    import shapely

    if found.driver == "GeoJSON" and (np.abs(shapely.total_bounds(found.geometry)) > [360, 90, 360, 90]).any():
        return "a GeoJSON file that names no CRS is in degrees, which these are not: save a GeoPackage with its CRS"
    return f"check its coordinates{' and its CRS' if found.crs else ', and set its CRS if it has one'}"
