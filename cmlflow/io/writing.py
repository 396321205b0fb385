"""Writing files whole or not at all: beside their place first, then renamed; through links, into pipes and devices."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
LONGEST_NAME = 255  # bytes, of common file systems
OLD = 24 * 3600.0  # [s] age at which a temporary file of another machine is taken for one that was left behind


@contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends, and is removed where it fails.

    Symbolic links are followed and kept, so are the permissions of a file that is replaced. What is no plain file, such
    as a pipe or a device, is written to when the block ends; ``-`` stands for the standard output. Temporary files that
    a killed process left for the same target are removed.

    Yields
    ------
    Path
        Where to write; in the folder of the target, so that the final rename is atomic.

    Raises
    ------
    OSError
        Names `path`, whatever the operating system said about the temporary file.
    """
    given = Path(path)
    through = str(path) in STANDARD_OUTPUT or _is_special(given)
    target = given if through else Path(os.path.realpath(given))
    if not through and not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {given}: there is no folder {target.parent}")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {given}: it is a folder")
    folder = Path(tempfile.gettempdir()) if through else target.parent
    start = _beginning(target.name if not through else "output")
    temporary = folder / f"{start}{_machine()}.{os.getpid()}.{secrets.token_hex(4)}.part"
    try:
        if not through:
            _remove_left(folder, start)
        yield temporary
        if through:
            _copy(temporary, given)
            return
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except OSError as err:
        own = (given, target, temporary)
        if err.filename is not None and Path(os.fsdecode(err.filename)) not in own:
            raise  # another file's trouble, such as the input that is read while this one is written
        if isinstance(err, BrokenPipeError):
            raise
        message = f"cannot write {given}: {err.strerror or err}"
        raise (OSError(message) if err.errno is None else OSError(err.errno, message)) from err
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _is_special(path: Path) -> bool:
    """Whether there is something else than a plain file or a folder, or a file that another process holds open."""
    if re.match(r"/dev/fd/|/proc/[^/]+/fd/|/dev/std(err|in)$", str(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _copy(source: Path, target: Path) -> None:
    if str(target) in STANDARD_OUTPUT:
        sys.stdout.flush()
        binary = getattr(sys.stdout, "buffer", None)
        if binary is None:  # replaced, as in tests and notebooks
            sys.stdout.write(source.read_text(encoding="utf-8"))
            return
        with open(source, "rb") as read:
            shutil.copyfileobj(read, binary)
        binary.flush()
        return
    number = os.open(target, os.O_WRONLY | os.O_NONBLOCK)  # a pipe that nobody reads is an error, not a wait
    with open(source, "rb") as read, open(number, "wb") as written:
        os.set_blocking(number, True)
        shutil.copyfileobj(read, written)


def _beginning(name: str) -> str:
    """How the names of a target's temporary files begin; cut, with a digest, where they would be too long."""
    room = LONGEST_NAME - len(".") - len(f".{_machine()}.{2**22}.00000000.part")
    if len(os.fsencode(name)) > room:
        short = os.fsencode(name)[: room - 13].decode(errors="ignore")
        name = f"{short}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return f".{name}."


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _remove_left(folder: Path, start: str) -> None:
    """Remove the temporary files of one target whose process has ended."""
    for name in os.listdir(folder):
        if not (name.startswith(start) and name.endswith(".part")):
            continue
        match = re.fullmatch(r"(?:([0-9a-f]{6})\.)?(\d+)\.[0-9a-f]{8}\.part", name[len(start) :])
        if match is None:
            continue
        file, machine, process = folder / name, match[1], int(match[2])
        with suppress(OSError):
            ended = machine in (None, _machine()) and not _runs(process)
            if ended or (machine != _machine() and time.time() - file.stat().st_mtime > OLD):
                file.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
