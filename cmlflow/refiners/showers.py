"""The showers of one event, with the features of pairs of a hit and a shower."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from cmlflow.embedders.axes import true_axes
from cmlflow.event import Event
from cmlflow.nets.axes import RINGS, AxisFinder, projected

Array = np.ndarray[Any, Any]

CANDIDATES = 6  # showers a hit may go to: those with the nearest axes
NEIGHBOURS = (8, 32)  # in space, whose shares are looked at; the hit itself is one of them
SPACE = (1.0, 1.0, 0.6)  # units of x, y and z there: layers are 2.5 to 5 cm apart, cells 1 cm
CORE = 3.0  # radius around the axis in which the depths of a shower are looked at [cm]
SAME_AXIS = 2.5  # distance up to which a shower is that of a particle in training [cm]
NARROWEST = 0.1  # least width of a shower [cm]


class EventShowers:
    """One event with the axes of its showers: what all stages need.

    Parameters
    ----------
    event : Event
    finder : AxisFinder
    beta : ndarray of shape (n_hits,)
    labels : ndarray of shape (n_hits,), int64
        From a readout, 0..C-1 and -1; the axis of each cluster is the line through its hit of largest `beta`.

    Attributes
    ----------
    order : ndarray of shape (n_hits,), int64
        All arrays of hits are in this order. It depends only on the hits themselves, so equal distances are resolved
        independently of the order in the event.
    axes : ndarray of shape (C, 2) [cm]
        Mean place, weighted by `beta`, of the hits within 0.8 cm of that line, projected to z = 350 cm.
    """

    def __init__(self, event: Event, finder: AxisFinder, beta: Array, labels: Array) -> None:
        points = event.inputs()
        self.order = np.lexsort(points.T)
        points, beta, labels = points[self.order], beta[self.order], labels[self.order]
        x = torch.from_numpy(points)
        self.place, self.z, self.energy = projected(x), points[:, 2].astype(float), points[:, 3].astype(float)
        self.clustered = labels >= 0
        falling = np.argsort(-beta, kind="stable")
        falling = falling[self.clustered[falling]]
        peaks = falling[np.unique(labels[falling], return_index=True)[1]]
        tree = cKDTree(self.place)
        near = tree.query_ball_point(self.place[peaks], RINGS[0], return_sorted=True)
        self.axes = np.array([np.average(self.place[n], axis=0, weights=beta[n] + 1e-6) for n in near]).reshape(-1, 2)
        self.log_odds = np.log(beta[peaks] + 1e-6) - np.log1p(1e-6 - beta[peaks])
        around = finder.features(x, self.axes).double().numpy()[:, : len(RINGS) * len(finder.ends)]
        self.around = around.reshape(len(self.axes), len(RINGS), -1)
        self.depth = finder.depths(x)
        self.start = np.array([self._start(n) for n in tree.query_ball_point(self.axes, CORE, return_sorted=True)])
        candidates = np.arange(min(CANDIDATES, len(self.axes))) + 1
        self.distance, self.near = cKDTree(self.axes).query(self.place, k=candidates)
        space = points[:, :3] * np.array(SPACE)
        self.neighbours = cKDTree(space).query(space, k=np.arange(min(max(NEIGHBOURS), len(space))) + 1)[1]
        self.neighbours = self.neighbours.astype(np.int32)

    def _votes(self, given: Array) -> list[Array]:
        """The part that each candidate of a hit has of the energy of its nearest hits."""
        votes, energy = np.zeros(self.near.shape), np.zeros((len(self.near), 1))
        ends = [min(k, self.neighbours.shape[1]) for k in NEIGHBOURS]
        parts = {}
        for k, neighbour in enumerate(self.neighbours.T, 1):
            votes += given[neighbour[:, None], self.near]
            energy += self.energy[neighbour][:, None]
            if k in ends:
                parts[k] = votes / (energy + 1e-6)
        return [parts[k] for k in ends]

    def _start(self, core: list[int]) -> float:
        """The depth [cm] at which a tenth of the energy near the axis has been passed."""
        core = sorted(core, key=self.z.__getitem__)
        passed = np.cumsum(self.energy[core])
        return float(self.z[core[int(np.searchsorted(passed, 0.1 * passed[-1]))]])

    def owners(self, event: Event) -> Array:
        """The shower of every hit by its true particle, -1 where that has none within 2.5 cm of its axis."""
        ids, axes = true_axes(event)
        particle = event.particle_id[self.order]
        distance, shower = cKDTree(self.axes).query(axes)
        shower = np.where(distance < SAME_AXIS, shower, -1)
        return np.where(particle >= 0, shower[np.searchsorted(ids, particle)], -1)

    def features(self, shares: Array | None) -> Tensor:
        """Features of each hit with each of its candidates.

        Parameters
        ----------
        shares : ndarray of shape (n_hits, C), optional
            Share of every shower in every hit, from the stage before; None for the first stage.

        Returns
        -------
        Tensor of shape (n_hits, K, 11), or with `shares` (n_hits, K, 20), float32
            Distance d from the axis and log(1 + d), depth and log(1 + energy) of the hit, its depth behind the start
            of the shower, that start, the log odds of the axis, log(1 + energy) within 1.6 cm of it, and in the three
            inner rings at the depth of the hit. Then: log(1 + energy) of the shower, distance d from its centre and
            log(1 + d), its depth in front of the hit, its width, distance in widths, the part it has of the energy of
            the 8 and of the 32 nearest hits, and the log of its share of the hit. Hits of no cluster are not part of
            any shower.
        """
        near, d = self.near, self.distance
        z = self.z[:, None]
        columns = [
            d,
            np.log1p(d),
            np.broadcast_to(z, d.shape),
            np.broadcast_to(np.log1p(self.energy)[:, None], d.shape),
        ]
        columns += [z - self.start[near], self.start[near], self.log_odds[near]]
        columns.append(np.log1p(np.expm1(self.around[:, :2]).sum((1, 2)))[near])
        columns += [self.around[near, ring, self.depth[:, None]] for ring in range(3)]
        if shares is not None:
            given = shares * (self.energy * self.clustered)[:, None]
            total = given.sum(0)
            there, parts = total > 0, given / np.where(total > 0, total, 1)
            centre = np.where(there[:, None], parts.T @ self.place, self.axes)
            depth = np.where(there, parts.T @ self.z, self.start)
            square = parts.T @ (self.place**2).sum(1) - (centre**2).sum(1)  # mean of the distances from the centre
            width = np.sqrt(square.clip(NARROWEST**2))
            away = np.linalg.norm(self.place[:, None] - centre[near], axis=2)
            columns += [np.log1p(total)[near], away, np.log1p(away), depth[near] - z, width[near]]
            columns += [away / width[near], *self._votes(given)]
            columns.append(np.log(np.take_along_axis(shares, near, 1) + 1e-4))
        return torch.from_numpy(np.stack(columns, 2).astype(np.float32))
