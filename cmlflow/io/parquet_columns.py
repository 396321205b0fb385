"""The columns of Parquet files of events (docs/reference/files.md), and their values as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cmlflow.event.checks import NOT_FEATURES
from cmlflow.io.candidates import CANDIDATES, SHARES
from cmlflow.io.files import FormatError

SCHEMA_KEY = b"cmlflow_schema"
SCHEMA_VERSION = 1

HITS = {"hit_x_cm": "f4", "hit_y_cm": "f4", "hit_z_cm": "f4", "hit_energy": "f4"}
LABELS = {"hit_layer": "i4", "hit_particle": "i4", "hit_purity": "f4"}
CLUSTER = {"hit_cluster": "i4"}
DEPOSITS = {"deposit_hit": "i4", "deposit_particle": "i4", "deposit_energy": "f4"}
PARTICLES = {"particle_pdg_id": "i8", "particle_energy_gev": "f4"} | {f"particle_direction_{a}": "f4" for a in "xyz"}
NUMBERS = {"particle_number": "i8"}
TRACKS = (
    {"track_momentum_gev": "f4"}
    | {f"track_direction_{a}": "f4" for a in "xyz"}
    | {f"track_{a}_cm": "f4" for a in "xyz"}
    | {"track_particle": "i4"}
)
CROSSINGS = {f"crossing_{a}_cm": "f4" for a in "xyz"}
FAMILIES = (HITS | LABELS | CLUSTER, DEPOSITS, PARTICLES | NUMBERS, TRACKS, CROSSINGS, CANDIDATES, SHARES)
KIND = {name: kind for family in FAMILIES for name, kind in family.items()}
FOUND = CANDIDATES | SHARES

UNKNOWN = (
    dict.fromkeys(("hit_particle", "deposit_particle", "track_particle", "particle_number"), -1)
    | {"particle_pdg_id": 0}
    | dict.fromkeys(("particle_energy_gev", *(f"particle_direction_{a}" for a in "xyz"), *CROSSINGS), np.nan)
)
"""Meaning of null inside a list; other columns must not have it, features have nan."""


@dataclass(frozen=True)
class Lists:
    """A jagged column: event i has values[offsets[i]:offsets[i + 1]], or none where `valid` is False."""

    offsets: NDArray[np.int64]
    values: NDArray[Any]
    valid: NDArray[np.bool_]

    def __getitem__(self, i: Any) -> Any:
        return self.values[self.offsets[i] : self.offsets[i + 1]] if self.valid[i] else None


def check_schema(path: Any, schema: Any) -> None:
    """Check that a file has the columns that every event needs, and is not of a newer version."""
    missing = [n for n in HITS if n not in schema.names]
    stamp = (schema.metadata or {}).get(SCHEMA_KEY)
    if stamp is None:
        if missing:
            raise FormatError(
                f"{path} was not written by cmlflow and lacks the columns {', '.join(missing)}; name its own columns "
                "with columns=cmlflow.Columns(...), which `cmlflow inspect` proposes, or see docs/reference/files.md"
            )
    elif not stamp.isdigit() or not 1 <= int(stamp) <= SCHEMA_VERSION:
        raise FormatError(
            f"{path} has schema version {stamp.decode(errors='replace')}, this cmlflow reads up to {SCHEMA_VERSION}: "
            "a newer cmlflow is needed"
        )
    elif missing:
        raise FormatError(f"{path} lacks the columns {', '.join(missing)}")
    for name in KIND.keys() & set(schema.names):
        if not is_list(schema.field(name).type):
            raise FormatError(
                f"{path}: column {name} has type {schema.field(name).type}, expected a list per event; a table with "
                "one row per hit is read with columns=cmlflow.Columns(..., event=...)"
            )


def feature_columns(path: Any, schema: Any) -> dict[str, str]:
    """Features of hits by the names of their columns ``hit_<name>``; others of that kind are warned of."""
    out, strange = {}, []
    for field in schema:
        name = field.name.removeprefix("hit_")
        if name == field.name or field.name in KIND:
            continue
        inner = field.type.value_type if is_list(field.type) else None
        if inner is not None and is_list(inner):
            inner = inner.value_type
        numbers = inner is not None and (
            pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner)
        )
        if numbers and name.isidentifier() and "__" not in name and name not in NOT_FEATURES:
            out[field.name] = name
        else:
            strange.append(f"{field.name} ({field.type})")
    if strange:
        warnings.warn(
            f"{path}: columns {', '.join(strange)} are not read; a feature of hits is a list of numbers per event in a "
            "column hit_<name>, the name being an identifier of its own",
            stacklevel=2,
        )
    return out


def is_list(kind: Any) -> bool:
    """Whether a column has a list per row, of any of Arrow's list types."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    views = (pa.types.is_list_view, pa.types.is_large_list_view)
    return any(test(kind) for test in (*tests, *views))


def lists(path: Any, table: Any, name: str, first: int) -> Lists:
    """A column of a row group whose first event is entry `first` of the file."""
    offsets, values, valid = _flattened(table.column(name))
    if name in HITS and not valid.all():
        raise FormatError(f"{path}, entry {first + int(np.flatnonzero(~valid)[0])}: {name} is missing")
    if name in KIND:
        return Lists(offsets, numbers(path, values, name, KIND[name], UNKNOWN.get(name)), valid)
    if not is_list(values.type):
        return Lists(offsets, numbers(path, values, name, "f4", np.nan), valid)
    inner, values, whole = _flattened(values)
    counts = np.diff(inner)
    if not whole.all() or (counts != counts[:1]).any():
        raise FormatError(f"{path}: column {name} has lists of {sorted(set(counts.tolist()))[:4]} numbers, or none")
    width = int(counts[0]) if len(counts) else 1
    return Lists(offsets, numbers(path, values, name, "f4", np.nan).reshape(-1, width), valid)


def _flattened(column: Any) -> tuple[NDArray[np.int64], Any, NDArray[np.bool_]]:
    """Edges of the lists, their concatenated values, and which lists are not null."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    values = pc.list_flatten(column)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return np.concatenate(([0], np.cumsum(counts))), values, np.asarray(pc.is_valid(column), np.bool_)


def numbers(path: Any, values: Any, name: str, kind: str, unknown: float | None) -> NDArray[Any]:
    """Values of an Arrow array, float or int64; `unknown` stands for null, and for nan among whole numbers.

    Raises
    ------
    FormatError
        Names the column, what it holds, and what is expected.
    """
    expected = np.dtype(kind).name
    floating, whole = pa.types.is_floating(values.type), pa.types.is_integer(values.type)
    if pa.types.is_boolean(values.type):
        values, whole = values.cast(pa.int8()), True
    if pa.types.is_decimal(values.type):
        values, floating = values.cast(pa.float64()), True
    if (values.null_count and unknown is None) or not (floating or whole):
        raise FormatError(f"{path}: column {name} holds {values.type} or missing values, expected {expected}")
    if values.null_count:
        if kind[0] == "f" and whole:
            values = values.cast(pa.float64(), safe=False)
        values = pc.fill_null(values, pa.scalar(unknown, values.type))
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    if kind[0] == "f":
        return array
    if floating:
        if unknown is not None:
            array = np.where(np.isnan(array), unknown, array)
        odd = ~(np.abs(array) < 2**63) | (array != np.floor(array))
    else:
        odd = array > 2**63 - 1 if array.dtype == np.uint64 else np.zeros(0, np.bool_)
    if odd.any():
        raise FormatError(
            f"{path}: column {name} holds {values.type} with the value {array[odd][0]}, expected {expected}"
        )
    return array.astype(np.int64)


def check_lengths(path: Any, first: int, family: Mapping[str, Lists]) -> None:
    """Every column of a family has as many entries as the first one, event by event, or none at all."""
    names = list(family)
    for name in names[1:]:
        a, b = family[name], family[names[0]]
        have, want = np.diff(a.offsets), np.diff(b.offsets)
        differ = (have != want) & a.valid & b.valid
        if differ.any():
            i = int(np.flatnonzero(differ)[0])
            raise FormatError(f"{path}, entry {first + i}: {name} has {have[i]} values, but {names[0]} has {want[i]}")
