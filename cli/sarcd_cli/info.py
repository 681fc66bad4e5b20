"""``sarcd info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from sarcd_cli._frame import common_options, echo_result, echo_table

_UNITS = ("B", "kB", "MB", "GB", "TB")
_MOST_DATES = 6
_COMMANDS = {"summarise_changes": "summarise"}  # for operations with another name


@click.command("info")
@click.argument("scene")
@common_options(json=True)
def command(scene: str, json: bool) -> None:
    """Show the contents of a scene, how they were made, and what is unfinished."""
    from sarcd.store.info import scene_info

    info = scene_info(scene)
    if json:
        echo_result(info, json=True)
        return
    echo_result(_summary(info), json=False)
    click.echo()
    rows = [[v["name"], v["dtype"], v["state"], _pairs(v), _chunks(v), _bytes(v["bytes"])] for v in info["variables"]]
    echo_table(["variable", "type", "state", "pairs", "chunks", "on disk"], rows)
    told = {variable["name"]: _origin(variable) for variable in info["variables"]}
    if any(told.values()):
        click.echo()
        echo_result({name: text for name, text in told.items() if text}, json=False)


def _summary(info: Mapping[str, Any]) -> dict[str, Any]:
    dates, variables = info["dates"], info["variables"]
    images = next(variable for variable in variables if variable["name"] == info["images"])
    shown = dates if len(dates) <= _MOST_DATES else [*dates[:2], "...", dates[-1]]
    chunks = " x ".join(map(str, (images["chunks"] or [])[1:]))
    if images["shards"]:
        chunks += f" in shards of {' x '.join(map(str, images['shards'][1:]))}"
    return {
        "scene": info["scene"],
        "size": f"{info['size'][0]} x {info['size'][1]} pixels in chunks of {chunks}, {_bytes(info['bytes'])} on disk",
        "dates": f"{len(dates)}: {', '.join(shown)}",
        "pairs": f"{len(info['pairs'])}: {_list_pairs(info['pairs'])}",
        "georeference": _georeference(info["georeference"]),
        **info["sensor"],
        "statistics": _statistics(info["statistics"]),
    }


def _list_pairs(pairs: list[list[str]]) -> str:
    texts = [f"{before} - {after}" for before, after in pairs]
    return ", ".join(texts if len(texts) <= _MOST_DATES else [*texts[:2], "...", texts[-1]])


def _georeference(found: Mapping[str, Any]) -> str:
    if found["kind"] == "none":
        return "none: radar geometry"
    if found["kind"] == "unknown":
        return f"unknown: {found['problem']}"
    crs = found.get("crs", "without CRS")
    if found["kind"] == "gcps":
        return f"{found['points']} ground control points, {crs}"
    a, b, c, d, e, f = found["transform"]
    rotated = "" if b == d == 0 else ", rotated"
    return f"{crs}, pixels of {abs(e):g} x {abs(a):g}{rotated}, corner at ({c:.10g}, {f:.10g})"


def _statistics(kept: Mapping[str, Any] | None) -> str:
    if kept is None:
        return "none kept; 'sarcd statistics' computes them"
    values = ", ".join(f"median {m:.6g} MAD {s:.6g}" for m, s in zip(kept["median"], kept["mad"], strict=True))
    older = "" if kept["covers_all_dates"] else "; older than the newest date, 'sarcd statistics --refresh' renews them"
    return f"{values}, from {len(kept['dates'])} dates{older}"


def _pairs(variable: Mapping[str, Any]) -> str:
    flags = variable.get("pairs_complete")
    return "-" if flags is None else f"{sum(flags)}/{len(flags)}"


def _chunks(variable: Mapping[str, Any]) -> str:
    return f"{variable['chunks_present']}/{variable['chunks_expected']}"


def _bytes(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}"
        count /= 1000
    return ""


def _origin(variable: Mapping[str, Any]) -> str:
    """Return a text about how a variable was made, and what is wrong with it."""
    parts = []
    if variable["made_by"]:
        parameters = variable["parameters"] if isinstance(variable["parameters"], Mapping) else {}
        settings = ", ".join(f"{key}={_value(value)}" for key, value in parameters.items())
        parts.append(f"made by {variable['made_by']} (sarcd {variable['version']}): {settings}")
    elif variable["sources"]:
        parts.append("from " + ", ".join(name or "-" for name in variable["sources"]))
    if variable["state"] == "unfinished":
        command = _COMMANDS.get(variable["made_by"], variable["made_by"])
        again = f"'sarcd {command}' with the same settings finishes it, " if command else ""
        parts.append(f"not finished: {again}'sarcd remove SCENE {variable['name']}' removes it")
    if variable["state"] == "damaged":
        parts.append("chunks are missing: compute it again with --overwrite, or ingest again")
    if variable["stale"]:
        parts.append(f"STALE: {variable['stale']}")
    return "; ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        rows_first = sorted(value, key=lambda key: key == "x")  # y before x, as everywhere
        return "(" + ", ".join(f"{key}={_value(value[key])}" for key in rows_first) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
