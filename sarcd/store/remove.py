"""Results taken out of a stored scene, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sarcd import schema
from sarcd.errors import SceneError, StoreError
from sarcd.store.locks import structure_lock, variable_locks
from sarcd.store.scene import SceneStore, publish


def remove(path: str | Path, names: Sequence[str]) -> list[str]:
    """Remove results from a scene, such as one that was begun and is not wanted any more.

    Plain opens stop to see them first; then their files go. Images, labels and what else was given to the scene stay.

    Parameters
    ----------
    path : str or Path
        Scene.
    names : sequence of str
        Variables that sarcd computed, with or without a suffix.

    Returns
    -------
    list of str
        Those that were removed.

    Raises
    ------
    SceneError
        If there is no such variable.
    StoreError
        If one is an input, which nothing could make again.
    LockedError
        If another process writes one of them.
    """
    store = SceneStore(path)
    members = sorted({*store.members(), *store.lost()})  # a folder that was deleted leaves its entry in the list
    for name in names:
        if name not in members:
            listed = ", ".join(known for known in members if _is_result(known)) or "none"
            raise SceneError(f"no '{name}' in the scene", where=store.path, mend=f"its results are: {listed}")
        if not _is_result(name):
            raise StoreError(
                "is no result, and could not be made again",
                where=f"{store.path}/{name}",
                mend="labels are replaced by 'sarcd ingest --append --label ... --overwrite', images by a new scene",
            )
    with variable_locks(store.path, names), structure_lock(store.path):
        publish(store, remove=names, locked=True)
        for name in names:
            store.delete(name)
    return list(names)


def _is_result(name: str) -> bool:
    known = schema.known(name)
    return known is not None and known.derived and known.name != "mask"
