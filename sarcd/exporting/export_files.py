"""A scene's results as files that other programs read: GeoTIFF, polygons, a picture."""

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
"""What is written, by the file's suffix."""

_DOTS_AN_INCH = 150


@dataclass(frozen=True)
class Exported:
    """What was written; it stands for its path wherever a path is wanted.

    Parameters
    ----------
    path : Path
        The file.
    variable : str or None
        What it shows, if one variable.
    pairs : tuple of str
        Dates of the pairs it holds, as ``2023-03-19 to 2023-03-31``.
    polygons : int or None
        Their number, in a file of polygons.
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
    """Write a result as a file, of the kind that its suffix says.

    ``.tif``, ``.tiff``
        Cloud-optimised GeoTIFF, a band for each pair, computed and written block by block. CRS and transform, or
        ground control points, or neither, are those of the scene; invalid pixels are NaN, or 255 in a map.
    ``.gpkg``, ``.geojson``
        Polygons of the changed pixels that hang together by their sides, in the CRS of the scene (WGS 84 in GeoJSON),
        ground control points applied; without a CRS in (column, row) from the outer corner of the first pixel, or
        in the scene's own metres. GeoJSON is cut at the 180th meridian, and holds coordinates of a local CRS as they
        are. With dates, pixels, `area_m2` on the ground where it is known (`slant_area_m2` where the incidence angle is
        not), mean and highest probability. The map of one pair at a time is held in memory, about 6 bytes a pixel.
    ``.png``
        Picture of one pair; see `sarcd.figures.change_figure.plot`.

    The file appears whole, or not at all.

    Parameters
    ----------
    scene : xr.Dataset
        Scene, or part of one cut by ``isel``.
    path : str or Path
        File to write.
    variable : str, optional
        What to write. Of a GeoTIFF `change_probability`, else `change`, `change_score`, `coherence`, by default; of
        polygons `change`.
    pair : int, str or (before, after), optional
        Position in the scene's list of pairs, ``BEFORE:AFTER``, or two dates. By default all pairs for which there is
        a result, the first in a picture.
    min_pixels : int, optional
        Size from which a patch of change becomes a polygon; 1 by default.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    OptionError
        If the suffix is none of these, or an option cannot be used with it.
    SceneError
        If the scene has no such result, or its georeference cannot place outlines.
    StoreError
        If there is a file already, or it cannot be written.
    CorruptChunkError
        If a stored chunk is absent or cannot be read.
    """
    scene = take(scene, images=False)
    target = Path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise OptionError(f"'{target.suffix}' is no kind of file to export", source=str(path), hint=_kinds())
    if min_pixels is not None and kind != "polygons":
        raise OptionError(f"a '{target.suffix}' file holds no polygons", option="min_pixels", hint="leave it out")
    if min_pixels is not None and min_pixels < 1:
        raise OptionError(f"least size of {min_pixels} pixels", option="min_pixels", hint="use a whole number from 1")
    _refuse_place(path, target)
    if target.is_dir() or (target.exists() and not overwrite):
        hint = "choose another name" if target.is_dir() else "choose another name, or pass --overwrite"
        raise StoreError("is there already", source=str(path), hint=hint)
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


def _refuse_place(path: str | Path, target: Path) -> None:
    """Raise where a file of this disk cannot be meant, or would lie among the arrays of a store."""
    if is_url(path) or str(path).startswith("/vsi"):
        hint = "write it to a folder of this machine, and copy it from there"
        raise StoreError("is no file of this machine", source=str(path), hint=hint)
    holders = ("zarr.json", ".zgroup")
    store = next((folder for folder in target.parents if any((folder / name).exists() for name in holders)), None)
    if store is not None:
        hint = "write it beside the store, where it is no part of the scene"
        raise StoreError(f"lies within the store {store}", source=str(path), hint=hint)


def _kinds() -> str:
    return "use " + ", ".join(f"{suffix} ({kind})" for suffix, kind in SUFFIXES.items())


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Give a file in a folder of its own beside the target, which is moved to its place when all went well."""
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
        hint = "free some space there, or choose another place"
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
    """Return the variable that is to be written, of its own dtype and dims."""
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
    """Return the pairs that are to be written, none for a variable without pairs."""
    if "pair" not in array.dims:
        return []
    wanted = range(scene.sizes["pair"]) if pair is None else [pair_position(scene, pair)]
    made = [position for position in wanted if is_made(array, position)]
    if not made:
        which = "any pair" if pair is None else f"the pair {_pair_names(scene)[wanted[0]]}"
        hint = "run the command that makes it with --pairs"
        raise SceneError(f"'{array.name}' was not made for {which}", source=schema.source_of(scene), hint=hint)
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
    """Return what a file tells of the variable in it: its meaning, and what made it."""
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
    """Return the probability or score that a map was cut from, and what to call it."""
    if schema.variable(name).name == "change":
        for base, measure in (("change_probability", "probability"), ("change_score", "score")):
            beside = sibling(name, base)
            if beside in scene:
                return scene[beside].transpose("pair", "y", "x"), measure
    return None, ""


def _areas(
    scene: xr.Dataset, georeference: Georeference, outlines: np.ndarray, pixels: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the field of areas in square metres, named for what they are; none where they are not known."""
    from sarcd.geography.polygons import areas_m2

    each = pixel_area(scene, georeference)
    if each is None:
        return {}
    if each.is_same:
        return {"slant_area_m2" if each.is_slant else "area_m2": pixels * each.m2}
    areas = areas_m2(outlines, georeference.crs)
    return {} if areas is None else {"area_m2": areas}


def _where(scene: xr.Dataset, georeference: Georeference, path: Path) -> str:
    """Say what coordinates are that are tied to no place on Earth."""
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
    """Say what areas from the spacing of radar geometry take it for."""
    if "slant_area_m2" in fields:
        return "areas are in slant range, smaller than on the ground: the scene does not tell its incidence angle"
    if "area_m2" not in fields or georeference.crs is not None:
        return ""
    if range_spacing_of(scene) == "ground":
        return "areas take the pixel spacing along x for ground range"
    return f"areas are of level ground seen at an incidence of {float(scene.attrs[INCIDENCE]):g} degrees"


def _pair_names(scene: xr.Dataset) -> list[str]:
    return [" to ".join(texts) for texts in pair_texts(pairs_in(scene))]
