"""Complete configurations as functions: which sample, which network, how trained.

A recipe is what one command reproduces: ``cmlflow train compact-em-supcon``. The `compact` recipes are sized for one
CPU core, the `paper` recipes follow arXiv:2603.23356 and want a GPU; `rho` and `jets` cluster hits and tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cmlflow.methods import METHODS
from cmlflow.nets.network import NetworkConfig
from cmlflow.refiners import Stages
from cmlflow.training import TrainingConfig

SELECT = {"oc": "last"}  # of heads whose loss is no measure of reconstruction
GRIDS: dict[str, dict[str, Sequence[float]]] = {  # lengths of the prototype embedding, densities in MIP
    "clue": {
        "density_radius": (0.05, 0.1, 0.2, 0.4),
        "link_distance": (0.15, 0.22, 0.3, 0.45, 0.65, 0.9, 1.2, 1.6, 2.1),
        "min_density": (0.0, 60.0, 150.0, 300.0),
    }
}
AXES_GRIDS: dict[str, dict[str, Sequence[float]]] = GRIDS | {  # axes 1 to 7 cm apart
    "condensation": {
        "threshold": (0.2, 0.35, 0.5, 0.65, 0.8, 0.9),
        "radius": (0.3, 0.45, 0.57, 0.75, 1.0, 1.25, 1.5, 2.0),
    }
}
FLOW_READOUTS = {
    "supcon": ("clue", "ward", "density"),
    "oc": ("condensation", "clue", "ward"),
}
FLOW_GRIDS: dict[str, dict[str, Sequence[float]]] = {
    "clue": {  # densities in GeV: a cluster of noise alone has little
        "density_radius": (0.05, 0.1, 0.2, 0.4),
        "link_distance": (0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.2),
        "min_density": (0.0, 0.1, 0.2, 0.4, 0.8),
    },
    "density": {  # showers of ten points: fewer neighbours than the usual 24
        "k": (3, 6, 10),
        "threshold": (0.02, 0.05, 0.1, 0.2, 0.3, 0.45),
        "radius": (0.15, 0.25, 0.35, 0.5, 0.7, 0.9, 1.1),
    },
}


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes
    ----------
    name : str
        As the command line takes it.
    sample : str
        Training sample; validation and tuning samples are its ``-validation`` and ``-tuning`` variants, made of
        other showers.
    n_events, n_validation, n_tuning : int
        Events per epoch (simulated afresh for every epoch), for choosing the epoch, and for readout thresholds.
    parameters : dict
        Of `MetricClusterer`.
    readouts : tuple of str
        Readouts whose thresholds are tuned; the first one is the model's own.
    seed : int
        Of the samples.
    train_particles, tuning_particles : (int, int), optional
        Fewest and most particles of the events, in place of the sample's; the showers are the same.
    grids : dict of str to dict
        Values to try for the parameters of a readout, in place of its own grid.
    association : dict
        Of `Associator`, for models with tracks; fitted on the tuning sample.
    """

    name: str
    sample: str
    n_events: int
    n_validation: int
    n_tuning: int
    parameters: dict[str, Any] = field(default_factory=dict)
    readouts: tuple[str, ...] = ("density",)
    seed: int = 1
    train_particles: tuple[int, int] | None = None
    tuning_particles: tuple[int, int] | None = None
    grids: dict[str, dict[str, Sequence[float]]] = field(default_factory=dict)
    association: dict[str, Any] = field(default_factory=dict)


def compact(kind: str, head: str) -> Recipe:
    """EM, HAD or mixed events of 10-100 GeV, 10,000 of them in 20 epochs: half an hour on one core.

    Scaled inputs, Adam at 2e-3 with cosine decay, 4 events per step, gradient clipping at 1. Both heads get the same
    backbone, initial weights, events and schedule. Object condensation has no dropout, with which its beta is another
    one at inference than in training, and keeps its last epoch: its loss weighs hits by their own beta, which is no
    measure of reconstruction. What it reaches stands in the documentation's results page.
    """
    return Recipe(
        name=f"compact-{kind}-{head}",
        sample=f"compact-{kind}",
        n_events=500,
        n_validation=60,
        n_tuning=200,
        parameters={
            "head": head,
            "readout": METHODS[head].readouts[0],
            "max_epochs": 20,
            "batch_size": 4,
            "learning_rate": 2e-3,
            "network": NetworkConfig(scaling="hgcal"),
            "training": TrainingConfig(schedule="cosine", gradient_clip=1.0, select=SELECT.get(head, "loss")),
        },
        readouts=METHODS[head].readouts,
    )


def best(kind: str) -> Recipe:
    """What has been found better than `compact` on the same showers.

    Lines from the origin that a small network takes for the axis of a shower, by what lies around them, read by OC
    inference; and three stages that share every hit among those showers. That takes six minutes on one core. Where
    there are pions, events have 2-12 particles, and a hit of which no shower has two fifths gets no label. Thresholds
    are tuned on events of 2-15 particles.

    Notes
    -----
    `slopes` is its control, with the same coordinates and nothing learned to read them.
    """
    refine = Stages(3) if kind == "em" else Stages(3, min_share=0.4)
    return Recipe(
        name=f"compact-{kind}-best",
        sample=f"compact-{kind}",
        n_events=500,
        n_validation=60,
        n_tuning=100,
        parameters={"head": "axes", "readout": "condensation", "refine": refine},
        readouts=METHODS["axes"].readouts,
        train_particles=None if kind == "em" else (2, 12),
        tuning_particles=(2, 15),
        grids=AXES_GRIDS,
    )


def slopes(kind: str) -> Recipe:
    """The control of `best`: slopes x/z, y/z read by CLUE and tuned in the same way, without a network.

    With a shower profile that reassigns hits for electrons; without anything learned otherwise.
    """
    parameters = {"head": "slopes", "readout": "clue", "refine": 1 if kind == "em" else 0}
    name, readouts = f"compact-{kind}-slopes", METHODS["slopes"].readouts
    return replace(best(kind), name=name, parameters=parameters, readouts=readouts, train_particles=None, grids=GRIDS)


def control(kind: str, name: str) -> Recipe:
    """`compact` with one thing changed, to see what that does.

    ``"raw"``: SupCon, with inputs as they are, the paper's choice. ``"projective"``: SupCon, with x and y projected
    along lines to the origin. ``"oclong"``: OC, 60 epochs in place of 20.
    """
    changes: dict[str, dict[str, Any]] = {
        "raw": {"network": NetworkConfig(scaling="raw")},
        "projective": {"network": NetworkConfig(scaling="projective")},
        "oclong": {"max_epochs": 60},
    }
    base = compact(kind, "oc" if name == "oclong" else "supcon")
    return replace(base, name=f"compact-{kind}-{name}", parameters=base.parameters | changes[name])


def oc_tuned(kind: str) -> Recipe:
    """The strongest object condensation found at equal training: the network of `compact`, read by CLUE.

    Thresholds are tuned on events of 2-15 particles. Other charges, attraction, centre, weight of beta, learning rate
    and size of steps gained nothing on validation events; `benchmarks/results/condensation` has the trials.
    """
    base = compact(kind, "oc")
    readouts = ("clue", *(name for name in base.readouts if name != "clue"))
    parameters = base.parameters | {"readout": "clue"}
    name = f"compact-{kind}-oc-tuned"
    return replace(base, name=name, parameters=parameters, readouts=readouts, tuning_particles=(2, 15))


def paper(kind: str, head: str) -> Recipe:
    """Sizes, inputs and optimiser of arXiv:2603.23356, sections III.1 and III.2: 100 epochs, for a GPU.

    The packaged library holds few showers above 100 GeV: grow one with `cmlflow.simulation.geant4` first.
    """
    return Recipe(
        name=f"paper-{kind}-{head}",
        sample=f"paper-{kind}",
        n_events=10_000,
        n_validation=1_000,
        n_tuning=1_000,
        parameters={
            "head": head,
            "readout": METHODS[head].readouts[0],
            "max_epochs": 100,
            "batch_size": 16,
            "learning_rate": 3e-4,
            "network": NetworkConfig(scaling="raw"),
            "training": TrainingConfig(select="last") if head in SELECT else TrainingConfig(patience=15),
        },
        readouts=METHODS[head].readouts,
    )


def rho(head: str) -> Recipe:
    """Decays of charged rho mesons in the slab detector, hits and the track: 15,000 events in 15 epochs.

    Events are small, 45 hits and one track: 3 to 4 minutes on one core, and tuning.
    """
    return _flow("rho", head, n_events=1000, max_epochs=15)


def rhos(head: str) -> Recipe:
    """One to three rhos in an event, within 10 degrees of the axis: 15,000 events in 15 epochs.

    What has seen three tracks at most, to be tried on jets.
    """
    return _flow("rhos", head, n_events=1000, max_epochs=15)


def jets(head: str) -> Recipe:
    """Jets in the slab detector, hits and tracks: 15,000 events in 15 epochs.

    In the mean 100 hits and 6 tracks of 11 particles: 6 to 8 minutes on one core, and tuning.
    """
    return _flow("jets", head, n_events=1000, max_epochs=15)


def pi_gun(head: str) -> Recipe:
    """A charged and a neutral pion on top of each other in the slab detector: 60,000 events in 60 epochs.

    Of 2-5, 5-10, 10-15 or 15-20 GeV, in the mean 40 hits: 12 minutes on one core, and tuning. What counts is the sum
    of the neutral energy, and so it is in the loss; and the tuning sample is larger, as its calibration leaves a bias.
    """
    base = _flow("pi-guns", head, n_events=1000, max_epochs=60)
    training = replace(base.parameters["training"], balance=2.0)
    return replace(base, name=f"pi-gun-{head}", n_tuning=1000, parameters=base.parameters | {"training": training})


def _flow(sample: str, head: str, n_events: int, max_epochs: int) -> Recipe:
    """Hits and tracks as points of one cloud; both heads get the same events, schedule and dropout.

    The dropout does no harm to object condensation here, where showers have ten hits: with it and without it, the
    packaged models have the same loss.
    """
    return Recipe(
        name=f"{sample}-{head}",
        sample=sample,
        n_events=n_events,
        n_validation=300,
        n_tuning=300,
        parameters={
            "head": head,
            "readout": FLOW_READOUTS[head][0],
            "tracks": True,
            "max_epochs": max_epochs,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "network": NetworkConfig(k=16, dropout=0.01),
            "training": TrainingConfig(schedule="cosine", warmup_steps=50, gradient_clip=1.0),
        },
        readouts=FLOW_READOUTS[head],
        association={"vertex": "tracks"} if sample == "pi-guns" else {},
        grids={name: grid for name, grid in FLOW_GRIDS.items() if name in FLOW_READOUTS[head]},
    )


def smoke(head: str = "supcon") -> Recipe:
    """A minute's run that exercises everything and reaches little."""
    return Recipe(
        name=f"smoke-{head}",
        sample="compact-em",
        n_events=24,
        n_validation=6,
        n_tuning=6,
        parameters={
            "head": head,
            "readout": METHODS[head].readouts[0],
            "max_epochs": 3,
            "batch_size": 4,
            "learning_rate": 2e-3,
            "network": NetworkConfig(scaling="hgcal"),
        },
        readouts=METHODS[head].readouts[:1],
    )


def _recipes() -> dict[str, Callable[[], Recipe]]:
    out: dict[str, Callable[[], Recipe]] = {}
    for kind in ("em", "had", "mixed"):
        out[f"compact-{kind}-best"] = lambda kind=kind: best(kind)  # type: ignore[misc]
        out[f"compact-{kind}-oc-tuned"] = lambda kind=kind: oc_tuned(kind)  # type: ignore[misc]
        out[f"compact-{kind}-slopes"] = lambda kind=kind: slopes(kind)  # type: ignore[misc]
        for name in ("raw", "projective", "oclong") if kind != "mixed" else ():
            out[f"compact-{kind}-{name}"] = lambda kind=kind, name=name: control(kind, name)  # type: ignore[misc]
    for head in ("supcon", "oc"):
        out[f"pi-gun-{head}"] = lambda head=head: pi_gun(head)  # type: ignore[misc]
        out[f"rhos-{head}"] = lambda head=head: rhos(head)  # type: ignore[misc]
        out[f"rho-{head}"] = lambda head=head: rho(head)  # type: ignore[misc]
        out[f"jets-{head}"] = lambda head=head: jets(head)  # type: ignore[misc]
        out[f"smoke-{head}"] = lambda head=head: smoke(head)  # type: ignore[misc]
        for kind in ("em", "had", "mixed"):
            out[f"compact-{kind}-{head}"] = lambda kind=kind, head=head: compact(kind, head)  # type: ignore[misc]
            out[f"paper-{kind}-{head}"] = lambda kind=kind, head=head: paper(kind, head)  # type: ignore[misc]
    return out


RECIPES = _recipes()


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises
    ------
    ValueError
        Lists the names there are.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}, expected one of {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()
