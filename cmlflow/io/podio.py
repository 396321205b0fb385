"""Metadata of podio's ROOT files: kinds of collections, numbers, relations, encodings of cell numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from cmlflow.event import IntArray

_TYPE = re.compile(r"vector<edm4hep::(\w+)Data>")


def collections_of(tree: Any, kind: str, told: Mapping[str, str] | None = None) -> list[str]:
    """Names of the collections of one EDM4hep type, such as "SimCalorimeterHit", in the order of the file.

    `told` has the types that `collection_types` found, for files whose fields do not tell.
    """
    out = []
    for branch in top_level(tree):
        match = _TYPE.fullmatch(str(branch.typename).replace("std::", ""))
        own = match.group(1) if match else (told or {}).get(str(branch.name))
        if own == kind:
            out.append(str(branch.name))
    return out


def collection_types(file: Any) -> dict[str, str]:
    """EDM4hep type of each collection of the events, such as "SimCalorimeterHit", where podio's metadata tell it."""
    found = _metadata(file, (("events___CollectionTypeInfo", "name", "dataType"),))
    return {n: t.removeprefix("edm4hep::").removesuffix("Collection") for n, t in found if t.startswith("edm4hep::")}


def _metadata(file: Any, tables: Sequence[tuple[str, str, str]]) -> list[tuple[Any, Any]]:
    """Two columns of the first of these tables of podio's metadata that is there."""
    for place in ("podio_metadata", "metadata"):
        if place not in file:
            continue
        tree = file[place]
        for table, *names in tables:
            for before in (f"{table}/", f"{table}.", f"{table}/{table}."):
                if all(before + name in tree for name in names):
                    first, second = (ak.to_list(tree[before + name].array()[0]) for name in names)
                    return list(zip(first, second, strict=False))
    return []


def top_level(tree: Any) -> list[Any]:
    """The branches of a TTree or the fields of an RNTuple, without what is inside them."""
    return list(tree.branches if hasattr(tree, "branches") else tree.fields)


def leaf_of(tree: Any, collection: str, member: str) -> str:
    """Name of a member of a collection: `C/C.member` in a TTree, `C.member` in an RNTuple."""
    return f"{collection}/{collection}.{member}" if hasattr(tree, "branches") else f"{collection}.{member}"


def relation(branches: Collection[str], collection: str, member: str, number: int) -> str | None:
    """Branch that holds a relation: `_collection_member` since podio 0.17, `collection#number` before."""
    return next((b for b in (f"_{collection}_{member}", f"{collection}#{number}") if b in branches), None)


def collection_ids(file: Any) -> dict[str, int]:
    """Number of each collection of the events, by which relations name it; empty where the file does not tell."""
    tables = [("events___CollectionTypeInfo", "name", "collectionID")]
    tables += [(table, "m_names", "m_collectionIDs") for table in ("events___idTable", "CollectionIDs")]
    return {str(name): int(number) for name, number in _metadata(file, tables)}


def encodings(file: Any, ids: dict[str, int]) -> dict[str, str]:
    """Encoding of the cell numbers of each collection, such as "system:5,side:-2,layer:9"; those the file tells."""
    if "metadata" in file and "GPStringKeys" in file["metadata"]:
        tree = file["metadata"]
        keys, values = (ak.to_list(tree[f"GPString{part}"].array()[0]) for part in ("Keys", "Values"))
        pairs = ((str(key).partition("__"), value) for key, value in zip(keys, values, strict=True))
        return {name: str(value[0]) for (name, _, what), value in pairs if what.startswith("CellIDEncod") and value}
    if "col_metadata" in file:
        names = {number: name for name, number in ids.items()}
        try:
            found = _memberwise_encodings(file["col_metadata"])
        except (IndexError, ValueError, UnicodeDecodeError):  # another layout of these bytes: unknown
            return {}
        return {names[number]: text for number, text in found.items() if number in names}
    return {}


def _memberwise_encodings(tree: Any) -> dict[int, str]:
    """The old layout keeps maps in ROOT's member-wise streaming, which uproot does not interpret.

    For each collection: the number of entries; where there are any, a header (byte count, version), the keys, another
    header, and for each key a vector of strings. Integers are big-endian, strings start with one byte of length.
    """
    ids = np.frombuffer(bytes(tree["colMD/colMD.first"].basket(0).data), ">i4").tolist()
    data = bytes(tree["colMD/colMD.second._stringMap"].basket(0).data)
    at = 12  # byte count, version, version and checksum of the map

    def integer() -> int:
        nonlocal at
        at += 4
        if at > len(data):
            raise IndexError("the metadata ends early")
        return int.from_bytes(data[at - 4 : at], "big")

    def text() -> str:
        nonlocal at
        length = data[at]
        at += 1
        if length == 255:
            length = integer()
        at += length
        return data[at - length : at].decode()

    out: dict[int, str] = {}
    for number in ids:
        entries = integer()
        if not entries:
            continue
        at += 6
        keys = [text() for _ in range(entries)]
        at += 6
        values = [[text() for _ in range(integer())] for _ in range(entries)]
        for key, value in zip(keys, values, strict=True):
            if key.startswith("CellIDEncod") and value:
                out[number] = value[0]
    return out


def decode(cell_id: NDArray[Any], encoding: str, field: str) -> IntArray:
    """One field of DD4hep's bit-packed cell numbers.

    Parameters
    ----------
    cell_id : ndarray of shape (n_hits,), uint64
    encoding : str
        Fields as `name:width` or `name:offset:width`, separated by commas; a negative width has a sign.
    field : str

    Returns
    -------
    ndarray of shape (n_hits,), int64
        Zeros where the encoding has no such field.

    Raises
    ------
    ValueError
        The encoding cannot be understood.
    """
    offset = 0
    for part in encoding.split(","):
        name, *numbers = part.strip().split(":")
        if len(numbers) not in (1, 2) or not all(re.fullmatch(r"-?\d+", n) for n in numbers):
            raise ValueError(f"encoding {encoding!r}: {part!r} is neither name:width nor name:offset:width")
        start, width = (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (offset, int(numbers[0]))
        offset = start + abs(width)
        if not abs(width) > 0 or offset > 64:
            raise ValueError(f"encoding {encoding!r}: {part!r} does not fit 64 bits")
        if name == field:
            bits = np.asarray(cell_id, np.uint64) >> np.uint64(start)
            value = (bits & np.uint64(2 ** abs(width) - 1)).astype(np.int64)
            return np.where(value >= 1 << (abs(width) - 1), value - (1 << abs(width)), value) if width < 0 else value
    return np.zeros(len(cell_id), np.int64)
