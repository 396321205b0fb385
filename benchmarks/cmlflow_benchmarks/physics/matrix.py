"""The matrix of trained models, the events they are tuned and tested on, and the sizes of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

from cmlflow.methods import METHODS
from cmlflow.recipes import RECIPES, Recipe, recipe
from cmlflow.simulation import SAMPLES, Sample
from cmlflow_benchmarks.sizes import scaled

KINDS = ("em", "had", "mixed")
COMMON_READOUTS = ("ward", "clue", "hdbscan")
WIDE = "@wide"
"""Ends the name of a readout whose thresholds come from auxiliary events with more particles; see `Size.wide`."""
SPECTRUM = "mixed-spectrum"
"""Name of the test set with the spectrum of mixed training events: that of the paper's Table 3."""


@dataclass(frozen=True)
class System:
    """What is compared: recipes of one name, ``<size>-<kind>-<name>``.

    Attributes
    ----------
    name, title : str
    own : bool
        Dimension and readouts are those of its recipe, in place of those of the matrix.
    control_of : str
        The system that this is a variant of, to find out what a change does. Controls are trained with the first seed
        and the largest dimension alone, and have tables of their own.
    """

    name: str
    title: str
    own: bool = False
    control_of: str = ""


SYSTEMS: dict[str, System] = {
    s.name: s
    for s in (
        System("supcon", "SupCon"),
        System("oc", "OC"),
        System("best", "best", own=True),
        System("slopes", "slopes, no network", own=True),
        System("raw", "SupCon, unscaled inputs", control_of="supcon"),
        System("projective", "SupCon, projected inputs", control_of="supcon"),
        System("oclong", "OC, three times the training", control_of="oc"),
    )
}


@dataclass(frozen=True)
class Size:
    """How much is trained, tuned on and tested.

    Attributes
    ----------
    name : str
    recipes : str
        First word of the names of recipes and samples.
    events : dict of int to int
        Test events by number of particles.
    n_spectrum : int
        Test events with the spectrum of mixed training events.
    n_tuning : int
        Auxiliary events on which every readout of every model is tuned.
    wide, n_wide : (int, int), int
        Numbers of particles and number of the auxiliary events on which all are tuned a second time, where there is a
        recipe for `best`, whose thresholds are meant to serve from few to many particles.
    energy_bins : tuple of float [GeV]
    bootstrap : int
        Resamples of the events.
    training : dict
        Fields of `Recipe` in place of its own.
    parameters : dict
        Parameters of `MetricClusterer` in place of the recipe's.
    """

    name: str
    recipes: str
    events: Mapping[int, int]
    n_spectrum: int
    n_tuning: int
    wide: tuple[int, int]
    n_wide: int
    energy_bins: tuple[float, ...]
    bootstrap: int = 500
    training: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def with_events(self, n_events: int | None = None, n_tuning: int | None = None) -> Size:
        """The same with other numbers of events: tests at each number of particles in proportion, tuning."""
        size = self
        if n_events is not None:
            part = n_events / max(self.events.values())
            events = {n: scaled(e, part) for n, e in self.events.items()}
            size = replace(size, events=events, n_spectrum=scaled(self.n_spectrum, part))
        return size if n_tuning is None else replace(size, n_tuning=n_tuning, n_wide=max(1, n_tuning // 2))


_COMPACT_BINS = (10.0, 30.0, 60.0, 100.0, 150.0, 200.0)
SIZES: dict[str, Size] = {
    s.name: s
    for s in (
        Size("compact", "compact", {1: 40, 2: 40, 4: 40, 8: 40, 15: 40, 30: 20}, 100, 100, (2, 15), 50, _COMPACT_BINS),
        Size(
            "paper", "paper", dict.fromkeys((1, 2, 4, 8, 10, 15, 20, 30), 200), 1000, 1000, (2, 30), 500,
            (30.0, 60.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0),
        ),
        Size(
            "quick", "compact", {1: 3, 2: 3, 4: 3}, 3, 2, (2, 6), 1, _COMPACT_BINS, 100,
            {"n_events": 8, "n_validation": 2}, {"max_epochs": 1},
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Run:
    """One model of the matrix.

    Attributes
    ----------
    kind : {"em", "had", "mixed"}
        What it is trained on.
    system : str
        A key of `SYSTEMS`.
    dim : int
        Of the embedding.
    seed : int
        1 is the recipe as it stands; others have other training events, initial weights and event order.
    """

    kind: str
    system: str
    dim: int
    seed: int

    @property
    def name(self) -> str:
        """As in ``em-supcon-16d-seed1``."""
        return f"{self.kind}-{self.system}-{self.dim}d-seed{self.seed}"


@dataclass(frozen=True)
class TestSet:
    """Test events of one kind, with one number of particles, or with the spectrum of training events.

    Attributes
    ----------
    name : str
        As in ``em-08``, ``mixed-spectrum``.
    sample : Sample
    n_particles : int or None
    n_events : int
    """

    __test__ = False  # no test for pytest

    name: str
    sample: Sample
    n_particles: int | None
    n_events: int


def recipe_name(size: Size, kind: str, system: str) -> str:
    """Name of the recipe of a run; it may not exist."""
    return f"{size.recipes}-{kind}-{system}"


def available_systems(size: Size, kinds: Sequence[str]) -> list[str]:
    """Systems with a recipe for at least one of the kinds."""
    return [s for s in SYSTEMS if any(recipe_name(size, k, s) in RECIPES for k in kinds)]


def dimension(of: Recipe) -> int:
    """Dimension of the embedding of a recipe."""
    return int(of.parameters.get("dim", METHODS[of.parameters["head"]].dim))


def recipe_of(size: Size, run: Run) -> Recipe:
    """What a run is trained with: the recipe of its kind and system, with its dimension and seed.

    Thresholds are not the recipe's affair here: all models are tuned on the same auxiliary events afterwards.
    """
    base = recipe(recipe_name(size, run.kind, run.system))
    changes: dict[str, Any] = {"dim": run.dim} if run.dim != dimension(base) else {}
    if run.seed != 1:
        changes["random_state"] = base.parameters.get("random_state", 0) + run.seed - 1
    parameters = base.parameters | dict(size.parameters) | changes
    fields = dict(size.training) | {"readouts": (), "n_tuning": 0, "parameters": parameters}
    return replace(base, seed=base.seed + run.seed - 1, **fields)


def planned_runs(
    size: Size, kinds: Sequence[str], systems: Sequence[str], dims: Sequence[int], seeds: Sequence[int]
) -> list[Run]:
    """All runs that have a recipe, those of seed 1 first, the larger dimension first.

    Raises
    ------
    ValueError
        For a kind or system that there is not, a dimension or seed below 1, or no run at all.
    """
    for what, asked, known in (("kind", kinds, KINDS), ("system", systems, tuple(SYSTEMS))):
        for name in asked:
            if name not in known:
                raise ValueError(f"{what} {name!r} is not known; there are {', '.join(known)}")
    for what, values in (("dim", dims), ("seed", seeds)):
        for value in values:
            if value < 1:
                raise ValueError(f"{what} is {value}, expected 1 or more")
    found = [
        Run(kind, system, dim, seed)
        for seed, rank, kind, system in product(sorted(set(seeds)), range(len(set(dims))), kinds, systems)
        if recipe_name(size, kind, system) in RECIPES
        for dim in _dims(size, kind, system, dims)[rank : rank + 1]
        if not SYSTEMS[system].control_of or (seed, rank) == (min(seeds), 0)
    ]
    if not found:
        raise ValueError(f"there is no recipe {size.recipes}-KIND-SYSTEM for kinds {kinds} and systems {systems}")
    return found


def _dims(size: Size, kind: str, system: str, dims: Sequence[int]) -> list[int]:
    """Dimensions of a system, the largest first."""
    return [recipe_dim(size, kind, system)] if SYSTEMS[system].own else sorted(set(dims), reverse=True)


def recipe_dim(size: Size, kind: str, system: str) -> int:
    """Dimension of the embedding that a recipe has."""
    dim = dimension(recipe(recipe_name(size, kind, system)))
    return dim


def native_readout(size: Size, kind: str, system: str) -> str:
    """The readout that belongs to a system: density for SupCon, OC inference for OC.

    With `WIDE`, where its recipe tunes it on other numbers of particles than those of training.
    """
    base = recipe(recipe_name(size, kind, system))
    name: str = base.parameters.get("readout", "density")
    return name + WIDE if asdict(base).get("tuning_particles") else name


def readouts_of(size: Size, run: Run) -> tuple[str, ...]:
    """The model's own readout and those all systems are offered; where there is `best`, its readouts and `WIDE` ones.

    SupCon and OC are offered the same: density and OC inference apart, which need unit vectors and a beta.
    """
    base = recipe(recipe_name(size, run.kind, run.system))
    best = recipe_name(size, run.kind, "best")
    names = [native_readout(size, run.kind, run.system).removesuffix(WIDE)]
    names += base.readouts if SYSTEMS[run.system].own else COMMON_READOUTS
    if best in RECIPES:
        names += [name for name in recipe(best).readouts if name != "condensation"]
        names += [name + WIDE for name in dict.fromkeys(names)]
    return tuple(dict.fromkeys(names))


def auxiliary(size: Size, kind: str, wide: bool) -> tuple[Sample, int]:
    """Sample and number of auxiliary events for the thresholds of models of a kind."""
    usual = SAMPLES[f"{size.recipes}-{kind}-tuning"]
    if not wide:
        return usual, size.n_tuning
    return replace(usual, name=f"{usual.name}-wide", n_particles=size.wide), size.n_wide


def grids_of(size: Size, run: Run) -> dict[str, Any]:
    """Values to try for the parameters of readouts, where the recipe has its own."""
    found: dict[str, Any] = asdict(recipe(recipe_name(size, run.kind, run.system))).get("grids", {})
    return found


def sets_to_test(size: Size, kind: str) -> list[TestSet]:
    """What models of a kind are tested on: EM and HAD models on their particles, mixed models on both.

    Mixed models are also tested on mixed events with the spectrum of training, from test showers (Table 3).
    """
    out = []
    for sample in (kind,) if kind != "mixed" else ("em", "had"):
        test = SAMPLES[f"{size.recipes}-{sample}-test"]
        out += [TestSet(f"{sample}-{n:02d}", test, n, events) for n, events in sorted(size.events.items())]
    if kind == "mixed":
        name = f"{size.recipes}-{SPECTRUM}"
        spectrum = replace(SAMPLES[f"{size.recipes}-mixed"], name=name, split="test")
        out.append(TestSet(SPECTRUM, spectrum, None, size.n_spectrum))
    return out


def datasets(kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of what was trained on and what is tested on, as the paper's figures show them."""
    pairs = (("em", "em"), ("had", "had"), ("mixed", "em"), ("mixed", "had"))
    return [pair for pair in pairs if pair[0] in kinds]


def training_range(size: Size, kind: str) -> tuple[tuple[int, int], tuple[float, float]]:
    """Numbers of particles and energies [GeV] of the training events of a kind."""
    s = SAMPLES[f"{size.recipes}-{kind}"]
    return s.n_particles, s.energy_range


def plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    return as_json(asdict(value))


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """A dict as JSON has it: tuples as lists, keys and what it does not know as text."""
    out: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return out
