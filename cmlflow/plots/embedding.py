"""Geometry of an embedding: where the hits of each particle lie, and how far apart pairs of hits are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event
from cmlflow.metrics.embedding import pair_distances
from cmlflow.metrics.matching import numpy_array
from cmlflow.plots.colours import GREY, palette

SAME, DIFFERENT = "#0072b2", "#e69f00"


def principal_components(z: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two directions in which an embedding varies most.

    Parameters
    ----------
    z : array_like of shape (n_hits, D), float

    Returns
    -------
    coordinates : ndarray of shape (n_hits, 2), float64
        Centred; zeros where the embedding has fewer directions.
    share : ndarray of shape (2,), float64
        Of the variance that each one holds; nan where all points are equal.
    """
    x = numpy_array(z).astype(np.float64)
    out, share = np.zeros((len(x), 2)), np.full(2, np.nan)
    if not len(x):
        return out, share
    x = x - x.mean(0)
    value, vector = np.linalg.eigh(x.T @ x)
    value, vector = np.maximum(value[::-1][:2], 0), vector[:, ::-1][:, :2]
    # The sign of an axis is free: the entry of largest size is positive.
    vector = vector * np.sign(np.take_along_axis(vector, np.abs(vector).argmax(0)[None], 0))
    out[:, : vector.shape[1]] = x @ vector
    total = float((x**2).sum())
    if total > 0:
        share[: len(value)] = value / total
    return out, share


def embedding_figure(event: Event, embeddings: Mapping[str, Any], seed: int = 0) -> Any:
    """For each embedding of one event, its two main directions and the distances between pairs of hits.

    Left, every hit at its first two principal components, in the colour of its particle. Right, the cosine
    distances of pairs of hits of one particle and of different particles (core hits, as in
    `cmlflow.metrics.embedding_metrics`), with d_intra, the 99th percentile of the first, and d_inter, the median of
    the second; the margin is d_inter - d_intra.

    Parameters
    ----------
    event : Event
        With truth.
    embeddings : dict of str to array_like of shape (n_hits, D), float
        By the name of the model.
    seed : int
        Of the sampled pairs.

    Returns
    -------
    matplotlib.figure.Figure
        One row for each embedding.

    Raises
    ------
    ValueError
        An embedding and the event differ in their number of hits.

    References
    ----------
    arXiv:2603.23356, figure 1 and section IV.1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.1 * max(len(embeddings), 1)), layout="constrained")
    axes = figure.subplots(max(len(embeddings), 1), 2, squeeze=False)
    for (left, right), (name, z) in zip(axes, embeddings.items(), strict=False):
        if len(z) != event.n_hits:
            raise ValueError(f"embedding {name} has {len(z)} rows, but the event has {event.n_hits} hits")
        _scatter(left, event, z, name)
        _distances(right, *pair_distances(z, event.particle_id, event.energy, seed), name)
    return figure


def _scatter(ax: Any, event: Event, z: Any, name: str) -> None:
    point, share = principal_components(z)
    colours = palette(event.n_particles)
    size = 2 + 14 * np.clip(np.log10(1 + event.energy / max(float(np.median(event.energy)), 1e-9)) / 2.5, 0, 1) if len(
        point) else np.empty(0)  # fmt: skip
    for p in [-1, *range(event.n_particles)]:
        own = event.particle_id == p
        if own.any():
            label, colour = ("unknown", GREY) if p < 0 else (f"particle {p}", colours[p])
            ax.scatter(*point[own].T, s=size[own], color=colour, label=label, alpha=0.6, linewidths=0, rasterized=True)
    for k, set_label in enumerate((ax.set_xlabel, ax.set_ylabel)):
        known = "" if np.isnan(share[k]) else f" ({100 * share[k]:.0f} % of the variance)"
        set_label(f"principal component {k + 1}{known}")
    ax.set_title(f"{name}: one event of {event.n_particles} particles, {event.n_hits} hits", fontsize=11)
    ax.set_aspect("equal", adjustable="datalim")
    if 0 < len(ax.collections) <= 12:
        legend = ax.legend(fontsize=8, frameon=False, markerscale=1.6)
        for handle in legend.legend_handles:
            handle.set(sizes=[30], alpha=1)


def _distances(ax: Any, same: NDArray[np.float64], different: NDArray[np.float64], name: str) -> None:
    top = max(2.0 if not len(v) else float(v.max()) for v in (same, different)) if len(same) + len(different) else 2.0
    bins = np.linspace(0, max(top, 0.1), 90)
    for values, colour, label in ((same, SAME, "same particle"), (different, DIFFERENT, "different particles")):
        if len(values):
            weight = np.full(len(values), 1 / len(values))
            ax.hist(
                np.clip(values, 0, None),
                bins,
                weights=weight,
                color=colour,
                alpha=0.65,
                label=label,
                histtype="stepfilled",
            )
    marks = {}
    if len(same):
        marks[r"$d_\mathrm{intra}$"] = (float(np.quantile(same, 0.99)), SAME, "--")
    if len(different):
        marks[r"$d_\mathrm{inter}$"] = (float(np.median(different)), "#a86f00", "-.")
    for label, (x, colour, line) in marks.items():
        ax.axvline(x, color=colour, linestyle=line, label=f"{label} = {x:.2f}")
    margin = ""
    if len(marks) == 2:
        (intra, *_), (inter, *_) = marks.values()
        margin = f": margin {inter - intra:+.2f}"
        ax.axvspan(min(intra, inter), max(intra, inter), color="#009e73" if inter > intra else "#d55e00", alpha=0.1)
    ax.set_title(f"{name}{margin}", fontsize=11)
    ax.set_xlabel("cosine distance of two hits, 1 − cos")
    ax.set_ylabel("share of the pairs")
    if marks:
        ax.set_yscale("log")
        ax.legend(fontsize=8, framealpha=0.85, edgecolor="none")
