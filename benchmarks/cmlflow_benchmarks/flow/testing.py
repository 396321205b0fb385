"""From what systems make of the test events of a sample to figures with intervals, and pairs of systems compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event
from cmlflow.metrics import (
    SystemFigures,
    compare_association,
    compare_candidates,
    compare_jets,
    compare_neutral,
    neutral_scores,
    neutral_shares,
    track_shares,
)
from cmlflow.metrics.neutral import predicted_neutral
from cmlflow.plots.reliability import reliability
from cmlflow_benchmarks.flow.plan import (
    ALWAYS_1,
    GUNS,
    HARD,
    JETS,
    NEAREST,
    PARAMETRIC,
    RANDOM,
    TRUTH,
    WITHIN,
    Size,
    pairs_of,
)
from cmlflow_benchmarks.flow.systems import Systems, hit_counts

Array = NDArray[np.float64]

TABLES = ("association", "association_soft", "neutral", "candidates", "jets")
NEUTRAL_BINS = (0.5, 2.0, 5.0, 10.0, 20.0, 40.0)
"""Edges of the bins of true neutral energy in jets [GeV in the hits]."""
ROWS = ("residuals", "reliability")
"""What figures are drawn of, and tables do not need."""


def measured(sample: str, events: Sequence[Event], systems: Systems, size: Size) -> dict[str, Any]:
    """All figures of a sample.

    Parameters
    ----------
    sample : str
    events : sequence of Event
        Test events.
    systems : Systems
    size : Size

    Returns
    -------
    dict
        ``seconds``, CPU time of the models for one event;
        ``events``, ``hits`` and ``tracks`` per event; ``chosen`` on other events; each of `TABLES` as
        `SystemFigures.to_dict` gives it: ``association`` of shares above 0.5, ``association_soft`` of shares as they
        are, both without hits of noise; ``candidates`` and ``jets`` for jets alone. ``pairs``: for each ``system``
        and its reference ``against`` the same tables' differences and ratios, on the same resamples. ``residuals`` of
        the neutral energy by system, one for each event, and ``reliability``, binned.
    """
    n = max(len(events), 1)
    out: dict[str, Any] = {
        "events": len(events),
        "hits": round(sum(e.n_hits for e in events) / n, 1),
        "tracks": round(sum(0 if e.tracks is None else len(e.tracks) for e in events) / n, 2),
        "chosen": systems.chosen,
    }
    out |= {name: table.to_dict() for name, table in compared(sample, events, systems, size, systems.names).items()}
    out["pairs"] = _pairs(sample, events, systems, size)
    out["seconds"] = {name: float(f"{value:.2g}") for name, value in systems.seconds.items()}
    out["residuals"] = {
        name: [_number(neutral_scores(e, p)["residual"]) for e, p in zip(events, systems.predicted(name), strict=True)]
        for name in _of_neutrals(systems.names)
    }
    out["reliability"] = {
        name: share_reliability(events, systems, name).round(6).tolist()
        for name in [PARAMETRIC, *(c for c in systems.candidates if not c.endswith(HARD))]
        if name not in (TRUTH, WITHIN)
    }
    kept: dict[str, Any] = finite(out)
    return kept


def compared(
    sample: str,
    events: Sequence[Event],
    systems: Systems,
    size: Size,
    names: Sequence[str],
    against: str | None = None,
) -> dict[str, SystemFigures]:
    """Every table of some systems; with `against`, those that the reference is in, without bins of energy."""
    how: dict[str, Any] = {"bootstrap": size.bootstrap, "against": against}
    out = {}
    if sample not in GUNS:
        for table, soft in (("association", False), ("association_soft", True)):
            counts = {
                name: [hit_counts(e, s, soft=soft) for e, s in zip(events, systems.shares[name], strict=True)]
                for name in names
            }
            out[table] = compare_association(counts, **how)
    binned = against is None and sample == JETS
    if (chosen := _of_neutrals(names)) and (against is None or against in chosen):
        predicted = {name: systems.predicted(name) for name in chosen}
        out["neutral"] = compare_neutral(events, predicted, bins=NEUTRAL_BINS if binned else None, **how)
    found = {name: systems.candidates[name] for name in names if name in systems.candidates}
    if sample == JETS and found and (against is None or against in found):
        out["candidates"] = compare_candidates(events, found, **how)
        out["jets"] = compare_jets(events, found, **how) if binned else compare_jets(events, found, bins=None, **how)
    return out


def share_reliability(events: Sequence[Event], systems: Systems, name: str, n_bins: int = 10) -> Array:
    """Predicted against true parts of the hits, of all tracks and of what is neutral, weighted with energy.

    Returns
    -------
    ndarray of shape (n_bins, 4), float64
        As `cmlflow.plots.reliability.reliability`; pairs where both are 0 are left out.
    """
    rows: list[Array] = [np.zeros((3, 0))]
    for event, share, all_of_it in zip(events, systems.shares[name], systems.predicted(name), strict=True):
        p = np.concatenate([share, predicted_neutral(event, all_of_it)[None]])
        t = np.concatenate([track_shares(event), neutral_shares(event)[None]])
        energy = np.broadcast_to(event.energy.astype(np.float64), p.shape)
        use = (p > 0) | (t > 0)
        rows.append(np.stack([np.clip(p[use], 0, 1), t[use], energy[use]]))
    predicted, true, weight = np.concatenate(rows, axis=1)
    return reliability(predicted, true, weight, n_bins)


def _pairs(sample: str, events: Sequence[Event], systems: Systems, size: Size) -> list[dict[str, Any]]:
    """Systems against their references: all of one reference on the same events and resamples."""
    wanted = pairs_of(sample, systems.names)
    tables: dict[str, Mapping[str, SystemFigures]] = {}
    for reference in dict.fromkeys(two for _, two in wanted):
        names = [reference, *(one for one, two in wanted if two == reference)]
        tables[reference] = compared(sample, events, systems, size, names, reference)
    out = []
    for one, two in wanted:
        versus = {name: table.to_dict()["versus"].get(one) for name, table in tables[two].items()}
        out.append({"system": one, "against": two} | {name: found for name, found in versus.items() if found})
    return out


def _of_neutrals(names: Sequence[str]) -> list[str]:
    """Systems that leave neutral energy, and are not the truth."""
    return [n for n in names if n not in (TRUTH, ALWAYS_1, RANDOM, NEAREST)]


def finite(value: Any) -> Any:
    """The same with None for numbers that are not finite, such as the ratio to a width of 0."""
    if isinstance(value, dict):
        return {name: finite(own) for name, own in value.items()}
    if isinstance(value, list):
        return [finite(own) for own in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
