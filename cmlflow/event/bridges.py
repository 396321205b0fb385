"""Events as arrays of awkward and as data of torch-geometric, and back; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event.event import Event
from cmlflow.event.records import Deposits, Particles, Tracks

_DEPOSITS = ("deposit_hit", "deposit_particle", "deposit_energy")
_PARTICLES = ("particle_pdg_id", "particle_energy_gev", *(f"particle_direction_{a}" for a in "xyz"))
_TRACKS = (
    "track_momentum_gev",
    *(f"track_direction_{a}" for a in "xyz"),
    *(f"track_{a}_cm" for a in "xyz"),
    "track_particle",
)
_CROSSINGS = tuple(f"crossing_{a}_cm" for a in "xyz")
_HITS = ("hit_x_cm", "hit_y_cm", "hit_z_cm", "hit_energy", "hit_layer", "hit_particle")
_OWN = (*_HITS, "hit_purity", "hit_cluster")


def columns_of(event: Event) -> dict[str, NDArray[Any] | None]:
    """The arrays of an event by the names that they have in Parquet files (docs/file-format.md); None what is absent.

    Features are ``hit_<name>``.
    """
    p, t = event.particles, event.tracks
    out: dict[str, NDArray[Any] | None] = dict(zip(_HITS[:3], event.position.T, strict=True))
    out |= {"hit_energy": event.energy, "hit_layer": event.layer, "hit_particle": event.particle_id}
    out["hit_purity"] = event.purity if event.has_purity else None
    d = event.deposits
    deposits: list[Any] = [d.hit, d.particle, d.energy] if event.has_deposits else [None] * 3
    out |= dict(zip(_DEPOSITS, deposits, strict=True))
    out |= dict(zip(_PARTICLES, [p.pdg_id, p.energy, *p.direction.T], strict=True)) | {"particle_number": p.number}
    tracks: list[Any] = [None] * 8 if t is None else [t.momentum, *t.direction.T, *t.entry.T, t.particle]
    out |= dict(zip(_TRACKS, tracks, strict=True))
    known = t is not None and t.crossing is not None
    crossing = t.crossing.reshape(-1, 3).T if known and t is not None and t.crossing is not None else [None] * 3
    out |= dict(zip(_CROSSINGS, crossing, strict=True))
    return out | {f"hit_{name}": values for name, values in event.features.items()}


def event_of(columns: Mapping[str, Any], detector: str | None = None, number: int | None = None) -> Event:
    """An event from the arrays of `columns_of`; only positions and energies are needed.

    Raises
    ------
    ValueError
        Names a column that is missing, or what does not fit an event.
    """
    c = {name: values for name, values in columns.items() if values is not None}
    for family in (_HITS[:4], _DEPOSITS, _PARTICLES, _TRACKS, _CROSSINGS):
        missing = [name for name in family if name not in c]
        if missing and (family == _HITS[:4] or len(missing) < len(family)):
            raise ValueError(f"{', '.join(missing)} missing, expected {', '.join(family)}")
    tracks = None
    if _TRACKS[0] in c:
        columns_ = [np.asarray(c[name]) for name in _TRACKS]
        crossing = None
        if _CROSSINGS[0] in c:
            points = np.stack([np.asarray(c[name]) for name in _CROSSINGS], axis=1)
            crossing = points.reshape(len(columns_[0]), len(points) // max(len(columns_[0]), 1), 3)
        where = np.stack(columns_[1:4], axis=1), np.stack(columns_[4:7], axis=1)
        tracks = Tracks(columns_[0], *where, columns_[7], crossing)
    particles = None
    if _PARTICLES[0] in c:
        direction = np.stack([np.asarray(c[name]) for name in _PARTICLES[2:]], axis=1)
        particles = Particles(c[_PARTICLES[0]], c[_PARTICLES[1]], direction, c.get("particle_number"))
    return Event(
        np.stack([np.asarray(c[name]) for name in _HITS[:3]], axis=1),
        c["hit_energy"],
        c.get("hit_layer"),
        c.get("hit_particle"),
        features={n.removeprefix("hit_"): v for n, v in c.items() if n.startswith("hit_") and n not in _OWN},
        deposits=Deposits(*(c[name] for name in _DEPOSITS)) if _DEPOSITS[0] in c else None,
        particles=particles,
        tracks=tracks,
        purity=c.get("hit_purity"),
        detector=detector,
        number=number,
    )


def to_awkward(events: Iterable[Event]) -> Any:
    """Events as one awkward array of records, see `EventStore.to_awkward`."""
    import awkward as ak

    rows = [(columns_of(event), event) for event in events]
    names = list(dict.fromkeys(name for columns, _ in rows for name in columns))
    fields: dict[str, Any] = {
        "number": ak.Array([event.number for _, event in rows]),
        "detector": ak.Array([event.detector for _, event in rows]),
    }
    for name in names:
        values = [columns.get(name) for columns, _ in rows]
        kept = [v for v in values if v is not None]
        if not kept:
            continue
        flat = ak.from_numpy(np.ascontiguousarray(np.concatenate(kept)), regulararray=True)
        lists = ak.unflatten(flat, [0 if v is None else len(v) for v in values])
        fields[name] = lists if len(kept) == len(values) else ak.mask(lists, [v is not None for v in values])
    return ak.zip(fields, depth_limit=1)


def from_awkward(record: Any) -> Event:
    """An event from one record of `to_awkward`, or of `awkward.from_parquet` of a file of cmlflow's."""
    import awkward as ak

    def array(name: str) -> NDArray[Any] | None:
        value = record[name]
        return None if value is None else np.asarray(ak.to_numpy(value))

    names = [name for name in record.fields if name not in ("number", "detector")]
    known = {name: record[name] for name in ("number", "detector") if name in record.fields}
    return event_of({name: array(name) for name in names}, known.get("detector"), known.get("number"))


class AwkwardEvents(Sequence[Event]):
    """Events of an awkward array, made when they are asked for."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return AwkwardEvents(self._array[item])
        try:
            return from_awkward(self._array[item])
        except ValueError as err:
            raise ValueError(f"entry {item}: {err}") from err


def to_pyg(event: Event) -> Any:
    """An event as data of torch-geometric, see `Event.to_pyg`."""
    import torch
    from torch_geometric.data import Data

    tensors = {name: torch.from_numpy(np.array(v)) for name, v in columns_of(event).items() if v is not None}
    data = Data(
        x=torch.from_numpy(event.inputs(("position", "energy", "layer", *event.features))),
        pos=torch.from_numpy(event.position.copy()),
        y=torch.from_numpy(event.particle_id.copy()),
        **tensors,
    )
    data.number, data.detector = event.number, event.detector
    return data


def from_pyg(data: Any) -> Event:
    """An event from the data of `to_pyg`, or any with ``pos`` and ``hit_energy``."""
    begins = ("hit_", "deposit_", "particle_", "track_", "crossing_")
    given = {name: value for name, value in data.to_dict().items() if name.startswith(begins)}
    columns = {name: value.detach().cpu().numpy() for name, value in given.items() if hasattr(value, "detach")}
    if "pos" in data:
        position = data.pos.detach().cpu().numpy()
        columns = dict(zip(_HITS[:3], np.pad(position, ((0, 0), (0, 3 - position.shape[1]))).T, strict=True)) | columns
    if "y" in data and data.y is not None:
        columns.setdefault("hit_particle", data.y.detach().cpu().numpy())
    number, detector = (data.to_dict().get(name) for name in ("number", "detector"))
    return event_of(columns, detector, None if number is None else int(number))
