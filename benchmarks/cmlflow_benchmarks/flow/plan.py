"""What there is to run: samples, the models that belong to each, how many events, which pairs are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cmlflow_benchmarks.sizes import scaled

RHO, JETS = "rho", "jets"
GUNS = ("pi-gun-2-5", "pi-gun-5-10", "pi-gun-10-15", "pi-gun-15-20")
SUPERRES = "superres"
"""Named like a sample: fine cells from coarse ones, see `cmlflow_benchmarks.flow.superres`."""
SAMPLES = (RHO, *GUNS, JETS)
"""Each has its own variants ``-validation``, ``-tuning`` and ``-test``, of showers that no other variant has."""


@dataclass(frozen=True)
class Model:
    """A trained model of particle flow.

    Attributes
    ----------
    name : str
        Packaged name, or the one that ``--models NAME=FOLDER`` gives it.
    samples : tuple of str
        Of `SAMPLES`, on which it is tested.
    against : tuple of str
        Other models that it is compared with on the same events.
    transferred : bool
        Trained on other samples than those it is tested on: compared with `against` alone.
    """

    name: str
    samples: tuple[str, ...]
    against: tuple[str, ...] = ()
    transferred: bool = False


AT_HOME, TRANSFER = "jets-supcon", "rhos-supcon"
"""The model trained on jets, and the one that is trained on events of 1-3 tracks and set beside it on jets."""
MODELS: dict[str, Model] = {
    m.name: m
    for m in (
        Model("rho-supcon", (RHO,), ("rho-oc",)),
        Model("rho-oc", (RHO,)),
        Model("pi-gun-supcon", GUNS),
        Model(AT_HOME, (JETS,), ("jets-oc",)),
        Model("jets-oc", (JETS,)),
        Model(TRANSFER, (JETS,), (AT_HOME,), transferred=True),
        Model("rho-pointnet", (RHO,), ("rho-supcon",)),
        Model("jets-pointnet", (JETS,), (AT_HOME,)),
        *(Model(f"pi-gun-{name}", GUNS, ("pi-gun-supcon",)) for name in ("graph", "deepset", "convnet", "unet")),
    )
}
"""All trained models, by name."""

ALWAYS_1, ALWAYS_0, RANDOM = "always 1", "always 0", "random"
NEAREST, WITHIN = "nearest track", "nearest track, radius"
PARAMETRIC, TRUTH = "parametric", "truth"
HARD, SCALED, ITERATIVE = ", hard", ", scale of jets", ", iterative"
"""Ends of the names of systems: every hit wholly to one candidate; neutral energies calibrated on jets; tracks one
after another, of networks that see one track at a time."""

RADII = (0.03, 0.04, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
"""Radii in ΔR of the nearest track, of which one is chosen on validation events."""
TEST_SEED = VALIDATION_SEED = TUNING_SEED = 1


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes
    ----------
    name : str
    n_events, n_jets : int
        Test events of each sample, and of `jets`.
    n_validation, n_tuning : int
        Events that choose the radius; events for the energy scale where no model brings one.
    bootstrap : int
        Resamples of the test events behind each interval.
    """

    name: str
    n_events: int
    n_jets: int
    n_validation: int
    n_tuning: int
    bootstrap: int

    def events(self, sample: str) -> int:
        """Test events of a sample."""
        return self.n_jets if sample == JETS else self.n_events

    def with_events(self, n_events: int | None) -> Size:
        """The same with so many test events of each sample, and of jets in proportion."""
        if n_events is None:
            return self
        return replace(self, n_events=n_events, n_jets=scaled(self.n_jets, n_events / self.n_events))


SIZES = {"full": Size("full", 1000, 500, 300, 300, 500), "quick": Size("quick", 40, 25, 25, 40, 50)}


def models_of(sample: str) -> tuple[str, ...]:
    """Names of the trained models that belong to a sample."""
    return tuple(name for name, model in MODELS.items() if sample in model.samples)


def is_model(system: str) -> bool:
    """Whether a system is a trained model, perhaps with hard shares or the energy scale of jets."""
    return system.removesuffix(HARD).removesuffix(SCALED).removesuffix(ITERATIVE) in MODELS


def pairs_of(sample: str, there: Iterable[str]) -> list[tuple[str, str]]:
    """Systems of a sample that are compared on the same events, each with its reference, where both have been run.

    Parameters
    ----------
    sample : str
    there : iterable of str
        Systems that have been run.
    """
    models, run = [MODELS[name] for name in models_of(sample)], set(there)
    own = [m for m in models if not m.transferred]
    references: tuple[str, ...] = (ALWAYS_1, WITHIN, PARAMETRIC) if sample == RHO else (WITHIN, PARAMETRIC)
    if sample in GUNS:
        references = (PARAMETRIC,)
    wanted = [(m.name + end, reference) for m in own for end in ("", HARD, ITERATIVE) for reference in references]
    wanted += [(m.name + end, other + end) for m in own for other in m.against for end in ("", HARD)]
    wanted += [(m.name + end, other) for m in models if m.transferred for other in m.against for end in ("", SCALED)]
    wanted += [(m.name, m.name + end) for m in models for end in (HARD, ITERATIVE)]
    return [(one, two) for one, two in wanted if one in run and two in run]


def chosen_samples(names: Sequence[str] | None) -> tuple[str, ...]:
    """Samples to run, in their order; all where none are named.

    Raises
    ------
    ValueError
        For a name that is none of them; lists those there are.
    """
    if wrong := [n for n in names or () if n not in (*SAMPLES, SUPERRES)]:
        raise ValueError(f"samples: {wrong[0]!r} is not known; there are {', '.join((*SAMPLES, SUPERRES))}")
    return SAMPLES if not names else tuple(s for s in SAMPLES if s in names)
