"""Export results of a scene as GeoTIFF, polygons or a picture."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import sarcd
from sarcd import schema
from sarcd.attributes import encode
from sarcd.conform.values import whole_numbers
from sarcd.errors import OptionError, SceneError, StoreError
from sarcd.figures.view import made_by
from sarcd.geography.ground import INCIDENCE, pixel_area, range_spacing_of
from sarcd.store.chunks import chunk_errors
from sarcd.store.openable import require_stored, take
from sarcd.store.results import WhichPair, find_result, is_made, pair_position, pair_texts, pairs_in, sibling
from sarcd.store.storage import is_url

if TYPE_CHECKING:
    from sarcd.geography.georeference import Georeference

SUFFIXES = {
    ".tif": "cloud-optimised GeoTIFF",
    ".tiff": "cloud-optimised GeoTIFF",
    ".gpkg": "polygons",
    ".geojson": "polygons",
    ".png": "picture",
}
"""Kind of file by suffix."""

_DOTS_AN_INCH = 150


@dataclass(frozen=True)
class Exported:
    """Description of an exported file; it can be used as a path.

    Parameters
    ----------
    path : Path
        Path of the file.
    variable : str or None
        Exported variable; None for a picture of several.
    pairs : tuple of str
        Dates of the exported pairs, such as ``2023-03-19 to 2023-03-31``.
    polygons : int or None
        Number of polygons, in a file of polygons.
    """

    path: Path
    variable: str | None
    pairs: tuple[str, ...]
    polygons: int | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


def export(
    scene: xr.Dataset,
    path: str | Path,
    *,
    variable: str | None = None,
    pair: WhichPair | None = None,
    min_pixels: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Export a result to a file; the suffix determines its kind.

    ``.tif``, ``.tiff``
        Cloud-optimised GeoTIFF with one band per pair, computed and written block by block. The georeference is that
        of the scene: CRS and transform, ground control points, or none. Invalid pixels are NaN, or 255 in a map.
    ``.gpkg``, ``.geojson``
        Polygons of 4-connected changed pixels in the CRS of the scene (WGS 84 in GeoJSON), with ground control points
        applied. Without a CRS, coordinates are (column, row) from the outer corner of the first pixel, or the metric
        coordinates of the scene. GeoJSON is split at the 180th meridian; coordinates of a local CRS are not
        transformed. Attributes are the dates, the number of pixels, `area_m2` on the ground if it is known
        (`slant_area_m2` without an incidence angle), and the mean and maximum probability. The map of one pair at a
        time is held in memory, about 6 bytes per pixel.
    ``.png``
        Picture of one pair; see `sarcd.figures.change_figure.plot`.

    The file is written atomically.

    Parameters
    ----------
    scene : xr.Dataset
        Scene, or a part selected by ``isel``.
    path : str or Path
        File to write.
    variable : str, optional
        Variable to export. The default of a GeoTIFF is the first that exists of `change_probability`, `change`,
        `change_score` and `coherence`; that of polygons is `change`.
    pair : int, str or (before, after), optional
        Position in the list of pairs, ``BEFORE:AFTER``, or two dates. By default all pairs that have a result, or the
        first one for a picture.
    min_pixels : int, optional
        Minimum size of a polygon in pixels; 1 by default.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Exported
        Path, variable and pairs of the file.

    Raises
    ------
    OptionError
        If the suffix is not supported, or an option does not apply to it.
    SceneError
        If the scene has no such result, or its georeference cannot be applied to polygons.
    StoreError
        If the file already exists, or cannot be written.
    CorruptChunkError
        If a stored chunk is absent or cannot be read.
    """
    scene = take(scene, images=False)
    target = Path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise OptionError(f"cannot export to '{target.suffix}' files", source=str(path), hint=_kinds())
    if min_pixels is not None and kind != "polygons":
        raise OptionError(f"a '{target.suffix}' file holds no polygons", option="min_pixels", hint="leave it out")
    if min_pixels is not None and min_pixels < 1:
        raise OptionError(
            f"invalid minimum size of {min_pixels} pixels", option="min_pixels", hint="use an integer of 1 or more"
        )
    _refuse_location(path, target)
    if target.is_dir() or (target.exists() and not overwrite):
        hint = "choose another name" if target.is_dir() else "choose another name, or pass --overwrite to replace it"
        raise StoreError("already exists", source=str(path), hint=hint)
    source = schema.source_of(scene)
    with chunk_errors(source) if source else contextlib.nullcontext(), _staged(target) as unfinished:
        if kind == "picture":
            return _export_picture(scene, target, unfinished, variable, 0 if pair is None else pair)
        wanted = _result(scene, variable, kind)
        positions = _positions(scene, wanted, pair)
        beside = _evidence(scene, str(wanted.name))[0] if kind == "polygons" else None
        names = [str(array.name) for array in (wanted, beside) if array is not None]
        require_stored(scene, names, [pairs_in(scene)[position] for position in positions])
        count = None
        if kind == "polygons":
            count = _write_polygons(scene, wanted, positions, unfinished, min_pixels or 1)
        else:
            _write_raster(scene, wanted, positions, unfinished)
        names = _pair_names(scene) if "pair" in wanted.dims else []
        return Exported(target, str(wanted.name), tuple(names[position] for position in positions), count)


def _refuse_location(path: str | Path, target: Path) -> None:
    """Raise if the path is not on a local file system, or is inside a store."""
    if is_url(path) or str(path).startswith("/vsi"):
        hint = "write to a local folder, and copy the file from there"
        raise StoreError("is not a local file", source=str(path), hint=hint)
    holders = ("zarr.json", ".zgroup")
    store = next((folder for folder in target.parents if any((folder / name).exists() for name in holders)), None)
    if store is not None:
        hint = "write it beside the store, where it does not become part of the scene"
        raise StoreError(f"is inside the store {store}", source=str(path), hint=hint)


def _kinds() -> str:
    return "use " + ", ".join(f"{suffix} ({kind})" for suffix, kind in SUFFIXES.items())


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Provide a temporary file beside the target, which is renamed to the target on success."""
    folder = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir(parents=True)
    try:
        unfinished = folder / f"export{target.suffix}"
        yield unfinished
        unfinished.replace(target)
    except StoreError as error:
        if error.source != str(unfinished):
            raise
        hint = "free some space there, or choose another folder"
        raise StoreError(error.error, source=str(target), hint=hint) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _export_picture(
    scene: xr.Dataset, target: Path, unfinished: Path, variable: str | None, pair: WhichPair
) -> Exported:
    from sarcd.figures.change_figure import plot

    figure = plot(scene, pair=pair, variable=variable)
    figure.savefig(unfinished, format="png", dpi=_DOTS_AN_INCH, metadata={"Software": f"sarcd {sarcd.__version__}"})
    names = _pair_names(scene)
    return Exported(target, variable, (names[pair_position(scene, pair)],) if names else ())


def _result(scene: xr.Dataset, name: str | None, kind: str) -> xr.DataArray:
    """Return the variable to export, with the dims and dtype of the schema."""
    as_polygons = kind == "polygons"
    defaults = ["change"] if as_polygons else ["change_probability", "change", "change_score", "coherence"]
    name = name or find_result(scene, defaults) or defaults[0]
    array = schema.require(scene, name)
    known = schema.variable(name)
    if "time" in known.dims:
        hint = f"use a result, such as {', '.join(defaults)}"
        raise OptionError(f"'{name}' is an input, not a result", option="variable", hint=hint)
    if as_polygons and (known.dtype != "uint8" or "pair" not in known.dims):
        hint = "use a map of 0 and 1 (change, label, pseudo_label), or write a GeoTIFF"
        raise OptionError(f"'{name}' has no outlines", option="variable", hint=hint)
    leading = ["pair"] if "pair" in array.dims else []
    array = array.transpose(*leading, "y", "x")
    is_whole = np.dtype(known.dtype).kind in "iu"
    return whole_numbers(array, known) if is_whole else array.astype(known.dtype)


def _positions(scene: xr.Dataset, array: xr.DataArray, pair: WhichPair | None) -> list[int]:
    """Return the positions of the pairs to export; empty for a variable without pairs."""
    if "pair" not in array.dims:
        return []
    wanted = range(scene.sizes["pair"]) if pair is None else [pair_position(scene, pair)]
    made = [position for position in wanted if is_made(array, position)]
    if not made:
        which = "any pair" if pair is None else f"the pair {_pair_names(scene)[wanted[0]]}"
        hint = "run the command that computes it with --pairs"
        raise SceneError(f"'{array.name}' has not been computed for {which}", source=schema.source_of(scene), hint=hint)
    return made


def _write_raster(scene: xr.Dataset, array: xr.DataArray, positions: list[int], path: Path) -> None:
    from sarcd.exporting.cog import RasterFacts, write_cog
    from sarcd.geography.georeference import of_scene

    known = schema.variable(str(array.name))
    if "pair" in array.dims:
        bands, descriptions = array.isel(pair=positions), [_pair_names(scene)[position] for position in positions]
    else:
        bands, descriptions = array.expand_dims("pair"), [str(array.name)]
    facts = RasterFacts(
        georeference=of_scene(scene),
        descriptions=descriptions,
        nodata=None if known.name == "mask" else float(known.fill),  # 0 in a mask is a usable pixel
        units=str(array.attrs.get("units", known.units)),
        tags=_tags(array),
    )
    write_cog(bands, path, facts)


def _tags(array: xr.DataArray) -> dict[str, str]:
    """Return the tags that describe a variable: its meaning, and the operation that computed it."""
    attrs = {**schema.variable(str(array.name)).attrs(), **array.attrs}
    kept = ("long_name", "units", "flag_values", "flag_meanings", "dates")
    tags = {key: value for key, value in attrs.items() if key in kept or key.startswith("sarcd_")}
    tags.pop(schema.COMPLETE, None)
    tags |= {"variable": array.name, "TIFFTAG_SOFTWARE": f"sarcd {sarcd.__version__}"}
    return {key: value if isinstance(value, str) else encode(value) for key, value in tags.items()}


def _write_polygons(scene: xr.Dataset, array: xr.DataArray, positions: list[int], path: Path, min_pixels: int) -> int:
    from sarcd.geography.georeference import of_scene
    from sarcd.geography.polygons import find_patches, to_ground, write_polygons

    evidence, measure = _evidence(scene, str(array.name))
    found = [
        find_patches(
            array.isel(pair=position).values,
            None if evidence is None else evidence.isel(pair=position),
            min_pixels=min_pixels,
        )
        for position in positions
    ]
    georeference = of_scene(scene)
    shape = scene.sizes["y"], scene.sizes["x"]
    outlines = to_ground(np.concatenate([patches.outlines for patches in found]), georeference, shape)
    counts = [len(patches.pixels) for patches in found]
    dates = np.array([pairs_in(scene)[position] for position in positions], "datetime64[ms]")
    fields = {name: np.repeat(dates[:, end], counts) for end, name in enumerate(("before", "after"))}
    fields["pixels"] = np.concatenate([patches.pixels for patches in found])
    fields |= _areas(scene, georeference, outlines, fields["pixels"])
    if evidence is not None:
        fields[f"mean_{measure}"] = np.concatenate([patches.mean for patches in found])
        fields[f"max_{measure}"] = np.concatenate([patches.highest for patches in found])
    description = f"{array.name} of interest; {made_by(array.attrs)}" if made_by(array.attrs) else str(array.name)
    for remark in (_where(scene, georeference, path), _which_range(scene, georeference, fields)):
        description = f"{description}; {remark}" if remark else description
    write_polygons(path, outlines, fields, crs=georeference.crs, layer=str(array.name), description=description)
    return len(outlines)


def _evidence(scene: xr.Dataset, name: str) -> tuple[xr.DataArray | None, str]:
    """Return the probability or score that a map was thresholded from, and its name in attributes."""
    if schema.variable(name).name == "change":
        for base, measure in (("change_probability", "probability"), ("change_score", "score")):
            beside = sibling(name, base)
            if beside in scene:
                return scene[beside].transpose("pair", "y", "x"), measure
    return None, ""


def _areas(
    scene: xr.Dataset, georeference: Georeference, outlines: np.ndarray, pixels: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the attribute of areas in square metres, named by their kind; empty if areas are unknown."""
    from sarcd.geography.polygons import areas_m2

    each = pixel_area(scene, georeference)
    if each is None:
        return {}
    if each.is_same:
        return {"slant_area_m2" if each.is_slant else "area_m2": pixels * each.m2}
    areas = areas_m2(outlines, georeference.crs)
    return {} if areas is None else {"area_m2": areas}


def _where(scene: xr.Dataset, georeference: Georeference, path: Path) -> str:
    """Describe coordinates that have no location on Earth; empty text for others."""
    from sarcd.geography.geodesy import kind_of

    if georeference.kind == "none":
        return "coordinates are (column, row) from the outer corner of the first pixel, tied to no place"
    if georeference.crs is not None:
        if path.suffix.lower() != ".geojson" or kind_of(georeference.crs) != "local":
            return ""
        name = georeference.crs.to_dict(projjson=True).get("name", "local")
        return f"coordinates are of the local CRS '{name}', which cannot be brought to WGS 84"
    if georeference.kind == "gcps":
        return "coordinates are those of the control points, which name no CRS"
    units = str(scene["y"].attrs.get("units", "")) if "y" in scene.coords else ""
    return f"coordinates are the scene's own{f', in {units}' if units else ''}, tied to no place"


def _which_range(scene: xr.Dataset, georeference: Georeference, fields: dict[str, np.ndarray]) -> str:
    """Describe the assumptions behind areas from the pixel spacing in radar geometry."""
    if "slant_area_m2" in fields:
        return "areas are in slant range, smaller than on the ground: the scene does not tell its incidence angle"
    if "area_m2" not in fields or georeference.crs is not None:
        return ""
    if range_spacing_of(scene) == "ground":
        return "areas take the pixel spacing along x for ground range"
    return f"areas are of level ground seen at an incidence of {float(scene.attrs[INCIDENCE]):g} degrees"


def _pair_names(scene: xr.Dataset) -> list[str]:
    return [" to ".join(texts) for texts in pair_texts(pairs_in(scene))]
