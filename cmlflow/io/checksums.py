"""Checksums of the files that cmlflow writes: a damaged byte is an error, never another number.

Parquet has checksums of its pages, but none of their headers and of the footer. A file of cmlflow has both, as one
entry of its footer: the CRC-32 of each column chunk, group by group, and of the footer itself, computed with zeros in
the place of that entry. Other readers skip it. ROOT files have a checksum of each event's values.
"""

from __future__ import annotations

import os
import weakref
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

KEY = "cmlflow_crc32"
_DIGITS = 8


def sealed_writer(sink: IO[bytes], schema: Any) -> Any:
    """A `pyarrow.parquet.ParquetWriter`, to be closed with `seal`."""
    return pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)


def seal(writer: Any, sink: IO[bytes], groups: int) -> None:
    """Close a writer and put the checksums into the footer of its file, which is open for reading too."""
    chunks = groups * sum(1 for _ in _leaves(writer.schema))
    blank = "0" * (_DIGITS * (chunks + 1))
    writer.add_key_value_metadata({KEY: blank})
    writer.close()
    sink.flush()
    number = sink.fileno()
    start, footer = _footer(number)
    sums = [_crc(os.pread(number, size, offset)) for _, offset, size in _chunks(_metadata(footer))]
    at = footer.find(blank.encode())
    if at < 0 or len(sums) != chunks:
        raise OSError(f"the file has {len(sums)} column chunks, expected {chunks}")
    filled = footer[:at] + "".join(sums).encode() + footer[at + _DIGITS * chunks :]
    sums.append(_crc(filled[:at] + blank.encode() + filled[at + len(blank) :] + b"".join(s.encode() for s in sums)))
    sink.seek(start + at)
    sink.write("".join(sums).encode())
    sink.seek(0, os.SEEK_END)


class SealedFile:
    """A Parquet file whose bytes are compared with their checksums, where it has any, before they are used.

    Raises
    ------
    OSError
        Where they differ.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._number)
        self._sums: list[str] | None = None
        self._check_footer()
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        except UnicodeDecodeError as err:
            raise OSError(f"a name is no UTF-8: {err}") from err
        self.metadata = self._file.metadata
        self.schema_arrow = self._file.schema_arrow

    def _check_footer(self) -> None:
        if os.fstat(self._number).st_size < 12:
            return  # no Parquet file: pyarrow says so
        _, footer = _footer(self._number)
        stamp = KEY.encode()
        at = footer.find(stamp)
        if at < 0:
            return
        metadata = _metadata(footer).metadata or {}
        value = metadata.get(stamp, b"")
        at = footer.find(value, at) if value else -1
        if at < 0:
            raise OSError("the checksums of its footer are damaged")
        own = value[-_DIGITS:].decode(errors="replace")
        blank = footer[:at] + b"0" * len(value) + footer[at + len(value) :]
        if _crc(blank + value[:-_DIGITS]) != own:
            raise OSError("its footer does not have the checksum that it was written with")
        self._sums = [value[i : i + _DIGITS].decode() for i in range(0, len(value) - _DIGITS, _DIGITS)]

    def read_row_group(self, group: int, columns: Collection[str]) -> Any:
        """Columns of a row group, after their bytes were checked."""
        if self._sums is not None:
            names = set(columns)
            for i, (name, offset, size) in enumerate(_chunks(self.metadata, group)):
                own = self._sums[group * self.metadata.num_columns + i]
                if name in names and _crc(os.pread(self._number, size, offset)) != own:
                    raise OSError(f"column {name} does not have the checksum that it was written with")
        return self._file.read_row_group(group, columns=list(columns))


def _footer(number: int) -> tuple[int, bytes]:
    """Where the footer of a file begins, and its bytes."""
    end = os.fstat(number).st_size - 8
    size = int.from_bytes(os.pread(number, 4, end), "little")
    if size > end:
        raise OSError("its footer is longer than the file")
    return end - size, os.pread(number, size, end - size)


def _metadata(footer: bytes) -> Any:
    tail = footer + len(footer).to_bytes(4, "little") + b"PAR1"
    return pq.read_metadata(pa.BufferReader(b"PAR1" + tail))


def _chunks(metadata: Any, group: int | None = None) -> Iterable[tuple[str, int, int]]:
    """Column, first byte and size of each column chunk, of one group or of all."""
    for g in range(metadata.num_row_groups) if group is None else (group,):
        rows = metadata.row_group(g)
        for c in range(metadata.num_columns):
            chunk = rows.column(c)
            places = [p for p in (chunk.dictionary_page_offset, chunk.data_page_offset) if p is not None]
            yield chunk.path_in_schema.partition(".")[0], min(places), chunk.total_compressed_size


def _leaves(schema: Any) -> Iterable[str]:
    return (field.name for field in schema)  # lists of lists of numbers have one leaf too


def _crc(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def event_checksum(columns: Mapping[str, NDArray[Any]]) -> int:
    """CRC-32 of the names, sizes and sums of the columns of one event in a ROOT file.

    The sums are those of the values' bits as whole numbers, modulo 2**64: any one damaged value changes them, and
    they take a tenth of the time of a CRC.

    Parameters
    ----------
    columns : dict of str to ndarray
        Numbers of 4 or 8 bytes, of either byte order.
    """
    parts = []
    for name in sorted(columns):
        values = np.asarray(columns[name])
        native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        bits = native.reshape(-1).view(f"u{native.dtype.itemsize}")
        parts.append(f"{name}:{native.dtype.kind}{native.dtype.itemsize}:{bits.size}:{int(bits.sum(dtype=np.uint64))}")
    return zlib.crc32("|".join(parts).encode())
