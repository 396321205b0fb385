"""The file format of shower libraries: an npz of about two bytes per cell.

Cells are sorted by shower, layer and distance from the shower axis, which is the straight line from the origin along
the particle's direction (slab detectors: straight on from the entry point). A cell's place is its rank among the cells
around the axis, nearest first; stored are the steps from rank to rank, and per shower and layer the number of cells.
Energies are levels on a logarithmic scale.

===========  =================================  =======================================================
array        shape and type                     content
===========  =================================  =======================================================
format       (3,) int                           version, largest distance from the axis [cells], layers
detector     () str                             name of the geometry
energy       (n_showers,) float32 [GeV]
direction    (n_showers, 3) float32             unit vectors
pdg_id       (n_showers,) int32
split        (n_showers,) uint8                 0 train, 1 validation, 2 tuning, 3 test
n_cells      (2, n_showers n_layers) uint8      cells per shower and layer; low bytes, high bytes
step         (3, n_cells) uint8                 steps of rank; the first of a layer is the rank itself
level_high   (n_cells,) uint8                   energy level / 16
level_low    (n_cells / 2,) uint8               energy level modulo 16, two to a byte, the earlier one in front
entry        (n_showers, 2) float32 [cm]        slab detectors only: where the particle came in; the axis begins there
===========  =================================  =======================================================
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import detector
from cmlflow.io.files import atomically

VERSION = 1
STEP = 0.01  # spacing of the stored logarithms of energy
FLOOR = 1e-3  # [MeV] energy of level 0
LEVELS = 4096


def write_showers(library: Any, path: str | Path) -> None:
    """Write a library; see `ShowerLibrary.save`."""
    axis_x, axis_y = _axis(library.direction, library.offset, library.layer, library.detector, library.entry)
    rx, ry = library.ix - axis_x, library.iy - axis_y
    reach = int(max(np.abs(rx).max(initial=0), np.abs(ry).max(initial=0)))
    spiral = _spiral(reach)
    rank = np.empty((2 * reach + 1, 2 * reach + 1), np.int64)
    rank[spiral[:, 0] + reach, spiral[:, 1] + reach] = np.arange(len(spiral))
    place = rank[rx + reach, ry + reach]
    shower = np.repeat(np.arange(len(library)), np.diff(library.offset))
    order = np.lexsort((place, library.layer, shower))
    n_layers = detector(library.detector).n_layers
    group = (shower * n_layers + library.layer - 1)[order]
    step = np.diff(place[order], prepend=0)
    first = np.diff(group, prepend=-1) != 0
    step[first] = place[order][first]
    level = np.rint(np.log(np.maximum(library.edep[order], FLOOR) / FLOOR) / STEP).astype(np.int64)
    if level.max(initial=0) >= LEVELS:
        raise ValueError(f"{path}: a cell has {library.edep.max():.3g} MeV, more than the format can hold")
    low = np.pad(level & 15, (0, len(level) % 2)).reshape(-1, 2)
    arrays = {
        "format": np.array([VERSION, reach, n_layers]),
        "detector": np.array(library.detector),
        "energy": library.energy.astype(np.float32),
        "direction": library.direction.astype(np.float32),
        "pdg_id": library.pdg_id.astype(np.int32),
        "split": library.split.astype(np.uint8),
        "n_cells": _planes(np.bincount(group, minlength=len(library) * n_layers), 2),
        "step": _planes(step, 3),
        "level_high": (level >> 4).astype(np.uint8),
        "level_low": (low[:, 0] << 4 | low[:, 1]).astype(np.uint8),
    }
    if library.entry is not None:
        arrays["entry"] = library.entry.astype(np.float32)
    with atomically(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # fixed time stamp: same showers, same bytes
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w", force_zip64=True) as f:
                np.lib.format.write_array(f, array, allow_pickle=False)


def read_showers(path: str | Path) -> dict[str, Any]:
    """The fields of a `ShowerLibrary` out of a file; see `ShowerLibrary.load`."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as f:
            a: dict[str, NDArray[Any]] = {name: f[name] for name in f.files}
        version, reach, n_layers = (int(v) for v in a["format"])
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as e:
        raise ValueError(f"{path}: not a shower library, or damaged ({e})") from e
    if version != VERSION:
        raise ValueError(f"{path}: shower library of version {version}, this cmlflow reads version {VERSION}")
    names = ("detector", "energy", "direction", "pdg_id", "split", "n_cells", "step", "level_high", "level_low")
    if missing := [name for name in names if name not in a]:
        raise ValueError(f"{path}: not a shower library, or damaged ({', '.join(missing)} missing)")
    n = len(a["energy"])
    count = _from_planes(a["n_cells"])
    start = np.concatenate([[0], np.cumsum(count)])
    running = np.concatenate([[0], np.cumsum(_from_planes(a["step"]))])
    place = running[1:] - np.repeat(running[start[:-1]], count)
    low = np.stack([a["level_low"] >> 4, a["level_low"] & 15], axis=1).reshape(-1)[: start[-1]]
    level = a["level_high"].astype(np.int64) << 4 | low
    scale = (FLOOR * np.exp(STEP * np.arange(LEVELS))).astype(np.float32)
    offset = start[::n_layers].copy()
    layer = np.repeat(np.tile(np.arange(1, n_layers + 1, dtype=np.uint8), n), count)
    relative = _spiral(reach).astype(np.int16)[place]
    axis_x, axis_y = _axis(a["direction"], offset, layer, str(a["detector"]), a.get("entry"))
    return {
        "energy": a["energy"],
        "direction": a["direction"],
        "pdg_id": a["pdg_id"].astype(np.int64),
        "split": a["split"],
        "offset": offset,
        "layer": layer,
        "ix": relative[:, 0] + axis_x,
        "iy": relative[:, 1] + axis_y,
        "edep": scale[level],
        "detector": str(a["detector"]),
        "entry": a.get("entry"),
    }


def _axis(
    direction: NDArray[np.float32],
    offset: NDArray[np.int64],
    layer: NDArray[np.uint8],
    name: str,
    entry: NDArray[np.float32] | None,
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Cell through which the axis of each cell's shower passes in that cell's layer."""
    d = detector(name)
    if entry is None:
        slope = direction[:, :2].astype(np.float64) / direction[:, 2:].astype(np.float64)
        table = np.floor(slope[:, :, None] * (d.z / d.cell_size) + 0.5).astype(np.int16)
    else:
        cell = np.floor(entry.astype(np.float64) / d.cell_size).astype(np.int16)
        table = np.repeat(cell[:, :, None], d.n_layers, axis=2)
    shower = np.repeat(np.arange(len(direction)), np.diff(offset))
    which = layer.astype(np.int64) - 1
    return table[shower, 0, which], table[shower, 1, which]


def _spiral(reach: int) -> NDArray[np.int64]:
    """Cells of a square of side 2 reach + 1 by distance from its centre, then x, then y; shape (n, 2)."""
    side = np.arange(-reach, reach + 1)
    x, y = (v.reshape(-1) for v in np.meshgrid(side, side, indexing="ij"))
    order = np.lexsort((y, x, x * x + y * y))
    return np.stack([x[order], y[order]], axis=1)


def _planes(values: NDArray[np.int64], n_bytes: int) -> NDArray[np.uint8]:
    """The bytes of non-negative numbers, lowest first, shape (n_bytes, n); grouped bytes compress well."""
    if values.max(initial=0) >= 256**n_bytes or values.min(initial=0) < 0:
        raise ValueError(f"shower library: a number outside 0..{256**n_bytes - 1} cannot be stored")
    return np.stack([values >> 8 * k & 255 for k in range(n_bytes)]).astype(np.uint8)


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    out = np.zeros(planes.shape[1], np.int64)
    for k, plane in enumerate(planes):
        out |= plane.astype(np.int64) << 8 * k
    return out
