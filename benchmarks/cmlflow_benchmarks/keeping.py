"""Results that are kept: each in a JSON file, gzipped if its name says so, with the settings it was made with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmlflow.io.files import atomically


def kept(
    path: Path, settings: dict[str, Any], compute: Callable[[], dict[str, Any]], *, again: bool = False
) -> dict[str, Any]:
    """The result in a file, computed and written first where there is none.

    Parameters
    ----------
    path : Path
    settings : dict
        All that the result depends on, as JSON has it.
    compute : callable
        Gives the result.
    again : bool, default=False
        Where the file has other settings, compute anew in place of an error.

    Raises
    ------
    ValueError
        The file has other settings, which are named; or it is no such file.
    """
    if path.exists():
        found = read_kept(path)
        if found["settings"] == settings:
            return found
        if not again:
            raise ValueError(
                f"{path} was made with other settings ({_difference(found['settings'], settings)}): use another "
                "folder, or --again to make it anew"
            )
    result = {"settings": settings} | compute()
    write_json(path, result)
    return result


def read_kept(path: Path) -> dict[str, Any]:
    """What a file keeps.

    Raises
    ------
    ValueError
        Where it is not such a file.
    """
    try:
        data = path.read_bytes()
        found: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        found["settings"]
    except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile) as err:
        raise ValueError(f"{path}: not a kept result of this benchmark ({err!r})") from err
    return found


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file, whole or not at all; gzipped, the same bytes every time, where its name ends with ``.gz``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()
    with atomically(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _difference(old: Any, new: Any, name: str = "") -> str:
    """The first place where two settings differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    return f"{name} {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
