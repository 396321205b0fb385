"""Mutations by number, read in a process with limits; what came of each."""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow import Event
from tests.hostile.targets import Target, make_targets

OUTCOMES = ("right", "clean", "unsealed", "silent", "unclear", "crash", "hang")
"""Read as undamaged; one error that names the file; other numbers where no checksum is; other numbers in spite of one;
any other error; the process ended; more than `PATIENCE` seconds."""

PATIENCE = 20.0
MEMORY = 6 << 30


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes after one mutation."""
    out = bytearray(data)
    place, length = rng.randrange(len(out)), rng.choice((1, 4, 16, 64))
    kind = rng.randrange(8)
    if kind < 3:
        out[place] ^= 1 << rng.randrange(8)
    elif kind == 3:
        out[place : place + length] = rng.randbytes(len(out[place : place + length]))
    elif kind == 4:
        out[place : place + length] = bytes([rng.choice((0, 255))]) * len(out[place : place + length])
    elif kind == 5:
        out[place : None if rng.random() < 0.5 else place + length] = b""
    elif kind == 6:
        out[place:place] = out[place : place + length]
    else:
        number = rng.choice((0, 1, -1, 2**31 - 1, -(2**31))).to_bytes(4, rng.choice(("big", "little")), signed=True)
        out[place : place + 4] = number
    return bytes(out)


ARGUMENTS = (
    *("energy", "layer", "particle_id", "purity", "number"),
    *("detector", "features", "deposits", "particles", "tracks"),
)


def odd_event(rng: random.Random) -> tuple[str, str]:
    """An `Event` of odd arguments: taken where all of it is in order, or refused by the name of an argument."""
    import torch

    def odd(n: int) -> Any:
        values = [float(rng.randrange(3)) for _ in range(n)]
        if n and rng.random() < 0.5:
            special = (np.nan, np.inf, -1, 1.5, 1e30, 2**63, -(2**63), 2**64 - 1, None, "x", 1j, [1])
            values[rng.randrange(n)] = rng.choice(special)
        kinds = (
            lambda: values,
            lambda: np.array(values, dtype=rng.choice(("f4", "f8", "i8", "u8", "O", "M8[s]", "c8", "f2", "S3", "?"))),
            lambda: np.ma.masked_array(np.ones(n), np.arange(n) == 0),
            lambda: torch.ones(n, device=rng.choice(("cpu", "meta"))),
            lambda: torch.ones(n).to_sparse(),
            lambda: np.zeros((n, rng.randrange(4))),
            lambda: {"a": 1},
        )
        return rng.choice(kinds)() if rng.random() < 0.4 else values

    n = rng.choice((0, 1, 3))
    given: dict[str, Any] = {"position": np.zeros((n, 3)), "energy": np.ones(n)}
    for name in rng.sample(ARGUMENTS, 2):
        try:
            value = odd(n)
            if name == "number":
                value = rng.choice(("x", np.nan, 1.5, 2**64, [1], 3, None))
            elif name == "detector":
                value = rng.choice((5, "hgcal", None, b"x"))
            elif name == "features":
                value = {rng.choice(("t", "x y", "energy", 3)): value}
            elif name in ("deposits", "particles", "tracks"):
                value = [odd(n) for _ in range(rng.choice((3, 3, 4, 5)))]
        except (TypeError, ValueError, OverflowError):
            continue  # numpy does not make such an array
        given[name] = value
    try:
        event = Event(**given)
    except ValueError as err:
        named = any(name.rstrip("s") in str(err) for name in given)
        return ("clean", "") if named and "\n" not in str(err) else ("unclear", f"ValueError: {err}"[:200])
    except Exception as err:
        return "unclear", f"{type(err).__name__}: {err} from {sorted(given)}"[:200]
    fine = np.isfinite(event.energy).all() and (event.particle_id >= -1).all() and len(event.layer) == n
    same = all(
        np.array_equal(np.asarray(given[k], float).reshape(-1), getattr(event, k)) for k in ("layer",) if k in given
    )
    return ("right", "") if fine and same else ("silent", f"taken: {sorted(given)}")


def outcome(target: Target, undamaged: Any, folder: Path, rng: random.Random) -> tuple[str, str]:
    """What came of one mutation of a file, and the error."""
    file = target.file
    data = file.read_bytes()
    bad = damaged(data, rng)
    path = folder / f"x{file.suffix}" if file.parent == folder else file  # a model is damaged in its place
    path.write_bytes(bad)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = target.read(path)
    except (ValueError, OSError) as err:
        named = path.name in str(err) or str(path.parent) in str(err)
        if named and not isinstance(err, UnicodeDecodeError):
            return "clean", ""
        return "unclear", f"{type(err).__name__}: {err}"[:300]
    except BaseException as err:
        return "unclear", f"{type(err).__name__}: {err}"[:300]
    finally:
        path.write_bytes(data)
    if found == undamaged:
        return "right", ""
    return ("silent" if target.sealed else "unsealed"), "other numbers"


def _worker(pipe: Connection, seed: int, kinds: list[str] | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = {k: t for k, t in make_targets(folder).items() if kinds is None or k in kinds}
        undamaged = {k: t.read(t.file) for k, t in targets.items()}
        every = [*targets, *(["event"] if kinds is None or "event" in kinds else [])]
        pipe.send("ready")
        while (number := pipe.recv()) is not None:
            rng = random.Random(f"{seed} {number}")
            kind = rng.choice(every)
            pipe.send(kind)
            if kind == "event":
                pipe.send(odd_event(rng))
            else:
                pipe.send(outcome(targets[kind], undamaged[kind], folder, rng))


def campaign(n: int, seed: int = 1, kinds: list[str] | None = None) -> Iterator[tuple[int, str, str, str]]:
    """Number, target, outcome and error of each mutation."""
    context = multiprocessing.get_context("spawn")
    process, pipe = None, None
    for number in range(n):
        if process is None:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_worker, args=(theirs, seed, kinds), daemon=True)
            process.start()
            theirs.close()
            if pipe.recv() != "ready":
                raise RuntimeError("the process that reads did not start")
        assert pipe is not None
        kind, found = "?", ("hang", "")
        try:
            pipe.send(number)
            if pipe.poll(PATIENCE):
                kind = pipe.recv()
                if pipe.poll(PATIENCE):
                    found = pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            found = "crash", f"exit code {process.exitcode}"
        if found[0] in ("hang", "crash"):
            process.kill()
            process.join()
            process = None
        yield number, kind, *found
    if process is not None and pipe is not None:
        pipe.send(None)
        process.join()


def summary(results: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    """Counts by target and outcome, and the mutations that are faults."""
    counts: dict[str, Counter[str]] = {}
    for _, kind, what, _ in results:
        counts.setdefault(kind, Counter())[what] += 1
    faults = [
        {"number": number, "target": kind, "outcome": what, "error": error}
        for number, kind, what, error in results
        if what in ("silent", "unclear", "crash", "hang")
    ]
    total = Counter(what for _, _, what, _ in results)
    return {
        "total": {name: total[name] for name in OUTCOMES},
        "targets": {kind: dict(counter) for kind, counter in sorted(counts.items())},
        "faults": faults,
    }
