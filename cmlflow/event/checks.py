"""Checks of what an `Event` is made of; each error names the event, the field, the entry and what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks


def as_floats(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # too large for float32: infinite, and refused below
            array = np.array(_plain(value), dtype=np.float32)  # a copy: what is checked here stays as it is
    except (TypeError, ValueError) as err:
        raise ValueError(f"{where}: {name} is {_short(value)}, expected numbers of one shape") from err
    if array.size == 0 and -1 not in shape and 0 in shape:
        array = array.reshape(shape)
    fits = array.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=False))
    if not fits:
        wanted = ", ".join("n_hits" if s == -1 else str(s) for s in shape)
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected ({wanted})")
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{where}: {name} of {_entry(name)} {first[0]} is {array[first]}, expected finite values")
    return np.ascontiguousarray(array)


def _plain(value: Any) -> Any:
    """A torch tensor, of any device and precision, as an array; anything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_ints(value: ArrayLike, length: int, name: str, where: str) -> IntArray:
    try:
        array = np.array(_plain(value))
    except ValueError as err:
        raise ValueError(f"{where}: {name} is {_short(value)}, expected integers") from err
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        if array.dtype.kind != "f":
            raise ValueError(f"{where}: {name} has type {array.dtype}, expected integers")
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            first = tuple(int(i) for i in np.argwhere(~whole)[0])
            raise ValueError(f"{where}: {name} of {_entry(name)} {first[0]} is {array[first]}, expected integers")
    if array.shape != (length,):
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected ({length},)")
    return np.ascontiguousarray(array, dtype=np.int64)


def _entry(name: str) -> str:
    return "entry" if "." in name else "hit"


def require(ok: NDArray[np.bool_], name: str, value: Any, where: str, wanted: str) -> None:
    if not ok.all():
        first = int(np.flatnonzero(~ok)[0])
        raise ValueError(f"{where}: {name} of hit {first} is {value[first]}, expected {wanted}")


def as_deposits(value: Deposits | Sequence[ArrayLike], n_hits: int, where: str) -> Deposits:
    given = (value.hit, value.particle, value.energy) if isinstance(value, Deposits) else value
    hit, particle, energy = _arrays(given, "deposits", ("hit", "particle", "energy"), where)
    e = as_floats(energy, (-1,), "deposits.energy", where)
    h = as_ints(hit, len(e), "deposits.hit", where)
    p = as_ints(particle, len(e), "deposits.particle", where)
    bad = (h < 0) | (h >= n_hits) | (p < UNKNOWN) | (e < 0)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}: deposit {i} has hit {h[i]}, particle {p[i]}, energy {e[i]}; expected a hit in "
            f"0..{n_hits - 1}, a particle of -1 or above and a non-negative energy"
        )
    return Deposits(h, p, e)


def _arrays(value: Any, name: str, fields: tuple[str, ...], where: str) -> tuple[Any, ...]:
    """The arrays of a group, from a sequence of them or a dict with their names."""
    if isinstance(value, Mapping):
        value = [value[field] for field in fields if field in value]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(fields):
        raise ValueError(f"{where}: {name} is {_short(value)}, expected the arrays {', '.join(fields)}")
    return tuple(value)


def _known(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    """As `as_floats`, with nan for what is not known."""
    array = np.array(_plain(value), dtype=np.float32)
    if array.size == 0 and 0 in shape:
        array = array.reshape(shape)
    if array.shape != shape:
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected {shape}")
    if np.isinf(array).any():
        raise ValueError(f"{where}: {name} holds an infinite value, expected finite ones, or nan")
    return array


def as_particles(value: Particles | Sequence[ArrayLike] | None, named: int, where: str) -> Particles:
    if value is None:
        return Particles.unknown(named)
    given = (value.pdg_id, value.energy, value.direction) if isinstance(value, Particles) else value
    pdg_id, energy, direction = _arrays(given, "particles", ("pdg_id", "energy", "direction"), where)
    n = np.size(_plain(pdg_id))
    out = Particles(
        as_ints(pdg_id, n, "particles.pdg_id", where),
        _known(energy, (n,), "particles.energy", where),
        _known(direction, (n, 3), "particles.direction", where),
    )
    if (out.energy < 0).any():
        i = int(np.flatnonzero(out.energy < 0)[0])
        raise ValueError(f"{where}: particles.energy of entry {i} is {out.energy[i]}, expected 0 or above, or nan")
    if len(out) < named:
        raise ValueError(
            f"{where}: particle_id or deposits name particle {named - 1}, but there are {len(out)} particles"
        )
    return out


def as_tracks(value: Tracks | Sequence[ArrayLike], n_particles: int, where: str) -> Tracks:
    given: Any = value
    if isinstance(given, Tracks):
        given = (given.momentum, given.direction, given.entry, given.particle, *_present(given.crossing))
    elif isinstance(given, Mapping):
        given = [given[f] for f in ("momentum", "direction", "entry", "particle", "crossing") if f in given]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(
            f"{where}: tracks are {_short(value)}, expected the arrays momentum, direction, entry, particle"
        )
    if len(given) not in (4, 5):
        raise ValueError(
            f"{where}: tracks have {len(given)} arrays, expected momentum, direction, entry, particle and, where it is "
            "known, crossing"
        )
    momentum, direction, entry, particle = given[:4]
    p = as_floats(momentum, (-1,), "tracks.momentum", where)
    out = Tracks(
        p,
        as_floats(direction, (len(p), 3), "tracks.direction", where),
        as_floats(entry, (len(p), 3), "tracks.entry", where),
        as_ints(particle, len(p), "tracks.particle", where),
        _crossing(given[4], len(p), where) if len(given) == 5 else None,
    )
    if ((out.particle < UNKNOWN) | (out.particle >= n_particles)).any():
        raise ValueError(f"{where}: tracks.particle names a particle outside -1..{n_particles - 1}")
    return out


def _present(value: FloatArray | None) -> tuple[FloatArray, ...]:
    return () if value is None else (value,)


def _crossing(value: ArrayLike, n_tracks: int, where: str) -> FloatArray:
    array = np.asarray(value, dtype=np.float32)
    if n_tracks == 0 and array.size == 0:
        array = array.reshape(0, array.shape[1] if array.ndim == 3 else 0, 3)
    if array.ndim != 3 or array.shape[0] != n_tracks or array.shape[2] != 3:
        raise ValueError(f"{where}: tracks.crossing has shape {array.shape}, expected ({n_tracks}, n_layers, 3)")
    wrong = np.isinf(array).any(axis=2) | (np.isnan(array).any(axis=2) != np.isnan(array).all(axis=2))
    if wrong.any():
        track, layer = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{where}: tracks.crossing of track {track} in layer entry {layer} is {array[track, layer]}, expected "
            "three finite numbers, or three nan where the track does not cross the layer"
        )
    return np.ascontiguousarray(array)
