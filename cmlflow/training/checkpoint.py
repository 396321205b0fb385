"""Checkpoints: written whole or not at all, and checked against their digest before they are used."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

STAMP = b"cmlflow sha256 "
"""Begins the comment of the zip archive that torch writes; the digest of all that comes before the comment follows."""


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` to a temporary file beside `path`, then rename it.

    Raises
    ------
    OSError
        The file cannot be written; an older checkpoint is then still there.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")  # the same name every time: a killed run leaves at most one
    try:
        archive = io.BytesIO()
        torch.save(state, archive)
        with open(temporary, "wb") as file:
            file.write(_stamped(archive.getvalue()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as err:  # torch reports a full disk as RuntimeError
        raise OSError(f"{path}: the checkpoint could not be written ({err})") from err
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    ValueError
        The file is not a checkpoint, or is damaged.
    """
    data = Path(path).read_bytes()
    try:
        _check(data)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as err:
        raise ValueError(
            f"{path}: not a checkpoint of cmlflow, or damaged ({' '.join(str(err).split())[:200]})"
        ) from err
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a checkpoint of cmlflow (holds a {type(state).__name__})")
    return state


def _stamped(archive: bytes) -> bytes:
    """The archive with its digest as comment, which torch and other readers of zip skip."""
    body = archive[:-2]  # the length of the comment, 0
    comment = STAMP + hashlib.sha256(body).hexdigest().encode()
    return body + len(comment).to_bytes(2, "little") + comment


def _check(data: bytes) -> None:
    at = data.rfind(STAMP)
    if at < 0:  # of an older cmlflow: the checksums of zip, of the content alone
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.comment or (bad := archive.testzip()) is not None:
                raise ValueError(f"{'its comment' if archive.comment else bad} is damaged")
        return
    if data != _stamped(data[: at - 2] + b"\0\0"):
        raise ValueError("it does not have the sha256 that it was written with")
