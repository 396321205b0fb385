"""Input of a network for each point: position, energy, layer, and additional features of the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmlflow.event import INPUTS, Event, FloatArray

FEATURES = ("x", "y", "z", "energy", "layer")
"""Columns of networks without tracks; additional features follow."""

TRACK_FEATURES = (*FEATURES, "kind", "distance", "momentum")
"""Columns if tracks are points too."""

_PLACES = {"position": (0, 1, 2), "energy": (3,), "layer": (4,)}


@dataclass(frozen=True)
class Inputs:
    """Names of a network's inputs for each hit, and the number of columns of each additional feature.

    Points always have the columns of `FEATURES`, because some heads use positions and sums are weighted with energies.
    Those that are not among the `names` are hidden from the encoder.

    Parameters
    ----------
    names : sequence of str
        Of ``"position"``, ``"energy"``, ``"layer"`` and the features.
    widths : mapping of str to int
        Columns of each feature that is none of these three.

    Raises
    ------
    ValueError
        No names, a name twice, or a feature without a width.
    """

    names: tuple[str, ...] = INPUTS
    widths: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"features are {self.names}, expected different names of which there is at least one")
        if set(self.own) != {name for name, _ in self.widths}:
            raise ValueError(f"features {self.own} have columns {dict(self.widths)}, expected some for each of them")

    @classmethod
    def of(cls, names: Sequence[str] | None, events: Sequence[Event]) -> Inputs:
        """The requested features, or by default all, with the widths of the first event.

        Raises
        ------
        ValueError
            Names a feature that the first event lacks, and those that it has.
        """
        first: Mapping[str, FloatArray] = events[0].features if len(events) else {}
        if isinstance(names, str):
            raise ValueError(f"features is {names!r}, expected a sequence of names such as ({names!r},)")
        if names is None:
            names = (*INPUTS, *(name for name, values in first.items() if not np.isnan(values).all()))
        names = tuple(name if name in first else name.removeprefix("hit_") for name in names)
        if len(events):
            events[0].inputs(names)  # names what is missing
        return cls(names, tuple((n, 1 if first[n].ndim == 1 else first[n].shape[1]) for n in names if n in first))

    @property
    def own(self) -> tuple[str, ...]:
        """The features that are none of position, energy and layer."""
        return tuple(name for name in self.names if name not in INPUTS)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Columns of `FEATURES` that the encoder does not see."""
        return tuple(place for name, places in _PLACES.items() if name not in self.names for place in places)

    @property
    def n_own(self) -> int:
        """Number of columns that features add."""
        return sum(width for _, width in self.widths)

    def columns(self, tracks: bool = False) -> tuple[str, ...]:
        """Names of all columns of the points; those of a feature with several are ``fit__0``, ``fit__1``, ..."""
        own = [(n,) if w == 1 else tuple(f"{n}__{i}" for i in range(w)) for n, w in self.widths]
        return (*(TRACK_FEATURES if tracks else FEATURES), *(name for group in own for name in group))

    def matrix(self, event: Event) -> FloatArray:
        """The features' columns of an event, shape (n_hits, n_own), float32.

        Raises
        ------
        ValueError
            Names the event and the feature that it lacks, or that has another number of columns.
        """
        if not self.widths:
            return np.empty((event.n_hits, 0), np.float32)
        for name, width in self.widths:
            have: Any = event.features[name].shape[1:] if name in event.features else ()
            if name in event.features and (have[0] if have else 1) != width:
                raise ValueError(
                    f"{event.title}: feature {name!r} has {have[0] if have else 1} columns, expected {width}"
                )
        return event.inputs([name for name, _ in self.widths])
