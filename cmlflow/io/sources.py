"""Tables of any layout in files of several kinds: their columns, and rows of them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from cmlflow.io.files import FormatError, one_line
from cmlflow.io.root import guarded, open_root


class Source(Protocol):
    """A table of a file.

    Attributes
    ----------
    tree : str
        Name of the table in its file; empty where the file is one table.
    columns : dict of str to str
        Type of each column by its name.
    """

    tree: str
    columns: dict[str, str]

    def length(self, name: str) -> int:
        """Number of rows of a column."""
        ...

    def read(self, name: str, start: int, stop: int) -> Any:
        """Rows start..stop-1 of a column, an awkward array."""
        ...


class RootSource:
    """A TTree or an RNTuple."""

    def __init__(self, path: Path, tree: str | None) -> None:
        self._path = path
        file = open_root(path)
        self.tree = _chosen(path, tree, root_trees(file), "tree")
        self._tree = guarded(path, f"tree {self.tree}", lambda: file[self.tree])
        names = guarded(path, f"tree {self.tree}", lambda: self._tree.keys())
        kinds = {name: str(getattr(self._tree[name], "typename", "")) for name in names}
        self.columns = {name.rpartition("/")[2]: kind for name, kind in kinds.items()}

    def length(self, name: str) -> int:
        return int(self._tree.num_entries)

    def read(self, name: str, start: int, stop: int) -> Any:
        what = f"branch {name}, entries {start}..{stop - 1}"
        return guarded(self._path, what, partial(self._tree[name].array, entry_start=start, entry_stop=stop))


class ParquetSource:
    """A Parquet file."""

    tree = ""

    def __init__(self, path: Path, tree: str | None) -> None:
        _chosen(path, tree, [""], "table")
        self._path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as err:
            raise FormatError(f"{path} is no Parquet file, or is cut short: {one_line(err)}") from err
        self.columns = dict(_arrow_columns(self._file.schema_arrow))
        groups = self._file.metadata
        self._edges = np.cumsum([0, *(groups.row_group(g).num_rows for g in range(groups.num_row_groups))])

    def length(self, name: str) -> int:
        return int(self._edges[-1])

    def read(self, name: str, start: int, stop: int) -> Any:
        head, *inner = _path_of(name, self._file.schema_arrow.names)
        groups = np.flatnonzero((self._edges[:-1] < stop) & (self._edges[1:] > start)).tolist()
        try:
            column = self._file.read_row_groups(groups, columns=[head]).column(0)
        except (pa.ArrowException, OSError, ValueError) as err:
            raise FormatError(f"{self._path}: column {name} cannot be read: {one_line(err)}") from err
        first = int(self._edges[groups[0]]) if groups else 0
        return _from_arrow(column.slice(start - first, stop - start), inner)


class CsvSource:
    """A text table with a line of names, gzipped or not; all of it is read at once."""

    tree = ""

    def __init__(self, path: Path, tree: str | None) -> None:
        _chosen(path, tree, [""], "table")
        try:
            with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
                line = file.readline()
            mark = max(",;\t", key=line.count)
            self._table = pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=mark))
        except (pa.ArrowException, UnicodeDecodeError, gzip.BadGzipFile) as err:
            raise FormatError(f"{path} is no table of text: {one_line(err)}") from err
        stripped = [name.strip().lstrip("#").strip() for name in self._table.column_names]
        self._table = self._table.rename_columns(stripped)
        self.columns = {field.name: str(field.type) for field in self._table.schema}

    def length(self, name: str) -> int:
        return int(self._table.num_rows)

    def read(self, name: str, start: int, stop: int) -> Any:
        return _from_arrow(self._table.column(name).slice(start, stop - start), [])


class Hdf5Source:
    """A group of an HDF5 file: its datasets, or the fields of one dataset of records, are the columns."""

    def __init__(self, path: Path, tree: str | None) -> None:
        try:
            import h5py
        except ModuleNotFoundError as err:
            raise ModuleNotFoundError("h5py, which reads HDF5 (pip install 'cmlflow[hdf5]')", name="h5py") from err
        try:
            self._file = h5py.File(path, "r")
        except OSError as err:
            raise FormatError(f"{path} is no HDF5 file, or is cut short: {one_line(err)}") from err
        found: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape:
                found[name] = item

        self._file.visititems(visit)
        if tree is None and len(found) == 1 and next(iter(found.values())).dtype.names:
            tree = next(iter(found))
        groups = {name.rpartition("/")[0] for name in found}
        if tree is None and len(groups) == 1:
            tree = groups.pop()
        self.tree = "" if tree is None else tree.strip("/")
        self._data: dict[str, tuple[Any, str | None]] = {}
        for name, item in found.items():
            if self.tree and name != self.tree and not name.startswith(f"{self.tree}/"):
                continue
            short = name.removeprefix(self.tree).strip("/")
            if item.dtype.names:
                for field in item.dtype.names:
                    self._data[f"{short}.{field}" if short else field] = (item, field)
            else:
                self._data[short] = (item, None)
        if not self._data:
            raise FormatError(f"{path} has no datasets in {tree or '/'}; it has {', '.join(found) or 'none'}")
        self.columns = {
            name: f"{item.dtype[field] if field else item.dtype} {list(item.shape)}"
            for name, (item, field) in self._data.items()
        }

    def length(self, name: str) -> int:
        return int(self._data[name][0].shape[0])

    def read(self, name: str, start: int, stop: int) -> Any:
        item, field = self._data[name]
        rows = item[start:stop]
        values = rows[field] if field else rows
        if values.dtype == object:  # lists of any length
            counts = [len(row) for row in values]
            return ak.unflatten(np.concatenate([np.zeros(0, np.int64), *values]) if sum(counts) else [], counts)
        return ak.from_numpy(np.ascontiguousarray(values), regulararray=True)


def open_source(path: Path, tree: str | None) -> Source:
    """The table of a file, by the file's first bytes and its name.

    Raises
    ------
    FormatError
        It is none of ROOT, Parquet, HDF5 and CSV, or has no such table.
    """
    source: Source = SOURCES[source_kind(path)](path, tree)
    return source


SOURCES: dict[str, Any] = {"root": RootSource, "parquet": ParquetSource, "hdf5": Hdf5Source, "csv": CsvSource}


def source_kind(path: Path) -> str:
    """What kind of table a file is: "root", "parquet", "hdf5" or "csv"."""
    with open(path, "rb") as file:
        beginning = file.read(8)
    for mark, kind in ((b"root", "root"), (b"PAR1", "parquet"), (b"\x89HDF\r\n\x1a\n", "hdf5")):
        if beginning.startswith(mark):
            return kind
    if {".csv", ".tsv", ".txt"} & set(path.suffixes):
        return "csv"
    raise FormatError(f"{path} is no table that can be read: expected a ROOT, Parquet, HDF5 or CSV file")


def root_trees(file: Any) -> list[str]:
    """Names of the TTrees and RNTuples of an open ROOT file, in folders too."""
    kinds = file.classnames(recursive=True)
    return list(dict.fromkeys(key.split(";")[0] for key, kind in kinds.items() if "TTree" in kind or "RNTuple" in kind))


def _chosen(path: Path, tree: str | None, there: Iterable[str], what: str) -> str:
    names = list(there)
    if tree is not None and tree not in names:
        raise FormatError(
            f"{path} has no {what} {tree!r}; it has {', '.join(filter(None, names)) or 'one table alone'}"
        )
    if tree is None and len(names) != 1:
        raise FormatError(f"{path} has the {what}s {', '.join(names) or '(none)'}; say which with tree=")
    return names[0] if tree is None else tree


def _arrow_columns(schema: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    for i in range(len(schema) if not prefix else schema.num_fields):
        field = schema.field(i)
        yield prefix + field.name, str(field.type)
        inner = field.type
        while hasattr(inner, "value_type"):
            inner = inner.value_type
        if pa.types.is_struct(inner):
            yield from _arrow_columns(inner, f"{prefix}{field.name}.")


def _path_of(name: str, there: Iterable[str]) -> list[str]:
    if name in there:
        return [name]
    head, _, inner = name.partition(".")
    return [head, *inner.split(".")]


def _from_arrow(column: Any, inner: list[str]) -> Any:
    kind = column.type
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        column = column.cast(pa.large_list(kind.value_type))
    array = ak.from_arrow(column)
    for field in inner:
        array = array[field]
    return array
