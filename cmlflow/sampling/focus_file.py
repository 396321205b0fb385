"""Focus samples in Parquet files: one row per sample, jagged, read by row group."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from cmlflow.io.files import FormatError, PathLike, atomically, existing, one_line
from cmlflow.sampling.focus import FocusSample

SCHEMA_KEY = b"cmlflow_focus_schema"
SCHEMA_VERSION = b"1"
SAMPLES_PER_GROUP = 512

_POINTS = {
    "kind": "i1",
    **{f"{a}_cm": "f4" for a in "xyz"},
    "distance_cm": "f4",
    "delta_r": "f4",
    "energy": "f4",
    "share": "f4",
    "deposit": "f4",
    "layer": "i4",
    "index": "i4",
}


def write_focus(samples: Iterable[FocusSample], path: PathLike) -> None:
    """Write focus samples, one by one, to a Parquet file; a failure leaves no file behind.

    Columns `event` and `track` (int64), and lists `point_kind` (int8), `point_x_cm`, `point_y_cm`, `point_z_cm`,
    `point_distance_cm`, `point_delta_r`, `point_energy`, `point_share`, `point_deposit` (float32), `point_layer`,
    `point_index` (int32), as in `FocusSample`.

    Raises
    ------
    OSError
        Names the file; for example on a full disk.
    TypeError
        Something else than a `FocusSample` is found.
    """
    import pyarrow as pa

    from cmlflow.io.checksums import seal, sealed_writer

    lists = [pa.field(f"point_{n}", pa.list_(pa.from_numpy_dtype(np.dtype(k)))) for n, k in _POINTS.items()]
    numbers = [pa.field(name, pa.int64()) for name in ("event", "track")]
    schema = pa.schema(numbers + lists, metadata={SCHEMA_KEY: SCHEMA_VERSION})

    def table(kept: list[FocusSample]) -> Any:
        offsets = pa.array(np.cumsum([0, *map(len, kept)]), pa.int32())
        columns = [pa.array([getattr(s, name) for s in kept], pa.int64()) for name in ("event", "track")]
        rows = [_row(s) for s in kept]
        for name, kind in _POINTS.items():
            flat = np.concatenate([row[name] for row in rows]).astype(kind)
            columns.append(pa.ListArray.from_arrays(offsets, pa.array(flat)))
        return pa.Table.from_arrays(columns, names=schema.names).cast(schema)

    with atomically(path) as temporary, open(temporary, "wb+") as sink:
        writer = sealed_writer(sink, schema)
        groups = 0
        try:
            kept: list[FocusSample] = []
            for i, sample in enumerate(samples):
                if not isinstance(sample, FocusSample):
                    raise TypeError(f"entry {i} of the samples is {type(sample).__name__}, not a FocusSample")
                kept.append(sample)
                if len(kept) >= SAMPLES_PER_GROUP:
                    writer.write_table(table(kept))
                    groups += 1
                    kept = []
            if kept:
                writer.write_table(table(kept))
                groups += 1
            seal(writer, sink, groups)
        finally:
            writer.is_open = False  # a failed writer must not try again when it is garbage-collected


class FocusFile(Sequence[FocusSample]):
    """Focus samples of a Parquet file; row groups are read when asked for, and the last one is kept.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    event : ndarray of shape (n_samples,), int64
        Event of each sample, for splits with `cmlflow.sampling.hashed_part`.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        It is no Parquet file, or was not written by `write_focus`.
    """

    def __init__(self, path: PathLike) -> None:
        import pyarrow as pa

        from cmlflow.io.checksums import SealedFile

        self.path = existing(path)
        self._lock = threading.Lock()
        try:
            self._file = SealedFile(self.path)
            metadata = self._file.schema_arrow.metadata or {}
            if metadata.get(SCHEMA_KEY) != SCHEMA_VERSION:
                raise FormatError(f"{self.path} holds no focus samples of schema {SCHEMA_VERSION.decode()}")
            groups = range(self._file.metadata.num_row_groups)
            events = [self._file.read_row_group(g, ["event"]).column("event").to_numpy() for g in groups]
            self.event = np.concatenate([np.zeros(0, np.int64), *events])
        except (pa.ArrowException, OSError) as err:
            raise FormatError(f"{self.path} is no Parquet file, or is damaged: {one_line(err)}") from err
        footer = self._file.metadata
        self._edges = np.cumsum([0, *(footer.row_group(g).num_rows for g in range(footer.num_row_groups))])
        self._group: tuple[int, dict[str, Any]] | None = None

    def __len__(self) -> int:
        return int(self._edges[-1])

    @overload
    def __getitem__(self, item: int) -> FocusSample: ...
    @overload
    def __getitem__(self, item: slice) -> list[FocusSample]: ...

    def __getitem__(self, item: int | slice) -> FocusSample | list[FocusSample]:
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(len(self)))]
        if not -len(self) <= item < len(self):
            raise IndexError(f"sample {item} asked for, but {self.path} has {len(self)}")
        i = item % len(self)
        group = int(np.searchsorted(self._edges, i, side="right")) - 1
        with self._lock:
            columns = self._columns(group)
        i -= int(self._edges[group])
        a, b = columns["offsets"][i : i + 2]
        p = {name: columns[name][a:b].copy() for name in _POINTS}
        return FocusSample(
            int(columns["event"][i]),
            int(columns["track"][i]),
            p["kind"],
            np.stack([p[f"{axis}_cm"] for axis in "xyz"], axis=1),
            p["distance_cm"],
            p["delta_r"],
            p["energy"],
            p["share"],
            p["deposit"],
            p["layer"].astype(np.int64),
            p["index"].astype(np.int64),
        )

    def __iter__(self) -> Iterator[FocusSample]:
        for i in range(len(self)):
            yield self[i]

    def __repr__(self) -> str:
        return f"<FocusFile: {len(self)} samples in {self.path.name}>"

    def _columns(self, group: int) -> dict[str, Any]:
        if self._group is None or self._group[0] != group:
            names = ["event", "track", *(f"point_{name}" for name in _POINTS)]
            try:
                table = self._file.read_row_group(group, names)
            except OSError as err:
                raise FormatError(f"{self.path}: row group {group} is damaged: {one_line(err)}") from err
            columns = {name: table.column(name).to_numpy() for name in ("event", "track")}
            for name in _POINTS:
                lists = table.column(f"point_{name}").combine_chunks()
                columns[name] = lists.flatten().to_numpy()
            columns["offsets"] = lists.offsets.to_numpy() - lists.offsets[0].as_py()
            self._group = group, columns
        return self._group[1]


def _row(sample: FocusSample) -> dict[str, Any]:
    x, y, z = sample.position.T
    points = {"x_cm": x, "y_cm": y, "z_cm": z, "distance_cm": sample.distance}
    same = ("kind", "delta_r", "energy", "share", "deposit", "layer", "index")
    return points | {name: getattr(sample, name) for name in same}
