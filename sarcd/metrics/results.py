"""What an evaluation returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr

Json = dict[str, Any]

_RELIABILITY = {
    "low": "bin_low",
    "high": "bin_high",
    "pixels": "bin_pixels",
    "probability": "bin_probability",
    "changed": "bin_changed",
}
_CURVE = {"recall": "recall_level", "threshold": "curve_threshold", "precision": "curve_precision"}


@dataclass(frozen=True)
class Report:
    """Everything an evaluation tells.

    Parameters
    ----------
    scores : xr.Dataset
        Along `over`, as `sarcd.metrics.evaluate` returns them. Of several scenes: ``pooled``, then each site by its
        name, followed by its pairs as ``site before/after``; coordinates `site` and `pair` say the same apart, empty
        where it is all.
    curves : xr.Dataset or None
        Of a score, along the same `over`: `curve_threshold` and `curve_precision` at each `recall_level`, and of a
        probability the reliability table `bin_pixels`, `bin_probability`, `bin_changed` for each `bin`.
    """

    scores: xr.Dataset
    curves: xr.Dataset | None

    def entries(self) -> list[Json]:
        """Return the scores of each of `over` by name, with `curve` and `reliability` as lists of rows."""
        found: list[Json] = [
            {str(name): array.values[i] for name, array in self.scores.data_vars.items()}
            for i in range(self.scores.sizes["over"])
        ]
        for i, entry in enumerate(found if self.curves is not None else ()):
            for key, columns in (("curve", _CURVE), ("reliability", _RELIABILITY)):
                entry |= self._rows(i, key, columns)
        return found

    def _rows(self, i: int, key: str, columns: dict[str, str]) -> Json:
        one = self.curves.isel(over=i)  # type: ignore[union-attr]
        if not all(name in one.variables for name in columns.values()):
            return {}
        rows = zip(*(one[name].values for name in columns.values()), strict=True)
        return {key: [dict(zip(columns, row, strict=True)) for row in rows]}

    def to_dict(self) -> Json:
        """Return everything as nested mappings and lists.

        Returns
        -------
        dict
            How it was judged; `pooled`; then, of one scene, `pairs`, and of several, `sites`, each with its `pooled`
            and its `pairs`.
        """
        entries = self.entries()
        head = {**{str(name): value for name, value in self.scores.attrs.items()}, "pooled": entries[0]}
        if "site" not in self.scores.coords:
            names = self.scores["over"].values.tolist()
            return {
                **head,
                "pairs": [{"pair": name, **entry} for name, entry in zip(names[1:], entries[1:], strict=True)],
            }
        sites: list[Json] = []
        places = zip(self.scores["site"].values.tolist(), self.scores["pair"].values.tolist(), strict=True)
        for (site, pair), entry in list(zip(places, entries, strict=True))[1:]:
            if pair:
                sites[-1]["pairs"].append({"pair": pair, **entry})
            else:
                sites.append({"scene": site, "pooled": entry, "pairs": []})
        return {**head, "sites": sites}
