"""Checks of what an `Event` is made of; each error names the event, the field, the entry and what would be right."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event.arrays import plain, short, whole
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks

NOT_FEATURES = ("position", "energy", "layer", "particle", "purity", "cluster", "x", "y", "z", "x_cm", "y_cm", "z_cm")
"""Names that features cannot have: they are those of other columns of hits."""

FINEST = 1e-3
"""Steps of float32 up to this size [cm or the feature's unit] are not looked at."""

COARSEST = 1e-3
"""Largest part of an event's spread that rounding may move a value by."""


def as_floats(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    given = _array(value, name, where)
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused below
        array = np.array(given, dtype=np.float32)  # a copy: what is checked here stays as it is
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


def as_positions(value: ArrayLike, n_hits: int, where: str) -> FloatArray:
    """Positions of shape (n_hits, 3) from 2 or 3 columns; z is 0 where there are 2."""
    wide = _array(value, "position", where)
    array = as_floats(wide, (n_hits, 2 if np.shape(wide) == (n_hits, 2) else 3), "position", where)
    warn_of_rounding(wide, array, "positions", "subtract an origin from them")
    return array if array.shape[1] == 3 else np.pad(array, ((0, 0), (0, 1)))


class Features(dict[str, FloatArray]):
    """Features by name; one is found by the name of its column ``hit_<name>``, too."""

    def __missing__(self, name: str) -> FloatArray:
        if name.startswith("hit_") and name.removeprefix("hit_") in self:
            return self[name.removeprefix("hit_")]
        raise KeyError(f"{name}: there is no such feature, expected one of {', '.join(self) or '(none)'}")


def as_features(value: Mapping[str, ArrayLike] | None, n_hits: int, where: str) -> dict[str, FloatArray]:
    """Further numbers of each hit by name, shape (n_hits,) or (n_hits, m); nan where one is not known."""
    if value is None:
        return Features()
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: features is {short(value)}, expected a dict from names to arrays")
    out = Features()
    for name, given in value.items():
        if not isinstance(name, str) or not name.isidentifier() or "__" in name or name in NOT_FEATURES:
            raise ValueError(
                f"{where}: {name!r} cannot be the name of a feature, expected an identifier without '__' that is none "
                f"of {', '.join(NOT_FEATURES)}"
            )
        title = f"features[{name!r}]"
        wide = _array(given, title, where)
        with np.errstate(over="ignore"):
            array = np.array(wide, dtype=np.float32)
        if array.ndim not in (1, 2) or array.shape[0] != n_hits:
            raise ValueError(f"{where}: {title} has shape {array.shape}, expected ({n_hits},) or ({n_hits}, m)")
        if np.isinf(array).any():
            first = int(np.flatnonzero(np.isinf(array.reshape(n_hits, -1)).any(axis=1))[0])
            raise ValueError(f"{where}: {title} of hit {first} is infinite, expected finite values, or nan")
        warn_of_rounding(wide, array, f"values of feature {name!r}", "subtract an offset from them")
        out[name] = np.ascontiguousarray(array)
    return out


def warn_of_rounding(wide: ArrayLike, array: FloatArray, what: str, remedy: str) -> None:
    """Warn where float32 cannot tell values apart that lie far from 0 and close together."""
    given = np.asarray(wide)
    if given.dtype.kind not in "fiu" or given.dtype.itemsize <= 2 or given.dtype == np.float32 or not array.size:
        return
    largest = float(np.nanmax(np.abs(array), initial=0))
    step = float(np.spacing(np.float32(largest)))
    if step <= FINEST:
        return
    columns = given.reshape(len(given), -1)
    kept = array.reshape(len(array), -1)
    with np.errstate(invalid="ignore"):
        spread = np.fmax.reduce(columns, axis=0) - np.fmin.reduce(columns, axis=0)
        lost = np.abs(columns - kept) > COARSEST * spread
    if (lost & (spread > 0)).any() or len(np.unique(columns, axis=0)) > len(np.unique(kept, axis=0)):
        warnings.warn(
            f"{what} of up to {largest:.0e} are kept as float32, which resolves only {step:g} there: different ones "
            f"become equal; {remedy} first",
            stacklevel=_outside(),
        )


def _outside() -> int:
    """Stack level of the first caller outside of this package, as seen from the caller of this function."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("cmlflow."):
        frame, level = frame.f_back, level + 1
    return level


def as_ints(value: ArrayLike, length: int, name: str, where: str) -> IntArray:
    array = whole(value, name, _entry(name), where=f"{where}: ")
    if array.size == 0 and length == 0:
        array = array.reshape(0)
    if array.shape != (length,):
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected ({length},)")
    return array


def _array(value: Any, name: str, where: str) -> NDArray[Any]:
    try:
        return plain(value)
    except ValueError as err:
        raise ValueError(f"{where}: {name} {err}") from None


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
        raise ValueError(f"{where}: {name} is {short(value)}, expected the arrays {', '.join(fields)}")
    return tuple(value)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sequence) else -1


def _known(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    """As `as_floats`, with nan for what is not known."""
    given = _array(value, name, where)
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=np.float32)
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
    fields: tuple[str, ...] = ("pdg_id", "energy", "direction")
    given: Any = value
    if isinstance(given, Particles):
        given = {name: getattr(given, name) for name in (*fields, "number") if getattr(given, name) is not None}
    if (isinstance(given, Mapping) and "number" in given) or _length(given) == 4:
        fields += ("number",)
    pdg_id, energy, direction, *number = _arrays(given, "particles", fields, where)
    n = np.size(_array(pdg_id, "particles.pdg_id", where))
    out = Particles(
        as_ints(pdg_id, n, "particles.pdg_id", where),
        _known(energy, (n,), "particles.energy", where),
        _known(direction, (n, 3), "particles.direction", where),
        as_ints(number[0], n, "particles.number", where) if number else None,
    )
    if (out.energy < 0).any():
        i = int(np.flatnonzero(out.energy < 0)[0])
        raise ValueError(f"{where}: particles.energy of entry {i} is {out.energy[i]}, expected 0 or above, or nan")
    if len(out) < named:
        raise ValueError(
            f"{where}: particle_id or deposits name particle {named - 1}, but there are {len(out)} particles; expected "
            "rows of particles, 0 being the first"
        )
    return out


def as_tracks(value: Tracks | Sequence[ArrayLike], n_particles: int | None, where: str) -> Tracks:
    given: Any = value
    if isinstance(given, Tracks):
        given = (given.momentum, given.direction, given.entry, given.particle, *_present(given.crossing))
    elif isinstance(given, Mapping):
        given = [given[f] for f in ("momentum", "direction", "entry", "particle", "crossing") if f in given]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(
            f"{where}: tracks are {short(value)}, expected the arrays momentum, direction, entry, particle"
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
    beyond = n_particles is not None and (out.particle >= n_particles)
    if np.any((out.particle < UNKNOWN) | beyond):
        raise ValueError(
            f"{where}: tracks.particle names a particle outside -1..{'' if n_particles is None else n_particles - 1}"
        )
    return out


def _present(value: FloatArray | None) -> tuple[FloatArray, ...]:
    return () if value is None else (value,)


def _crossing(value: ArrayLike, n_tracks: int, where: str) -> FloatArray:
    given = _array(value, "tracks.crossing", where)
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=np.float32)
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
