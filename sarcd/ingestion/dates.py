"""Acquisition dates of images: from the user, the metadata of a file, or its name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.ingestion.files import split_path

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST = np.datetime64("1978-01-01", "us")  # year of Seasat, the first radar satellite
_ONE_PASS = np.timedelta64(15, "m")  # times within it belong to one acquisition: its start, its stop, one of its bursts

_TIME = r"(?P<hour>[01]\d|2[0-3])[:-]?(?P<minute>[0-5]\d)[:-]?(?P<second>[0-5]\d)(?:[.,]?(?P<fraction>\d+))?"
_CLOCK = r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)"  # without seconds
_UTC = r"(?:Z|UTC|GMT|[+-]00:?00)"
_ZONE = rf"(?:{_UTC}|(?P<zone>[+-](?:0\d|1[0-4])(?::?[0-5]\d)?))"  # of a time; a day alone cannot be converted
_DAYS = (
    r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)",
    r"(?P<year>(?:19|20)\d\d)(?P<separator>[-_./])(?P<month>\d\d)(?P=separator)(?P<day>\d\d)",
    r"(?P<day>\d\d)(?P<separator>[-_]?)(?P<month>[A-Za-z]{3})(?P=separator)(?P<year>(?:19|20)\d\d)",
)
_DAYS_OF_TEXT = (
    *_DAYS,
    r"(?P<year>(?:19|20)\d\d):(?P<month>\d\d):(?P<day>\d\d)",  # EXIF
    r"(?P<year>(?:19|20)\d\d)-(?P<yearday>[0-3]\d\d)",  # ISO 8601
)
_YEAR_LAST = r"(?P<one>\d\d)(?P<separator>[-_./])(?P<other>\d\d)(?P=separator)(?P<year>(?:19|20)\d\d)"

# In a name, a time follows a T, or directly the day (14 digits in all), or, hyphenated, a hyphenated day. In metadata
# it may also follow a space.
_HYPHENS = r"(?<=-\d\d)[-_](?P<hour>[01]\d|2[0-3])-(?P<minute>[0-5]\d)-(?P<second>[0-5]\d)(?!\d)"
_IN_NAMES = (
    *(re.compile(rf"(?<!\d){day}{_HYPHENS}") for day in _DAYS[1:2]),
    *(re.compile(rf"(?<!\d){day}(?:(?:[Tt]|(?<=\d{{8}})){_TIME}(?!\d)|(?!\d))") for day in _DAYS),
)
_IN_TEXT = tuple(
    re.compile(rf"^{day}{time}\s*$")
    for day in (*_DAYS_OF_TEXT, _YEAR_LAST)
    for time in (rf"\s*{_UTC}?", rf"(?:[Tt]|\s+)?{_TIME}\s*{_ZONE}?", rf"(?:[Tt]|\s+){_CLOCK}\s*{_ZONE}?")
)
_YEAR_LAST_IN_NAME = re.compile(rf"(?<!\d)(?<!\d[-_./]){_YEAR_LAST}(?!\d)")

# Products with special names. RADARSAT and ENVISAT have an underscore before the time, ALOS-2 has a short year, OPERA
# adds the processing date, and SAOCOM has only the processing date.
_UNDERSCORE = re.compile(rf"(?:^(?:RS2|RCM\d)_.*?_|^(?:ASA|SAR)_\w{{3}}_\w{{6}}){_DAYS[0]}_{_TIME}(?=_)")
_SHORT_YEAR = re.compile(r"ALOS[24]\d{9}-(?P<short>\d\d)(?P<month>\d\d)(?P<day>\d\d)(?!\d)")
_OPERA = re.compile(r"^OPERA_L2_(?:CSLC|RTC)-S1_[^_]+_(?P<acquired>\d{8}T\d{6}Z)_")
_PROCESSED = re.compile(r"^S1[AB]_OPER_SAR_EOSSP__CORE_")
_PRODUCT_FOLDER = re.compile(
    r"^(?:S1[A-D]_[A-Z0-9]{2}_\w{4}_|TSX1_|TDX1_|PAZ1_|RS2_|RCM\d_|CSKS\d_|CSG_|CAPELLA_|ICEYE_|NISAR_|"
    r"OPERA_L2_|ALOS[24]\d{9}-|\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d_UMBRA)"
)

_TAGS = (
    # The most explicit first. Times of writing or processing a file are not acquisition dates.
    r"sensing_?start(?:_?(?:time|utc))?$",
    r"zero_?doppler_?(?:time_?)?start(?:_?time)?$",
    r"collect_?start$",
    r"acquisition_?start(?:_?(?:time|date|utc))?$",
    r"acquisition_?(?:date_?time|time|date)$",
    r"first_?line_?(?:sensing_?)?time$",
    r"nitf_idatim$",
)
_ELEMENT = re.compile(r"<(?:\w+:)?(sensingStart|CollectStart|zeroDopplerTimeFirstLine|startTimeUTC)>([^<]*)</")


def parse_date(text: str, *, option: str = "--date") -> np.datetime64:
    """Parse a date from the user as UTC, with or without a time of day; a time zone such as +02:00 is converted.

    A date before the first radar satellite, or in the future, raises a warning.

    Raises
    ------
    OptionError
        If it is not a date or is ambiguous: years have four digits, and come first unless the day is above 12.

    Examples
    --------
    >>> parse_date("20230319T055800")
    np.datetime64('2023-03-19T05:58:00.000000')
    >>> parse_date("2023-03-19T01:30:00+02:00")
    np.datetime64('2023-03-18T23:30:00.000000')
    """
    found = _parse(text)
    if found is None:
        raise OptionError(
            f"{text!r} is not a date",
            option=option,
            hint="write it as 2023-03-19, or with a time as 2023-03-19T05:58:00",
        )
    fault = _implausible(found)
    if fault:
        warnings.warn(f"{option}: {text} is {fault}", stacklevel=2)
    return found


def _implausible(date: np.datetime64) -> str:
    """Return why a date cannot be that of a radar image; empty if it can."""
    if date < _FIRST:
        return "before the first radar satellite of 1978"
    return "in the future" if date > np.datetime64("now", "us") + np.timedelta64(1, "D") else ""


def _parse(text: str) -> np.datetime64 | None:
    found = {date for pattern in _IN_TEXT if (match := pattern.match(text.strip())) for date in _from_match(match)}
    return found.pop() if len(found) == 1 else None


def _from_match(match: re.Match[str]) -> list[np.datetime64]:
    """Return the date of a match; two if day and month are ambiguous, none if there is no such day."""
    part = match.groupdict()
    month, year = part.get("month") or "", part.get("year") or f"20{part.get('short')}"
    if part.get("one"):
        days = {(part["one"], part["other"]), (part["other"], part["one"])}
        return [date for month, day in sorted(days) for date in _dates(f"{year}-{month}-{day}", part)]
    if part.get("yearday"):
        days_later = np.timedelta64(int(part["yearday"]) - 1, "D")
        dates = [date + days_later for date in _dates(f"{year}-01-01", part)]
        return [date for date in dates if str(date)[:4] == year]
    if not month.isdigit():
        if month.lower() not in _MONTHS:
            return []
        month = f"{_MONTHS.index(month.lower()) + 1:02}"
    return _dates(f"{year}-{month}-{part['day']}", part)


def _dates(day: str, part: Mapping[str, str | None]) -> list[np.datetime64]:
    """Return a day with the time and zone of a match, as UTC; empty if there is no such day."""
    time = "00:00:00.000000"
    if part.get("hour"):
        fraction = (part.get("fraction") or "")[:6].ljust(6, "0")
        time = f"{part['hour']}:{part['minute']}:{part.get('second') or '00'}.{fraction}"
    try:
        found = np.datetime64(f"{day}T{time}", "us")
    except ValueError:  # the 31st of June
        return []
    zone = (part.get("zone") or "").replace(":", "")
    if zone:
        ahead = np.timedelta64(int(zone[1:3]) * 60 + int(zone[3:5] or 0), "m")
        found = found + ahead if zone[0] == "-" else found - ahead
    return [found]


def from_metadata(tags: Mapping[str, str]) -> np.datetime64 | None:
    """Return the acquisition date from the metadata of a file, or None.

    Parameters
    ----------
    tags : mapping of str to str
        Metadata of every domain of the file. XML documents among the values are searched for elements.
    """
    return next((found for text in _date_texts(tags) if (found := _parse(text)) is not None), None)


def _date_texts(tags: Mapping[str, str]) -> Iterator[str]:
    """Yield the metadata values of the acquisition date, the most explicit first."""
    for pattern in _TAGS:
        for key, value in tags.items():
            if re.search(pattern, key, re.IGNORECASE):
                yield value
    for value in tags.values():
        for match in _ELEMENT.finditer(value) if "<" in value else ():
            yield match.group(2)


@dataclass(frozen=True)
class _Mention:
    """Date in a name, with or without a time of day."""

    date: np.datetime64
    has_time: bool

    @property
    def day(self) -> np.datetime64:
        day: np.datetime64 = self.date.astype("datetime64[D]")
        return day


def from_names(names: Iterable[str]) -> list[np.datetime64]:
    """Return the acquisition dates in names, each by its earliest time.

    Times within 15 minutes of each other, such as start and stop, are one acquisition, and so are a day and a time of
    that day. Times that are further apart are two acquisitions. Dates before 1978 or in the future are ignored.

    Examples
    --------
    >>> from_names(["S1A_IW_SLC__1SDV_20230331T235950_20230401T000017_047884_05C0F4_3703"])
    [np.datetime64('2023-03-31T23:59:50.000000')]
    >>> len(from_names(["20230319_20230331.int"]))
    2
    """
    mentions = {mention for name in names for mention in _mentions(name) if not _implausible(mention.date)}
    passes: list[list[np.datetime64]] = []
    for time in sorted(mention.date for mention in mentions if mention.has_time):
        if passes and time - passes[-1][-1] <= _ONE_PASS:
            passes[-1].append(time)
        else:
            passes.append([time])
    timed = {time.astype("datetime64[D]") for times in passes for time in times}
    days = {mention.day for mention in mentions if not mention.has_time} - timed
    return sorted([times[0] for times in passes] + [day.astype("datetime64[us]") for day in days])


def _mentions(name: str) -> Iterator[_Mention]:
    if _PROCESSED.match(name):
        return
    opera = _OPERA.match(name)
    if opera:
        name = opera["acquired"]
    for pattern in (_UNDERSCORE, _SHORT_YEAR, *_IN_NAMES):
        for match in pattern.finditer(name):
            for date in _from_match(match):
                yield _Mention(date, bool(match.groupdict().get("hour")))
    for match in _YEAR_LAST_IN_NAME.finditer(name):
        found = _from_match(match)
        if len(found) == 1:
            yield _Mention(found[0], has_time=False)


def acquisition_date(path: str, tags: Mapping[str, str], *, inner: Iterable[str] = ()) -> np.datetime64:
    """Return the acquisition date of an image.

    Parameters
    ----------
    path : str
        Path as passed to GDAL.
    tags : mapping of str to str
        Metadata of the file.
    inner : iterable of str
        Names of the bands or subdatasets that are read.

    Returns
    -------
    np.datetime64
        UTC, from the metadata, otherwise from the names, otherwise from a folder that is named after a date or is a
        product.

    Raises
    ------
    InputError
        If there is no date, it cannot be that of a radar image, or the sources disagree: products coregistered to
        another date often have the metadata of that date.
    """
    hint = "pass --date once for each image, in their order"
    file, within = split_path(path)
    names = [file.name, within, *inner]
    tagged, named = from_metadata(tags), from_names(names) or _of_folder(file)
    if tagged is not None and _implausible(tagged):
        raise InputError(
            f"the date {tagged.astype('datetime64[D]')} in its metadata is {_implausible(tagged)}",
            source=path,
            hint=hint,
        )
    if tagged is None and len(named) == 1:
        return named[0]
    if tagged is None:
        raise InputError(f"its acquisition date is unknown: {_why(names, named, tags)}", source=path, hint=hint)
    if len(named) == 1 and not _agree(tagged, named[0]):
        days = [date.astype("datetime64[D]") for date in (tagged, named[0])]
        unit = "s" if days[0] == days[1] else "D"
        texts = [date.astype(f"datetime64[{unit}]") for date in (tagged, named[0])]
        raise InputError(f"its date is {texts[0]} in the metadata, but {texts[1]} in the name", source=path, hint=hint)
    return tagged


def _of_folder(file: PurePath) -> list[np.datetime64]:
    """Return the date of the parent folder if it is its whole name, or of the product folder of the file."""
    parent = file.parent.name
    alone = from_names([parent])
    if len(alone) == 1 and _parse(parent) is not None:
        return alone
    product = next((folder.name for folder in file.parents if _PRODUCT_FOLDER.match(folder.name)), "")
    return from_names([product])


def _agree(tagged: np.datetime64, named: np.datetime64) -> bool:
    """Return whether metadata and name may be of one acquisition: of one day, or of times around midnight."""
    same_day = tagged.astype("datetime64[D]") == named.astype("datetime64[D]")
    return bool(same_day or abs(tagged - named) <= _ONE_PASS)


def _why(names: Iterable[str], named: list[np.datetime64], tags: Mapping[str, str]) -> str:
    """Return why metadata and name do not determine the date."""
    if named:
        return f"its name contains {len(named)} dates"
    unread = next((text.strip() for text in _date_texts(tags) if re.search(r"\d\d", text)), None)
    if unread is not None:
        return f"{unread[:40]!r} in its metadata is ambiguous"
    for name in names:
        if _PROCESSED.match(name):
            return "its name contains the processing date"
        match = _YEAR_LAST_IN_NAME.search(name)
        if match and len(_from_match(match)) > 1:
            return f"{match.group()} in its name may begin with the day or the month"
        for mention in _mentions(name):
            return f"{mention.day} in its name is {_implausible(mention.date)}"
    return "neither metadata nor name contain a date"
