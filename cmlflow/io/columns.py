"""The columns of a table of your own that hold what an event needs."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cmlflow.event.checks import NOT_FEATURES
from cmlflow.io.files import FormatError, PathLike

LENGTHS = {"um": 1e-4, "mm": 0.1, "cm": 1.0, "m": 100.0, "km": 1e5}
"""Centimetres in a unit of length."""

ENERGIES = {"eV": 1e-9, "keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3}
"""GeV in a unit of energy."""

_VECTORS = ("position", "particle_direction", "track_momentum", "track_direction", "track_entry", "event")
_SCALARS = (
    "energy", "layer", "particle", "share", "deposit", "particle_number", "particle_energy", "pdg_id",
    "track_particle", "count",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns of a table that hold positions, energies, truth and tracks, and their units.

    The table may have one row per event, with lists or arrays of fixed length for the hits, or one row per hit.
    A name may point into a record: ``"hits.x"``.

    Attributes
    ----------
    position : sequence of str
        Two or three columns, or one column with two or three numbers per hit.
    energy : str
        Energy of each hit.
    length : str or float, default "cm"
        Unit of positions and track entries: um, mm, cm, m, km, or its length in cm.
    energy_unit : str or float, optional
        Unit of the hit energies (eV ... TeV), which are then converted to GeV, or a factor. They stay as they are by
        default.
    origin : sequence of float, optional
        Subtracted from the positions, in the unit of the file, before they lose precision.
    threshold : float, optional
        Hits with less energy, in the unit of the file, are dropped.
    layer : str, optional
    first_layer : int, default 1
        Number that the first layer has in the file; it is 1 in the events.
    event : str or sequence of str, optional
        Number of the event. In a table with one row per hit, rows with the same number are one event; without it the
        file is one event.
    count : str, optional
        Hits of each event, where arrays are padded to a fixed length, or the hits of all events follow each other.
    particle : str, optional
        Particle of each hit; or a list for each hit, with `share` or `deposit` beside it.
    share, deposit : str, optional
        Of each particle in a hit's list: its part of the hit's energy, the remainder to 1 being of no particle; or
        its energy, in the unit of the hit energies.
    unknown : int or sequence of int, optional
        Values of `particle` that mean no particle, besides negative and missing ones.
    pdg_id, particle_energy : str, optional
        Of each particle of the event, or of each entry of `particle` where those are as long.
    particle_direction : sequence of str, optional
        Three columns of its direction, or of its momentum: only the direction is kept.
    particle_number : str, optional
        Number of each particle, to which `particle` refers; it refers to places by default.
    particle_unit : str, default "GeV"
        Unit of particle energies and of track momenta.
    track_momentum : str or sequence of str, optional
        Absolute momentum; or three components, which tell the direction too.
    track_direction, track_entry : sequence of str, optional
        Three columns each.
    track_particle : str, optional
    features : sequence of str, or mapping of str to str, optional
        Further columns of the hits; by the names that they have in events, or else by their own, without a ``hit_``
        at the beginning.
    keep : bool, default False
        Whether all other columns with one number per hit are features, too.
    detector : str, optional
        Name given to the events.
    tree : str, optional
        Tree, RNTuple or group of the file that holds the columns, where it has several.

    Raises
    ------
    ValueError
        Names the field, its value, and what would be right.

    Examples
    --------
    >>> columns = Columns(position=("x", "y", "z"), length="mm", energy="e", event="event", particle="truth")
    >>> columns.names()
    ['x', 'y', 'z', 'e', 'event', 'truth']
    """

    position: str | tuple[str, ...]
    energy: str
    length: str | float = "cm"
    energy_unit: str | float | None = None
    origin: tuple[float, ...] | None = None
    threshold: float | None = None
    layer: str | None = None
    first_layer: int = 1
    event: str | tuple[str, ...] | None = None
    count: str | None = None
    particle: str | None = None
    share: str | None = None
    deposit: str | None = None
    unknown: int | tuple[int, ...] = ()
    pdg_id: str | None = None
    particle_energy: str | None = None
    particle_direction: tuple[str, ...] | None = None
    particle_number: str | None = None
    particle_unit: str = "GeV"
    track_momentum: str | tuple[str, ...] | None = None
    track_direction: tuple[str, ...] | None = None
    track_entry: tuple[str, ...] | None = None
    track_particle: str | None = None
    features: Mapping[str, str] | Sequence[str] = ()
    keep: bool = False
    detector: str | None = None
    tree: str | None = None

    def __post_init__(self) -> None:
        for name in _VECTORS:
            value: Any = getattr(self, name)
            if value is not None:
                value = (value,) if isinstance(value, str) else tuple(value)
                object.__setattr__(self, name, value)
                if not all(isinstance(v, str) for v in value):
                    raise ValueError(f"{name} is {value!r}, expected names of columns")
        for name in _SCALARS:
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "energy"):
                raise ValueError(f"{name} is {value!r}, expected the name of a column")
        self._check_sizes()
        for name, units in (("length", LENGTHS), ("energy_unit", ENERGIES), ("particle_unit", ENERGIES)):
            _factor(getattr(self, name), units, name)
        object.__setattr__(self, "unknown", (self.unknown,) if isinstance(self.unknown, int) else tuple(self.unknown))
        object.__setattr__(self, "features", self._named_features())

    def _check_sizes(self) -> None:
        if len(self.position) not in (1, 2, 3):
            raise ValueError(f"position is {self.position!r}, expected two or three columns, or one with all numbers")
        for name in ("particle_direction", "track_direction", "track_entry"):
            if len(getattr(self, name) or "xyz") != 3:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected three columns")
        if len(self.track_momentum or "p") not in (1, 3):
            raise ValueError(f"track_momentum is {self.track_momentum!r}, expected one column or three")
        if self.track_momentum is not None:
            if self.track_entry is None:
                raise ValueError("track_entry is missing: tracks have a point where they enter the calorimeter")
            if len(self.track_momentum) == 1 and self.track_direction is None:
                raise ValueError("track_direction is missing, expected three columns, or three of track_momentum")
        elif self.track_entry or self.track_direction or self.track_particle:
            raise ValueError("track_momentum is missing, but other columns of tracks are named")
        if self.share is not None and self.deposit is not None:
            raise ValueError("share and deposit are both given, expected one of them")
        needs = (self.share, self.deposit, self.pdg_id, self.particle_energy, self.particle_direction)
        if self.particle is None and self.particle_number is None and any((*needs[:2], self.track_particle)):
            raise ValueError("particle is missing, but columns that go with it are named")
        if self.origin is not None:
            object.__setattr__(self, "origin", tuple(self.origin))
        if self.origin is not None and len(self.origin) not in (2, 3):
            raise ValueError(f"origin is {self.origin!r}, expected two or three numbers")

    def _named_features(self) -> dict[str, str]:
        given = [self.features] if isinstance(self.features, str) else self.features
        named = given if isinstance(given, Mapping) else {feature_name(column): column for column in given}
        for name, column in named.items():
            if not name.isidentifier() or "__" in name or name in NOT_FEATURES:
                raise ValueError(
                    f"column {column!r} cannot be the feature {name!r}; name it as in features={{'time': {column!r}}}"
                )
        return dict(named)

    @property
    def cm(self) -> float:
        """Centimetres in the unit of lengths."""
        return _factor(self.length, LENGTHS, "length")

    @property
    def energy_factor(self) -> float:
        """Factor of the hit energies."""
        return _factor(self.energy_unit, ENERGIES, "energy_unit")

    @property
    def particle_gev(self) -> float:
        """GeV in the unit of particle energies and track momenta."""
        return _factor(self.particle_unit, ENERGIES, "particle_unit")

    def names(self) -> list[str]:
        """All named columns, each once."""
        out: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SCALARS and value is not None:
                out.append(value)
            elif field.name in _VECTORS and value is not None:
                out.extend(value)
            elif field.name == "features":
                out.extend(value.values())
        return list(dict.fromkeys(out))

    @classmethod
    def from_toml(cls, path: PathLike) -> Columns:
        """Columns from a TOML file whose keys are the attributes.

        Raises
        ------
        FormatError
            It is no TOML, or has a key that is none of the attributes; lists the right ones.
        """
        try:
            given = tomllib.loads(Path(path).read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise FormatError(f"{path} is no TOML file of columns: {err}") from err
        right = [field.name for field in fields(cls)]
        if wrong := [name for name in given if name not in right]:
            raise FormatError(f"{path} has the key {wrong[0]}, expected some of {', '.join(right)}")
        if missing := [name for name in ("position", "energy") if name not in given]:
            raise FormatError(f"{path} lacks the key {missing[0]}")
        try:
            return cls(**given)
        except (ValueError, TypeError) as err:
            raise FormatError(f"{path}: {err}") from err

    def to_toml(self) -> str:
        """The text of a TOML file that `from_toml` reads, without defaults."""
        lines = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default or value in ((), {}):
                continue
            if isinstance(value, Mapping):
                text = "{ " + ", ".join(f"{name} = {json.dumps(column)}" for name, column in value.items()) + " }"
            else:
                text = json.dumps(list(value) if isinstance(value, tuple) else value)
            lines.append(f"{field.name} = {text}")
        return "\n".join(lines) + "\n"

    def check_names(self, where: Any, there: Collection[str]) -> None:
        """Check that a table has these columns.

        Raises
        ------
        FormatError
            Names the file, the field, the column, and the existing columns, the most similar first.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in (*_SCALARS, *_VECTORS, "features") or value is None:
                continue
            own = value.values() if isinstance(value, Mapping) else (value,) if isinstance(value, str) else value
            for name in own:
                if name not in there:
                    close = difflib.get_close_matches(name, list(there), 3, 0.5)
                    listed = [*close, *(n for n in there if n not in close)]
                    text = ", ".join(listed[:40]) + (f" and {len(listed) - 40} more" if len(listed) > 40 else "")
                    raise FormatError(f"{where} has no column {name!r} ({field.name}); it has {text or 'none'}")


def feature_name(column: str) -> str:
    """Name of the feature in a column: the last part of its name, without ``hit_``."""
    return column.rpartition("/")[2].rpartition(".")[2].removeprefix("hit_")


def _factor(unit: Any, units: Mapping[str, float], name: str) -> float:
    if unit is None:
        return 1.0
    if isinstance(unit, str) and unit in units:
        return units[unit]
    if isinstance(unit, (int, float)) and not isinstance(unit, bool) and 0 < unit < float("inf"):
        return float(unit)
    raise ValueError(f"{name} is {unit!r}, expected one of {', '.join(units)}, or a positive factor")
