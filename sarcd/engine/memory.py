"""Memory and cores available to this process, and the memory plan of a job.

The limits are those of control groups (versions 1 and 2, of the process and all parents), SLURM, and resource limits.
Without any of these, as on macOS and Windows, only the machine counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

from sarcd.errors import OptionError

_MOST_BY_DEFAULT = 2**30  # less than 2 GiB with the memory that a command uses before its job begins
_MOST_CACHE = 2**29  # chunks of three rows of a band; more would rarely be used again
_LOADED_LATER = 2**28  # compiled kernels, codecs, threads and their heaps, allocated after the job is planned


@dataclass(frozen=True)
class Shares:
    """Memory plan of a job.

    Parameters
    ----------
    workers : int
        Regions computed at a time.
    cache_bytes : int
        Size of the cache of decoded chunks.
    """

    workers: int
    cache_bytes: int


def budget(asked: int | None) -> int:
    """Return the memory budget of this process in bytes.

    It is the requested size. The default is the memory in use, which may be large in a notebook, plus half of the free
    memory, at most 1 GiB.
    """
    return asked or _taken() + min(_MOST_BY_DEFAULT, free_bytes() // 2)


def left(asked: int | None) -> int:
    """Return the part of the budget that is not in use yet, in bytes."""
    return budget(asked) - _taken()


def _taken() -> int:
    return int(psutil.Process().memory_info().rss) + _LOADED_LATER


def free_bytes() -> int:
    """Return the bytes that machine, container, scheduler and resource limits leave to this process."""
    return free_memory().free


def share_out(asked: int | None, bytes_left: int, *, region_bytes: int, chunk_bytes: int, workers: int) -> Shares:
    """Divide the rest of a budget between regions in progress and a cache of chunks.

    Parameters
    ----------
    asked : int or None
        Whole budget as set by the user; None for the default.
    bytes_left : int
        Bytes to divide.
    region_bytes : int
        Memory to compute one region.
    chunk_bytes : int
        Size of one decoded chunk of an image.
    workers : int
        Maximum number of regions computed at a time.

    Raises
    ------
    OptionError
        If the memory is too small for one region.

    Examples
    --------
    >>> share_out(None, 100, region_bytes=30, chunk_bytes=2, workers=4)
    Shares(workers=2, cache_bytes=40)
    """
    least_cache = 16 * chunk_bytes  # nearly both images of a region and its eight neighbours
    lacking = region_bytes + least_cache - bytes_left
    if lacking > 0 and asked is None and _MOST_BY_DEFAULT + lacking <= free_bytes() // 2:
        bytes_left, lacking = bytes_left + lacking, 0  # a large tile may exceed the default budget
    if lacking > 0:
        raise _too_little(asked, lacking)
    workers = max(1, min(workers, (bytes_left - least_cache) // region_bytes))
    return Shares(workers, min(_MOST_CACHE, bytes_left - workers * region_bytes))


def _too_little(asked: int | None, lacking: int) -> OptionError:
    """Return the error for a budget that is too small; a default budget names the limit that it comes from."""
    limit = free_memory()
    wanted = budget(asked) + lacking
    why = "" if asked else f" ({limit.free / 2**30:.2f} GiB are {limit.source})"
    hint = f"use --memory {wanted / 2**30 + 0.05:.1f} or more"
    if wanted > limit.free + _taken():
        hint += f", where {limit.free / 2**30:.2f} GiB are {limit.source}: raise that limit, or use smaller tiles"
    return OptionError(
        f"{budget(asked) / 2**30:.2f} GiB of memory are not enough for this job{why}", option="memory", hint=hint
    )


_NO_LIMIT = 2**60  # bytes; version 1 reports the largest multiple of the page size below 2^63 if there is no limit
_ROOT = Path("/")


@dataclass(frozen=True)
class Limit:
    """Memory that a limit leaves to this process.

    Parameters
    ----------
    free : int
        Bytes.
    source : str
        Description of the limit, for messages.
    """

    free: int
    source: str


@dataclass(frozen=True)
class _Group:
    """Control group of the process: its folder, its path in the kernel, and its version."""

    folder: Path
    name: str
    version: int


def free_memory(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> Limit:
    """Return the smallest of the limits of machine, container, scheduler and shell.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    environ : mapping
        Environment variables, including those of SLURM.

    Examples
    --------
    >>> free_memory().free <= psutil.virtual_memory().total
    True
    """
    machine = Limit(int(psutil.virtual_memory().available), "free in this machine")
    return min([machine, *memory_limits(root, environ)], key=lambda limit: limit.free)


def memory_limits(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> list[Limit]:
    """Return all limits except that of the machine."""
    limits = [limit for group in _groups(root, "memory") if (limit := _of_group(group))]
    return [*limits, *_of_slurm(environ), *_of_process()]


def cores(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """Return the number of cores: the minimum of CPU affinity, container quota (rounded up) and SLURM allocation.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    environ : mapping
        Environment variables, including those of SLURM.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> 1 <= cores() <= os.cpu_count()
    True
    """
    counts = [_affinity()]
    for group in _groups(root, "cpu"):
        if group.version == 2:  # "max 100000", or quota and period in microseconds
            quota, period = (*_words(group.folder / "cpu.max"), "", "")[:2]
        else:
            quota, period = (" ".join(_words(group.folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        if _is_count(quota) and _is_count(period):
            counts.append(-(-int(quota) // int(period)))
    if "SLURM_JOB_ID" in environ:
        counts += [count for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE") if (count := _count(environ, name))]
    return max(1, min(counts))


def _affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13: affinity, or the value of -X cpu_count
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_group(group: _Group) -> Limit | None:
    """Return the memory that a control group leaves; inactive cached files do not count, as the kernel frees them."""
    names: tuple[str, ...]
    if group.version == 2:
        names, taken, cached = ("memory.max", "memory.high"), "memory.current", "inactive_file"
    else:
        names, taken, cached = ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"
    stat = dict(line.split()[:2] for line in _lines(group.folder / "memory.stat") if len(line.split()) > 1)
    limits = {name: _number(" ".join(_words(group.folder / name))) for name in names}
    if group.version == 1:  # limits of parent groups, also outside of the container
        limits["hierarchical_memory_limit"] = _number(stat.get("hierarchical_memory_limit", ""))
    known = {name: value for name, value in limits.items() if value is not None and value < _NO_LIMIT}
    if not known:
        return None
    name = min(known, key=known.__getitem__)
    used = _number(" ".join(_words(group.folder / taken))) or 0
    used -= _number(stat.get(cached, stat.get("inactive_file", ""))) or 0
    return Limit(max(known[name] - max(used, 0), 0), f"left by {name} of control group {group.name}")


def _of_slurm(environ: Mapping[str, str]) -> Iterator[Limit]:
    """Yield the memory that SLURM allocated to the job, less that of this process; 0 MiB means the whole node."""
    if "SLURM_JOB_ID" not in environ:
        return
    each = {"NODE": 1, "CPU": _count(environ, "SLURM_CPUS_ON_NODE"), "GPU": _count(environ, "SLURM_GPUS_ON_NODE")}
    for kind, number in each.items():
        allocated = _count(environ, f"SLURM_MEM_PER_{kind}")
        if allocated and number:
            free = allocated * number * 2**20 - int(psutil.Process().memory_info().rss)
            yield Limit(max(free, 0), f"left by SLURM_MEM_PER_{kind}")


def _of_process() -> Iterator[Limit]:
    """Yield the memory that resource limits (`ulimit -v`, `ulimit -d`) leave."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = psutil.Process().memory_info()
    for name, taken in (("RLIMIT_AS", memory.vms), ("RLIMIT_DATA", getattr(memory, "data", None))):
        if taken is None or not hasattr(resource, name):
            continue
        most = resource.getrlimit(getattr(resource, name))[0]
        if most not in (-1, resource.RLIM_INFINITY) and most < _NO_LIMIT:
            yield Limit(max(int(most) - int(taken), 0), f"left by {name}")


def _groups(root: Path, controller: str) -> Iterator[_Group]:
    """Yield the control groups of this process, from its own up to the root of the mounted hierarchy."""
    paths = {}  # key "" is version 2, which has one path for all controllers
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        paths.update(dict.fromkeys(controllers.split(","), path))
    for mounted_from, mounted_at, version in _mounts(root, controller):
        own = paths.get(controller if version == 1 else "")
        if own is None:
            continue
        inside = _below(own, mounted_from)
        top = root / mounted_at.lstrip("/")
        # Inside a container, a path of the host is not visible: of its folders only the last one, the root, exists.
        for number, part in enumerate((inside, *inside.parents) if inside.parts else (inside,)):
            if number and _words(top / part / "memory.use_hierarchy") == ["0"]:
                continue  # without hierarchy, version 1 does not count members of a group
            yield _Group(top / part, str(PurePosixPath(mounted_from, part)), version)


def _mounts(root: Path, controller: str) -> list[tuple[str, str, int]]:
    """Return the mounted cgroup hierarchies: mounted part, mount point, and version."""
    found = []
    for line in _lines(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        where, what = left.split(), right.split()
        if len(where) < 5 or not what:
            continue
        mounted_from, mounted_at = (text.encode().decode("unicode_escape") for text in where[3:5])  # \040 is a space
        if what[0] == "cgroup2":
            found.append((mounted_from, mounted_at, 2))
        elif what[0] == "cgroup" and controller in what[-1].split(","):
            found.append((mounted_from, mounted_at, 1))
    if found:
        return found
    candidates = [("/sys/fs/cgroup", 2), ("/sys/fs/cgroup/unified", 2), (f"/sys/fs/cgroup/{controller}", 1)]
    return [("/", folder, version) for folder, version in candidates if (root / folder.lstrip("/")).is_dir()]


def _below(path: str, mounted_from: str) -> PurePosixPath:
    """Return the path of a group relative to the mounted part of its hierarchy; empty if it is outside of it.

    Examples
    --------
    >>> _below("/docker/abc/worker", "/docker/abc").as_posix()
    'worker'
    """
    own, top = PurePosixPath(path), PurePosixPath(mounted_from)
    if ".." in own.parts or ".." in top.parts or not own.is_relative_to(top):
        return PurePosixPath()
    return own.relative_to(top)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").splitlines()
    return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _number(text: str) -> int | None:
    """Parse a number of bytes; None for "max" and any other text."""
    return int(text) if text.isascii() and text.isdigit() else None


def _is_count(text: str) -> bool:
    return bool(_number(text))


def _count(environ: Mapping[str, str], name: str) -> int:
    return _number(environ.get(name, "").strip()) or 0
