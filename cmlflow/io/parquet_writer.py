"""Writing events to Parquet files: one row per event, in row groups (docs/reference/files.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import tee
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import INT32, whole
from cmlflow.io.candidates import candidate_columns, share_labels
from cmlflow.io.checksums import seal, sealed_writer
from cmlflow.io.files import PathLike, atomically, paired
from cmlflow.io.parquet_columns import (
    CLUSTER,
    CROSSINGS,
    DEPOSITS,
    FOUND,
    HITS,
    KIND,
    PARTICLES,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    TRACKS,
    is_list,
)
from cmlflow.io.provenance import PROVENANCE

EVENTS_PER_GROUP = 512
HITS_PER_GROUP = 1_000_000


def write_parquet(
    events: Iterable[Event],
    path: PathLike,
    labels: Iterable[ArrayLike] | None = None,
    events_per_group: int = EVENTS_PER_GROUP,
    hits_per_group: int = HITS_PER_GROUP,
    *,
    candidates: Iterable[Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write events, and optionally cluster labels, to a Parquet file; a failure leaves no file behind.

    Parameters
    ----------
    events : iterable of Event
        Consumed one by one; at most one row group is held in memory.
    path : path-like
        Appears only when it is complete.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels 0..C-1 of each event, -1 noise.
    events_per_group, hits_per_group : int
        A row group ends as soon as it has so many events, or so many hits.
    candidates : iterable, optional
        Particle-flow candidates of each event, objects with ``share``, ``pdg_id``, ``momentum`` and ``track`` as
        `cmlflow.association.Candidates`. The label of a hit is then the candidate with the largest share.
    provenance : mapping, optional
        What the file was made from, kept beside the events; see `cmlflow.io.provenance`.

    Raises
    ------
    OSError
        Names the file; for example on a full disk.
    ValueError, TypeError
        Labels and candidates are both given, they do not fit the events, or something is not an
        `Event`.
    """
    found: Iterator[Any] | None = None
    if candidates is not None:
        if labels is not None:
            raise ValueError("labels and candidates are both given, but labels follow from the candidates")
        shares, found = tee(candidates)
        labels = (share_labels(c) for c in shares)
    absent = ({} if labels is not None else CLUSTER) | ({} if found is not None else FOUND)
    with atomically(path) as temporary, open(temporary, "wb+") as sink:
        writer: Any = None
        groups = 0
        rows: list[dict[str, Any]] = []
        hits = 0

        def flush() -> None:
            nonlocal writer, rows, hits, groups
            if writer is None:  # the first events define the features
                writer = sealed_writer(sink, _schema(rows, absent))
            if rows:
                writer.write_table(_table(rows, writer.schema))
                groups += 1
            rows, hits = [], 0

        try:
            for i, event, row in paired(events, labels):
                rows.append(_row(event, row, i, None if found is None else next(found)))
                if writer is not None:
                    _check_features(event, writer.schema, i)
                hits += event.n_hits
                if len(rows) >= events_per_group or hits >= hits_per_group:
                    flush()
            if rows or writer is None:
                flush()
            if provenance is not None:
                writer.add_key_value_metadata({PROVENANCE: json.dumps(dict(provenance))})
            seal(writer, sink, groups)
        finally:
            if writer is not None:
                writer.is_open = False  # a failed writer must not try again when it is garbage-collected


def _schema(rows: Sequence[Mapping[str, Any]], absent: Mapping[str, str]) -> Any:
    kinds = {n: k for n, k in KIND.items() if n not in absent}
    types = {k: pa.field("element", pa.from_numpy_dtype(np.dtype(k)), nullable=False) for k in set(kinds.values())}
    fields = [pa.field(n, pa.list_(types[k])) for n, k in kinds.items()]
    scalars = [pa.field("number", pa.int64()), pa.field("detector", pa.string())]
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows:
        for name, values in row.items():
            if name in KIND or name in ("number", "detector") or values is None:
                continue
            if shapes.setdefault(name, values.shape[1:]) != values.shape[1:]:
                raise ValueError(
                    f"{name} has {values.shape[1:]} numbers per hit in one event, but {shapes[name]} in one before"
                )
    own = [
        pa.field(name, pa.list_(pa.field("element", _element(shape), nullable=False))) for name, shape in shapes.items()
    ]
    return pa.schema(scalars + fields + own, metadata={SCHEMA_KEY: str(SCHEMA_VERSION)})


def _element(shape: tuple[int, ...]) -> Any:
    return pa.list_(pa.field("element", pa.float32(), nullable=False), shape[0]) if shape else pa.float32()


def _check_features(event: Event, schema: Any, i: int) -> None:
    """Check that a later event has the features of the first ones."""
    for name, values in event.features.items():
        place = schema.get_field_index(f"hit_{name}")
        if place < 0 or schema.field(place).type.value_type != _element(values.shape[1:]):
            raise ValueError(
                f"event {i} has a feature {name!r} of shape {values.shape}, which the first events of the file do not "
                "have; expected the same features, or fewer, in all"
            )


def _row(event: Event, labels: IntArray | None, i: int, candidates: Any = None) -> dict[str, Any]:
    p, t = event.particles, event.tracks
    row: dict[str, Any] = dict(zip(HITS, [*event.position.T, event.energy], strict=True))
    row |= {"hit_layer": event.layer, "hit_particle": event.particle_id, "hit_cluster": labels}
    row["hit_purity"] = event.purity if event.has_purity else None
    d = event.deposits if event.has_deposits else None
    row |= dict(zip(DEPOSITS, [None] * 3 if d is None else [d.hit, d.particle, d.energy], strict=True))
    row |= dict(zip(PARTICLES, [p.pdg_id, p.energy, *p.direction.T], strict=True))
    track = [None] * 8 if t is None else [t.momentum, *t.direction.T, *t.entry.T, t.particle]
    row |= {"particle_number": p.number}
    row |= dict(zip(TRACKS, track, strict=True))
    crossing = None if t is None or t.crossing is None else t.crossing.reshape(-1, 3).T
    row |= dict(zip(CROSSINGS, [None] * 3 if crossing is None else crossing, strict=True))
    row |= {} if candidates is None else candidate_columns(candidates, event, i)
    row |= {f"hit_{name}": values for name, values in event.features.items()}
    for name, values in row.items():
        if values is not None and KIND.get(name) == "i4":
            whole(values, name, "entry", low=INT32[0], high=INT32[1], where=f"event {i}: ")
    return row | {"number": event.number, "detector": event.detector}


def _table(rows: list[dict[str, Any]], schema: Any) -> Any:
    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if not is_list(field.type):
            arrays.append(pa.array(values, field.type))
            continue
        missing = np.array([v is None for v in values])
        offsets = np.cumsum([0, *(0 if v is None else len(v) for v in values)], dtype=np.int32)
        element, kept = field.type.value_type, [v for v in values if v is not None]
        inner = element.value_type if is_list(element) else element
        flat = np.concatenate(kept).astype(inner.to_pandas_dtype()) if kept else np.zeros(0, inner.to_pandas_dtype())
        content = pa.array(flat.reshape(-1))
        if is_list(element):
            content = pa.FixedSizeListArray.from_arrays(content, type=element)
        mask = pa.array(missing) if missing.any() else None
        arrays.append(pa.ListArray.from_arrays(pa.array(offsets), content, type=field.type, mask=mask))
    return pa.Table.from_arrays(arrays, schema=schema)
