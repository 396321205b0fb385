"""Tracks as MLTree files have them: parameters at the origin, and angles of the crossing with each layer."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from cmlflow.coordinates import direction_of, eta_phi, from_eta_phi, radius_of
from cmlflow.event import Event, IntArray, Tracks
from cmlflow.event.arrays import whole
from cmlflow.io.atlas import ATLAS_LAYERS, crossing_point
from cmlflow.io.root import Jagged

Array = NDArray[np.float64]

TRACKS = ("trackPt", "trackEta", "trackPhi")
NOT_CROSSED_BELOW = -100000.0
NOT_CROSSED = -999999.0
SURFACE_TOLERANCE = 0.01
"""Largest distance [cm] from its surface of a crossing written as two angles."""


def tracks_from(columns: dict[str, Jagged], i: int, layers: dict[str, tuple[int, bool]], turn: list[int]) -> Tracks:
    """The tracks of entry i.

    Parameters
    ----------
    columns : dict of Jagged
        The branches TRACKS, those of `layer_branches`, and trackTruthParticleIndex where it is known.
    i : int
    layers : dict
        From `layers_of`.
    turn : list of int
        Column of the file's axes for each axis of the event.

    Raises
    ------
    ValueError
        Names the branch and the first track that is not finite.
    """
    values: dict[str, Array] = {name: np.asarray(c[i], np.float64) for name, c in columns.items()}
    pt, eta, phi = (values[name] for name in TRACKS)
    for name in TRACKS:
        if not np.isfinite(values[name]).all():
            j = int(np.flatnonzero(~np.isfinite(values[name]))[0])
            raise ValueError(f"{name} of track {j} is {values[name][j]}, expected a finite value")
    with np.errstate(over="ignore", invalid="ignore"):
        momentum = pt * np.cosh(eta)
    direction = direction_of(eta, phi)
    n_layers = max((number for number, _ in layers.values()), default=0)
    crossing = np.full((len(pt), n_layers, 3), np.nan)
    entry = np.full((len(pt), 3), np.nan)
    for name, (number, own) in layers.items():
        e, f = values[f"trackEta_{name}"], values[f"trackPhi_{name}"]
        crossed = (e >= NOT_CROSSED_BELOW) & (f >= NOT_CROSSED_BELOW)
        e, f = e[crossed], f[crossed]
        point = from_eta_phi(e, f, values[f"trackRPerp_{name}"][crossed] / 10) if own else None
        point = crossing_point(e, f, ATLAS_LAYERS[name]) if point is None else point
        if number:
            crossing[crossed, number - 1] = point
        else:
            entry[crossed] = point
    entry = np.where(np.isfinite(entry), entry, _entries(crossing, eta, phi))
    particle = columns["trackTruthParticleIndex"][i] if "trackTruthParticleIndex" in columns else np.full(len(pt), -1)
    return Tracks(
        momentum.astype(np.float32),
        direction[:, turn].astype(np.float32),
        entry[:, turn].astype(np.float32),
        whole(particle, "trackTruthParticleIndex", "track"),
        crossing[:, :, turn].astype(np.float32) if n_layers else None,
    )


def layers_of(branches: list[str]) -> dict[str, tuple[int, bool]]:
    """Layer name -> its number (0 the entry point), and whether the file gives the radius of each crossing."""
    out = {}
    for branch in branches:
        name = branch.removeprefix("trackEta_")
        own = f"trackRPerp_{name}" in branches
        numbered = re.fullmatch(r"layer([1-9]\d*)", name)
        if name == branch or f"trackPhi_{name}" not in branches:
            continue
        if own and (numbered or name == "entry"):
            out[name] = (int(numbered.group(1)) if numbered else 0, True)
        elif name in ATLAS_LAYERS:
            out[name] = (ATLAS_LAYERS[name].number, own)
    return out


def _entries(crossing: Array, eta: Array, phi: Array) -> Array:
    """The crossing nearest to the origin; without any, where a straight line meets EMB1 or EME1."""
    straight = np.stack([crossing_point(eta, phi, ATLAS_LAYERS[name]) for name in ("EMB1", "EME1")], axis=1)
    far = np.full(crossing.shape[:2], np.inf)
    known = ~np.isnan(crossing[:, :, 0])
    far[known] = (crossing[known] ** 2).sum(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        inner = np.nanargmin((straight**2).sum(axis=2), axis=1) if len(eta) else np.zeros(0, np.int64)
    out = straight[np.arange(len(eta)), inner]
    some = known.any(axis=1)
    out[some] = crossing[some, np.argmin(far[some], axis=1)] if some.any() else out[some]
    return np.asarray(out)


def layer_branches(layers: dict[str, bool]) -> list[str]:
    """Branches of the crossings; the value says whether a layer has its own radii."""
    out = []
    for name, own in layers.items():
        out += [f"track{what}_{name}" for what in ("Eta", "Phi", "RPerp")[: 3 if own else 2]]
    return out


def track_columns(
    event: Event, beam: str, layers: dict[str, int], own: bool, where: str
) -> dict[str, Array | IntArray]:
    """Values of the branches of one event's tracks; the inverse of `tracks_from`.

    Parameters
    ----------
    event : Event
    beam : {"z", "x", "y"}
    layers : dict of str to int
        From `layer_names`.
    own : bool
        Whether the layers have branches of their own radii; the entry point has them always.
    where : str
        Name of the event in messages.

    Raises
    ------
    ValueError
        Names the track that lies on the beam axis, crosses a layer that is not written, or crosses off its surface.
    """
    t = event.tracks
    n = 0 if t is None else len(t)
    direction = np.zeros((0, 3)) if t is None else t.direction
    eta, phi = eta_phi(direction, beam)
    points = np.full((n, max(layers.values(), default=0) + 1, 3), np.nan)
    if t is not None:
        points[:, 0] = t.entry
        if t.crossing is not None:
            lost = ~np.isnan(t.crossing[:, :, 0])
            lost[:, [k - 1 for k in layers.values() if 0 < k <= lost.shape[1]]] = False
            if lost.any():
                j, layer = (int(v) for v in np.argwhere(lost)[0])
                raise ValueError(
                    f"{where}: track {j} crosses layer {layer + 1}, which is not one of those that the file has "
                    f"({', '.join(str(k) for k in layers.values() if k) or 'none'}), as the first events and the "
                    "detector tell"
                )
            m = min(t.crossing.shape[1], points.shape[1] - 1)
            points[:, 1 : m + 1] = t.crossing[:, :m]
    out: dict[str, Array | IntArray] = {
        "trackPt": np.zeros(0) if t is None else t.momentum / np.cosh(eta),
        "trackEta": eta,
        "trackPhi": phi,
        "trackTruthParticleIndex": np.zeros(0, np.int64) if t is None else t.particle,
    }
    place_eta, place_phi = eta_phi(points, beam)
    crossed = np.isfinite(points).all(axis=2)
    bad = ~np.isfinite(eta) | (crossed & ~np.isfinite(place_eta)).any(axis=1)
    if bad.any():
        raise ValueError(
            f"{where}: track {int(np.flatnonzero(bad)[0])} runs along or meets the beam axis {beam!r}, where eta is "
            "infinite; write with another beam="
        )
    radius = radius_of(points, beam) * 10
    for name, number in layers.items():
        there = crossed[:, number]
        columns = {"Eta": place_eta[:, number], "Phi": place_phi[:, number]}
        if own or name == "entry":
            columns["RPerp"] = radius[:, number]
        else:
            surface = crossing_point(columns["Eta"], columns["Phi"], ATLAS_LAYERS[name])
            off = there & ~(np.linalg.norm(surface - points[:, number], axis=1) < SURFACE_TOLERANCE)
            if off.any():
                j = int(np.flatnonzero(off)[0])
                raise ValueError(
                    f"{where}: track {j} crosses {name} at {points[j, number]}, which is not on the layer's surface "
                    f"({ATLAS_LAYERS[name].fixed} = {ATLAS_LAYERS[name].at} cm)"
                )
        out |= {f"track{what}_{name}": np.where(there, value, NOT_CROSSED) for what, value in columns.items()}
    return out


def layer_names(detector: str | None, n_layers: int) -> dict[str, int]:
    """Layer name -> its place among the points of a track, the first of which is the entry."""
    if detector != "atlas":
        return {"entry": 0} | {f"layer{k}": k for k in range(1, n_layers + 1)}
    return {"entry": 0} | {name: surface.number for name, surface in ATLAS_LAYERS.items()}
