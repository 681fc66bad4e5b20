"""When an image was acquired: what the user says, what the file's metadata say, what its name says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

import numpy as np

from sarcd.errors import InputError, OptionError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_TIME = r"(?P<hour>[01]\d|2[0-3])[:-]?(?P<minute>[0-5]\d)[:-]?(?P<second>[0-5]\d)(?:\.?(?P<fraction>\d+))?"
_DAYS = (
    r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)",
    r"(?P<year>(?:19|20)\d\d)(?P<separator>[-_./])(?P<month>\d\d)(?P=separator)(?P<day>\d\d)",
    r"(?P<day>\d\d)(?P<separator>[-_]?)(?P<month>[A-Za-z]{3})(?P=separator)(?P<year>(?:19|20)\d\d)",
)
# Within a name a time follows a T, or its day without a gap, as 14 digits; in metadata a blank will do.
_IN_NAMES = tuple(re.compile(rf"(?<!\d){day}(?:(?:[Tt]|(?<=\d{{8}})){_TIME}(?!\d)|(?!\d))") for day in _DAYS)
_IN_TEXT = tuple(re.compile(rf"^{day}(?:(?:[Tt]|\s+)?{_TIME})?\s*(?:Z|UTC|\+00:?00)?$") for day in _DAYS)

_TAGS = (
    # The most explicit first. A time at which a file was written or processed is no date of acquisition.
    r"sensing_?start(?:_?(?:time|utc))?$",
    r"zero_?doppler_?(?:time_?)?start(?:_?time)?$",
    r"collect_?start$",
    r"acquisition_?start(?:_?(?:time|date|utc))?$",
    r"acquisition_?(?:date_?time|time|date)$",
    r"first_?line_?(?:sensing_?)?time$",
    r"nitf_idatim$",
)
_ELEMENT = re.compile(r"<(?:\w+:)?(sensingStart|CollectStart|zeroDopplerTimeFirstLine|startTimeUTC)>([^<]*)</")


def parse_date(text: str, *, where: str = "--date") -> np.datetime64:
    """Read a date that a user gave, with or without a time of day, as UTC.

    Raises
    ------
    OptionError
        If it is no date.

    Examples
    --------
    >>> parse_date("20230319T055800")
    np.datetime64('2023-03-19T05:58:00.000000')
    """
    found = _parse(text)
    if found is None:
        raise OptionError(
            f"{text!r} is no date", where=where, mend="write it as 2023-03-19, or with a time as 2023-03-19T05:58:00"
        )
    return found


def _parse(text: str) -> np.datetime64 | None:
    match = next((match for pattern in _IN_TEXT if (match := pattern.match(text.strip()))), None)
    return None if match is None else _from_match(match)


def _from_match(match: re.Match[str]) -> np.datetime64 | None:
    part = match.groupdict()
    month = part["month"]
    if not month.isdigit() and month.lower() not in _MONTHS:
        return None
    number = int(month) if month.isdigit() else _MONTHS.index(month.lower()) + 1
    time = "00:00:00.000000"
    if part["hour"]:
        fraction = (part["fraction"] or "")[:6].ljust(6, "0")
        time = f"{part['hour']}:{part['minute']}:{part['second']}.{fraction}"
    try:
        return np.datetime64(f"{part['year']}-{number:02}-{part['day']}T{time}", "us")
    except ValueError:  # the 31st of June
        return None


def from_metadata(tags: Mapping[str, str]) -> np.datetime64 | None:
    """Return the date of acquisition that a file's metadata give, or None.

    Parameters
    ----------
    tags : mapping of str to str
        Metadata of every domain of the file; XML documents among the values are searched for their elements.
    """
    for pattern in _TAGS:
        for key, value in tags.items():
            if re.search(pattern, key, re.IGNORECASE):
                found = _parse(value)
                if found is not None:
                    return found
    for value in tags.values():
        for match in _ELEMENT.finditer(value) if "<" in value else ():
            found = _parse(match.group(2))
            if found is not None:
                return found
    return None


def from_names(names: Iterable[str]) -> list[np.datetime64]:
    """Return the days, each with its earliest time of day, that the given names hold.

    Examples
    --------
    >>> from_names(["S1A_IW_SLC__1SDV_20230331T055032_20230331T055059_047884_05C0F4_3703"])
    [np.datetime64('2023-03-31T05:50:32.000000')]
    >>> len(from_names(["20230319_20230331.int"]))
    2
    """
    days: dict[np.datetime64, np.datetime64] = {}
    for name in names:
        for pattern in _IN_NAMES:
            for match in pattern.finditer(name):
                found = _from_match(match)
                if found is None:
                    continue
                day = found.astype("datetime64[D]")
                known = days.setdefault(day, found)
                midnight = day.astype(found.dtype)  # a name that gives the day alone knows less
                days[day] = max(known, found) if midnight in (known, found) else min(known, found)
    return [days[day] for day in sorted(days)]


def split_path(path: str) -> tuple[PurePath, str]:
    """Return the file, and what is chosen within it where the path names a GDAL subdataset.

    Examples
    --------
    >>> split_path('ZARR:"stack/20230319.znap":/i_VV')
    (PurePosixPath('stack/20230319.znap'), '/i_VV')
    """
    match = re.match(r'^\w{2,}:"(?P<file>[^"]+)":?(?P<inner>.*)$', path)
    match = match or re.match(r"^\w{2,}:(?P<file>/?[^:]+):(?P<inner>[^/].*|//?[^/].*)$", path)
    return (PurePath(match["file"]), match["inner"]) if match else (PurePath(path), "")


def acquisition_date(path: str, tags: Mapping[str, str], *, inner: Iterable[str] = ()) -> np.datetime64:
    """Return when an image was acquired.

    Parameters
    ----------
    path : str
        As given to GDAL.
    tags : mapping of str to str
        Metadata of the file.
    inner : iterable of str
        Names of the bands or subdatasets that are read.

    Returns
    -------
    np.datetime64
        From the metadata, else from the names, else from a folder that is named by a date alone.

    Raises
    ------
    InputError
        If there is none, or they contradict one another: products coregistered to another date often carry that
        one's metadata.
    """
    mend = "say it with --date, once for each image in their order"
    file, within = split_path(path)
    named = from_names([file.name, within, *inner])
    if not named and len(from_names([file.parent.name])) == 1 and _parse(file.parent.name) is not None:
        named = from_names([file.parent.name])
    told = from_metadata(tags)
    if told is None and len(named) == 1:
        return named[0]
    if told is None:
        found = f"its name holds {len(named)} dates" if named else "neither metadata nor name hold one"
        raise InputError(f"date of acquisition is unknown: {found}", where=path, mend=mend)
    days = [date.astype("datetime64[D]") for date in (told, *named)]
    if len(named) == 1 and days[0] != days[1]:
        raise InputError(f"metadata say {days[0]}, the name says {days[1]}", where=path, mend=mend)
    return told
