"""One training at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "training.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, which names the process; the system frees it when the process ends, however it does.

    Raises
    ------
    RuntimeError
        Another training holds it; names its process and machine.
    """
    path = folder / LOCK
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(number, 200).decode(errors="replace").strip() or "another process"
            os.close(number)
            raise RuntimeError(
                f"{folder} is in use by another training ({owner}): wait for it, or choose another folder"
            ) from None
        except OSError as err:
            os.close(number)
            raise OSError(err.errno, f"{path} cannot be locked: {err.strerror}") from err
        if _is_still(path, number):
            break
        os.close(number)  # the one before removed it between our opening and locking it
    try:
        os.ftruncate(number, 0)
        os.pwrite(number, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def _is_still(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(number))
    except FileNotFoundError:
        return False
