"""Super-resolution measured on test events: fine cells from coarse ones, beside even splits and the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.baselines.learned import FineCells, SuperResolver
from cmlflow.baselines.learned.fine import children_of, neutral_in_cells, true_fractions
from cmlflow.baselines.learned.superresolution import even_split
from cmlflow.detectors import slab_detector
from cmlflow.event import Event, vertex_of
from cmlflow.metrics import neutral_shares
from cmlflow.metrics.superresolution import PION_MASS, mass_width, photon_pair_mass, radial_profile
from cmlflow.plots.page import figure_html, table_html
from cmlflow.plots.report import text
from cmlflow_benchmarks.verdicts import NOT_RUN

Array = NDArray[np.float64]
Pairs = Sequence[tuple[Event, Event]]

SAMPLE, FINE = "pi-gun-2-5", "slab-hg"
MODELS = ("superres-graph", "superres-graph-unet", "superres-conv-unet")
EVEN = ", even split"
COARSE, SPREAD = "truth, coarse cells", "truth, spread evenly"
INSIDE, TRUTH = "truth, fine cells in coarse hits", "truth, all fine cells"
LAYER = 2
"""Second layer of the electromagnetic calorimeter, in which images and profiles are."""
PITCH, REACH = 125 / 32, 6
RINGS = PITCH * (np.arange(9) - 0.5).clip(0)
HEAD = ["system", "loss of fractions", "width of the mass / 135 MeV", "no mass", "bias of the energy",
        "barycentre, mean [cm]"]  # fmt: skip


def superres_figures(pairs: Pairs, models: Mapping[str, SuperResolver], bootstrap: int) -> dict[str, Any]:
    """All figures of the networks and what they are set beside.

    Parameters
    ----------
    pairs : sequence of (Event, Event)
        Coarse and fine test events.
    models : dict of str to SuperResolver
    bootstrap : int
        Resamples of the events.

    Returns
    -------
    dict
        ``systems``: by name a dict of ``loss``, ``width``, ``bias``, ``barycentre`` ([value, low, high]; None where
        there is none) and ``missing``, ``profile``, ``image``, ``masses``. ``events``.
    """
    cells = _all_cells(pairs, models)
    weights = np.random.default_rng(0).multinomial(len(pairs), np.full(len(pairs), 1 / max(len(pairs), 1)), bootstrap)
    systems = {}
    for name, found in cells.items():
        masses = np.array([photon_pair_mass(c.position, c.energy, vertex_of(e)) for (e, _), c in _zip(pairs, found)])
        total = np.array([float(neutral_in_cells(fine).sum()) for _, fine in pairs])
        gap = np.array([float(c.energy.sum()) for c in found]) / np.maximum(total, 1e-9) - 1
        away = np.array([_barycentre_gap(c, t) for c, t in zip(found, cells[TRUTH], strict=True)])
        width = mass_width(masses)
        drawn = [mass_width(np.repeat(masses, w))["width"] for w in weights]
        systems[name] = {
            "loss": None if name in (COARSE, TRUTH) else _mean(_losses(pairs, found), weights),
            "width": [width["width"], *np.nanquantile(drawn, (0.025, 0.975)).tolist()],
            "missing": width["missing"],
            "bias": _mean(gap, weights),
            "barycentre": _mean(away, weights),
            "profile": np.nanmean([_profile(c) for c in found], axis=0).tolist(),
            "image": np.mean([_image(c) for c in found], axis=0).round(6).tolist(),
            "masses": (masses / width["peak"] * PION_MASS).round(5).tolist(),
        }
    return {"events": len(pairs), "systems": systems}


def _all_cells(pairs: Pairs, models: Mapping[str, SuperResolver]) -> dict[str, list[FineCells]]:
    coarse = [event for event, _ in pairs]
    out: dict[str, list[FineCells]] = {}
    for name, model in models.items():
        found = out[name] = model.predict(coarse)
        parts = [np.bincount(c.parent, c.energy, e.n_hits) / np.maximum(e.energy, 1e-9) for e, c in _zip(coarse, found)]
        out[name + EVEN] = [even_split(e, p) for e, p in zip(coarse, parts, strict=True)]
    neutral = [_true_neutral(event, fine) for event, fine in pairs]
    out[COARSE] = [
        FineCells(e.position, n * e.energy, np.arange(e.n_hits)) for e, n in zip(coarse, neutral, strict=True)
    ]
    out[SPREAD] = [even_split(e, n) for e, n in zip(coarse, neutral, strict=True)]
    out[INSIDE] = [_inside(event, fine) for event, fine in pairs]
    out[TRUTH] = [_all_fine(fine) for _, fine in pairs]
    return out


def _true_neutral(event: Event, fine: Event) -> Any:
    """Neutral energy over measured energy of every coarse hit, as the networks have to find it."""
    children = children_of(event, slab_detector(FINE))
    return np.bincount(children.parent, true_fractions(event, fine, children), event.n_hits)


def _inside(event: Event, fine: Event) -> FineCells:
    children = children_of(event, slab_detector(FINE))
    energy = neutral_in_cells(fine)[children.cell]
    return FineCells(children.position, energy.astype(np.float32), children.parent)


def _all_fine(fine: Event) -> FineCells:
    energy = (neutral_shares(fine) * fine.energy).astype(np.float32)
    return FineCells(fine.position, energy, np.full(fine.n_hits, -1))


def _losses(pairs: Pairs, found: Sequence[FineCells]) -> Array:
    """(1 / E) Σ E_c Σ (f − f_true)² of each event; nan without hits."""
    out = []
    for (event, fine), cells in _zip(pairs, found):
        children = children_of(event, slab_detector(FINE))
        energy = event.energy[children.parent].astype(np.float64)
        off = cells.energy / np.maximum(energy, 1e-9) - true_fractions(event, fine, children)
        out.append(float((energy * off**2).sum() / event.energy.sum()) if event.n_hits else np.nan)
    return np.array(out)


def _layer(cells: FineCells) -> tuple[Array, Array]:
    """Positions (n, 2) and energies of the cells of the layer that are not empty."""
    here = (np.abs(cells.position[:, 2] - slab_detector(FINE).z[LAYER - 1]) < 1) & (cells.energy > 0)
    return cells.position[here, :2].astype(np.float64), cells.energy[here].astype(np.float64)


def _profile(cells: FineCells) -> Array:
    position, energy = _layer(cells)
    return radial_profile(position, energy / max(energy.sum(), 1e-9), RINGS)


def _image(cells: FineCells) -> Array:
    """Energy by pixel around the hottest cell, over all of it."""
    position, energy = _layer(cells)
    edges = PITCH * (np.arange(2 * REACH + 2) - REACH - 0.5)
    if not len(energy):
        return np.zeros((len(edges) - 1, len(edges) - 1))
    x, y = (position - position[int(np.argmax(energy))]).T
    return np.asarray(np.histogram2d(x, y, (edges, edges), weights=energy / energy.sum())[0])


def _barycentre_gap(cells: FineCells, truth: FineCells) -> float:
    (a, e), (b, t) = _layer(cells), _layer(truth)
    if not (e.sum() > 0 and t.sum() > 0):
        return float("nan")
    return float(np.linalg.norm(e @ a / e.sum() - t @ b / t.sum()))


def _mean(values: Array, weights: NDArray[np.int64]) -> list[float]:
    """Mean over the events in which there is a value, with its 95 % interval."""
    known = np.isfinite(values)
    v, w = values[known], weights[:, known]
    if not len(v):
        return [float("nan")] * 3
    drawn = w @ v / np.maximum(w.sum(axis=1), 1)
    return [float(v.mean()), *np.quantile(drawn, (0.025, 0.975)).tolist()]


def _zip(a: Any, b: Any) -> Any:
    return zip(a, b, strict=True)


def superres_rows(result: Mapping[str, Any]) -> list[list[Any]]:
    """One row for each system, then the networks that have not been run."""
    rows = []
    for name, own in result["systems"].items():
        shown = [_shown(own[figure]) for figure in ("loss", "width", "bias", "barycentre")]
        rows.append([name, *shown[:2], f"{own['missing']:g}", *shown[2:]])
    absent = [m for m in MODELS if m not in result["systems"]]
    return rows + [[name, *([NOT_RUN] * (len(HEAD) - 1))] for name in absent]


def _shown(value: Any) -> str:
    if value is None or value[0] is None:
        return "-"
    return "{:.3f} [{:.3f}, {:.3f}]".format(*value)


def superres_section(result: Mapping[str, Any] | None) -> list[str]:
    """The parts of the report's section."""
    if result is None:
        return [text("Not run.")]
    note = (
        f"{result['events']} test events of {SAMPLE}: neutral energy in the cells of slab-hg, from the same events in "
        "slab-lg-sum. “even split”: the neutral energy that the same network finds in a coarse cell, divided evenly. "
        "The mass is that of two photons by 2-means in slopes, its peak calibrated to 135 MeV."
    )
    captions = (
        "Mean energy density in ECAL2 around the hottest cell, over the energy of the layer [1/cm²].",
        "Calibrated mass of the neutral pion [GeV].",
        "Mean image of ECAL2 around the hottest cell, in fine pixels; logarithmic.",
    )
    drawn = (_profiles(result), _masses(result), _images(result))
    figures = [figure_html(f, c) for f, c in zip(drawn, captions, strict=True)]
    return [text(note, "note"), table_html(HEAD, superres_rows(result)), *figures]


def _shown_systems(result: Mapping[str, Any]) -> list[str]:
    return [n for n in result["systems"] if n in MODELS or n in (COARSE, SPREAD, TRUTH)]


def _profiles(result: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    middle = (RINGS[1:] + RINGS[:-1]) / 2
    for name in _shown_systems(result):
        axes.plot(middle, [v or np.nan for v in result["systems"][name]["profile"]], marker=".", label=name)
    axes.set(xlabel="distance from the hottest cell [cm]", ylabel="energy density [1/cm²]", yscale="log")
    axes.legend()
    return figure


def _masses(result: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in _shown_systems(result):
        values = [v for v in result["systems"][name]["masses"] if v is not None]
        axes.hist(np.clip(values, 0, 0.3), np.linspace(0, 0.3, 41).tolist(), histtype="step", label=name)
    axes.set(xlabel="mass [GeV]", ylabel="events")
    axes.legend()
    return figure


def _images(result: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    shown = _shown_systems(result)
    figure = Figure(figsize=(2.6 * len(shown), 2.8), layout="constrained")
    for i, name in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), i + 1)
        image = np.maximum(np.array(result["systems"][name]["image"], np.float64), 1e-5)
        axes.imshow(np.log10(image).T, origin="lower", vmin=-5, vmax=0, extent=2 * (-REACH - 0.5, REACH + 0.5))
        axes.set_title(name, fontsize=8)
    return figure
