"""Several clusterings of the same events side by side, and each against one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cmlflow.checks import why_unscored
from cmlflow.event import Event, as_events
from cmlflow.metrics.reconstruction import RATES, Preset, clustered, preset_of
from cmlflow.metrics.resolution import ENERGY_BINS, bin_of, resampled_resolution
from cmlflow.metrics.systems import Sample, SystemFigures, compare_systems, sum_ratio
from cmlflow.metrics.tally import ENERGY, EVENT, RESPONSE, Tally

__all__ = ["compare"]


def compare(
    events: Event | Sequence[Event],
    labels: Mapping[str, Any],
    against: str | None = None,
    *,
    preset: str | Preset = "paper",
    energy_bins: ArrayLike = ENERGY_BINS,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
    layer_weights: ArrayLike | None = None,
) -> SystemFigures:
    """Score several clusterings of the same events, with paired differences.

    Parameters
    ----------
    events : sequence of Event
        With truth.
    labels : mapping of str to sequence of array_like
        By a name, what `cmlflow.evaluate` takes: labels or shares of each event.
    against : str, optional
        The one that all others are compared with; the first one by default.
    preset, energy_bins, bootstrap, confidence, seed, layer_weights
        As in `cmlflow.evaluate`; the energy bins are those in which responses are calibrated.

    Returns
    -------
    SystemFigures
        ``table[name]["efficiency"]``; ``table.versus[name]["efficiency_difference"]``, of the same resamples of
        events, so that what all clusterings have in common cancels; ``resolution_ratio`` is the reference's over
        the other's. `SystemFigures.to_frame`, `to_csv` and `to_latex` write both.

    Raises
    ------
    ValueError
        Names the clustering, and the event whose labels do not fit; or `against`, where there is no such one.

    Examples
    --------
    >>> e = Event([[0, 0, 1], [1, 0, 1], [2, 0, 1]], [3.0, 1.0, 2.0], particle_id=[0, 0, 1])
    >>> table = compare([e, e], {"right": [[0, 0, 1]] * 2, "one": [[0, 0, 0]] * 2}, against="one")
    >>> table["right"]["purity"].value, table.versus["right"]["purity_difference"].value
    (1.0, 1.0)
    """
    if not isinstance(labels, Mapping) or not labels:
        raise ValueError(f"labels: got {type(labels).__name__}, needs {{name: labels of each event}}, at least one")
    reference = next(iter(labels)) if against is None else against
    if reference not in labels:
        raise ValueError(f"against is {against!r}, expected one of {', '.join(labels)}")
    bin_of([], energy_bins)
    cut, samples, n_events = preset_of(preset), {}, 0
    sample = [events] if isinstance(events, Event) else as_events(events)
    for name, own in labels.items():
        tally = Tally()
        try:
            for _, event, y in clustered(sample, [own] if isinstance(events, Event) else own):
                tally.add(event, y, cut, layer_weights)
        except ValueError as err:
            raise ValueError(f"{name}: {err}") from err
        samples[name], n_events = _samples(tally, energy_bins), len(sample)
    if not any(s["efficiency"].columns[1].any() for s in samples.values()):
        raise ValueError(why_unscored(sample, "events: no particle has energy"))
    return compare_systems(samples, n_events, against=reference, bootstrap=bootstrap, confidence=confidence, seed=seed)


def _samples(tally: Tally, bins: ArrayLike) -> dict[str, Sample]:
    """The rows of every figure of one clustering."""
    sums, particles, _ = tally.arrays()
    event, nothing = np.arange(len(sums)), np.zeros(len(sums))
    out = {
        name: Sample(event, nothing, (sums[:, k, 0], sums[:, k, 1]), sum_ratio)
        for k, name in enumerate(RATES)
    }  # fmt: skip
    known = particles[np.isfinite(particles[:, RESPONSE])]
    owner, energy, response = known[:, EVENT].astype(np.int64), known[:, ENERGY], known[:, RESPONSE]
    out["response"] = Sample(owner, energy, (response, np.ones(len(known))), sum_ratio)

    def width(value: Any, which: Any) -> Any:
        return lambda times: resampled_resolution(value, which.astype(np.int64), times)

    out["resolution"] = Sample(owner, energy, (response, bin_of(energy, bins).astype(np.float64)), width, ratio=True)
    return out
