"""The same events in two detectors: what coarse cells measure, and what is in the fine cells behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cmlflow.event import Event
from cmlflow.simulation.flow import SlabSample
from cmlflow.simulation.guns import SimulatedEvents, sample
from cmlflow.simulation.library import ShowerLibrary

COARSE, FINE = "slab-lg-sum", "slab-hg"


class EventPairs(Sequence[tuple[Event, Event]]):
    """Events of a slab sample in coarse cells, with noise and selection, and in fine cells without either.

    Particles, showers and sampling of both are the same; only the coarse cells have noise.

    Parameters
    ----------
    name : str
        Of a slab sample.
    n_events : int
    seed : int, default=0
    coarse, fine : str
        Detectors.
    library : ShowerLibrary or path, optional
        Showers in place of the packaged ones.

    Raises
    ------
    ValueError
        A sample of another detector.
    """

    def __init__(
        self,
        name: str,
        n_events: int,
        seed: int = 0,
        coarse: str = COARSE,
        fine: str = FINE,
        library: ShowerLibrary | str | Path | None = None,
    ) -> None:
        of = sample(name)
        if not isinstance(of, SlabSample):
            raise ValueError(f"sample {name}: is of {of.detector}, expected a sample of the slab detector")
        self.name = name
        self.coarse = SimulatedEvents(replace(of, detector=coarse), n_events, seed, library=library)
        self.fine = SimulatedEvents(replace(of, detector=fine, selection=None), n_events, seed, library=library)

    def __len__(self) -> int:
        return len(self.coarse)

    def __getitem__(self, item: int) -> tuple[Event, Event]:  # type: ignore[override]
        return self.coarse[item], self.fine[item]

    def __iter__(self) -> Iterator[tuple[Event, Event]]:
        yield from zip(self.coarse, self.fine, strict=True)
