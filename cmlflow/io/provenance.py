"""What a file of clusters was made from, kept in the file: model, readout, source. Torch is not needed to read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cmlflow.io.files import FormatError, PathLike, existing

PROVENANCE = "cmlflow_provenance"
"""Key of the Parquet metadata, and name of the string beside a ROOT tree."""


def read_provenance(path: PathLike) -> dict[str, Any] | None:
    """What a file written by cmlflow says it was made from; None where it says nothing, or is damaged.

    Parameters
    ----------
    path : path-like
        A Parquet or ROOT file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    try:
        file = existing(path)
        text = _parquet_text(file) if file.suffix.lower() in (".parquet", ".pq") else _root_text(file)
        found = None if text is None else json.loads(text)
    except (FormatError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _parquet_text(file: Path) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(file).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    value = metadata.get(PROVENANCE.encode())
    return None if value is None else value.decode()


def _root_text(file: Path) -> str | None:
    from cmlflow.io.root import guarded, open_root

    with open_root(file) as root:
        return guarded(file, PROVENANCE, lambda: str(root[PROVENANCE]) if PROVENANCE in root else None)
