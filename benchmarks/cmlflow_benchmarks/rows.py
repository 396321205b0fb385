"""The rows of the speed benchmark: what is timed, on what, against whom, and how results are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cmlflow_benchmarks import cases
from cmlflow_benchmarks.cases import Case
from cmlflow_benchmarks.inputs import Inputs

OWN = "cmlflow"


@dataclass(frozen=True)
class Row:
    """One row at several sizes.

    Attributes
    ----------
    title : str
    build : callable
        ``build(n, inputs) -> Case``, with n the hits of the event (or what `unit` says).
    sizes, quick, memory : tuple of int
        Sizes timed, timed with ``--quick``, and at which memory is measured too.
    unit : str
        What sizes count.
    limits : dict of str to int
        Largest size of rivals that need too much time or memory beyond it.
    agreement : str
        What `Case.difference` is.
    """

    title: str
    build: Callable[[int, Inputs], Case]
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    memory: tuple[int, ...] = ()
    unit: str = "hits"
    limits: Mapping[str, int] = field(default_factory=dict)
    agreement: str = ""

    def case(self, n: int, inputs: Inputs) -> Case:
        """The case of one size, without the rivals that are beyond their limits."""
        case = self.build(n, inputs)
        allowed = {name: call for name, call in case.candidates.items() if n <= self.limits.get(name, n)}
        return Case(allowed, case.difference, case.flops, case.precision)


_LABELS = "1 - adjusted Rand index of the clusters"
_LOSS = "relative, of loss and gradient, the larger one"
_DISTANCE = "relative, of the distances to the k-th neighbour, mean"
_FIGURES = "largest of any figure"

ROWS: dict[str, Row] = {
    "step-supcon": Row(
        "training step, SupCon", lambda n, i: cases.training_step(n, i, "supcon"),
        (1000, 2000, 4000, 8000), (1000,), (4000, 8000), agreement=_LOSS,
    ),
    "step-oc": Row(
        "training step, OC", lambda n, i: cases.training_step(n, i, "oc"),
        (1000, 2000, 4000, 8000), (1000,), (4000, 8000), agreement=_LOSS,
    ),
    "supcon": Row(
        "SupCon, forward and backward", cases.supcon,
        (1000, 2000, 4000, 8000), (1000, 2000), (4000,), agreement=_LOSS,
    ),
    "condensation-loss": Row(
        "OC loss, forward and backward", cases.condensation_loss,
        (2000, 8000, 30000), (2000,), (30000,), agreement=_LOSS,
    ),
    "knn-64d": Row(
        "kNN, 64-d", cases.knn_64d,
        (2000, 5000, 10000, 30000), (2000,), (10000,), limits={"torch-cluster": 10000}, agreement=_DISTANCE,
    ),
    "density": Row(
        "density readout", cases.density_readout,
        (2000, 5000, 10000, 30000), (2000,), (10000,), limits={"full matrix, per hit": 10000}, agreement=_LABELS,
    ),
    "condensation": Row(
        "OC readout", cases.condensation_readout,
        (2000, 10000, 30000), (2000,), (10000,), limits={"full matrix, per hit": 10000}, agreement=_LABELS,
    ),
    "ward": Row(
        "Ward readout", cases.ward_readout,
        (2000, 5000, 10000, 30000), (2000,), (10000, 30000), limits={"scikit-learn": 10000}, agreement=_LABELS,
    ),
    "association": Row("R2S, S2R, shared energy", cases.association, (2000, 8000, 30000), (1000,), agreement=_FIGURES),
    "embedding-metrics": Row("embedding metrics", cases.embedding, (1000, 2000), (500,), agreement=_FIGURES),
    "inference": Row(
        "inference, hits to clusters", cases.inference,
        (4000, 8000, 16000, 32000), (1000, 2000), (32000,), limits={"textbook": 8000}, agreement=_LABELS,
    ),
    "best": Row(
        "best of electrons, event to clusters", cases.best_inference,
        (2000, 8000, 16000), (1000,), agreement=_LABELS,
    ),
    "overlay": Row("overlay of showers", cases.overlay_showers, (5, 30), (5,), unit="particles", agreement=_FIGURES),
    "read-root": Row("reading ROOT", cases.read_root, (50,), (10,), unit="events", agreement=_FIGURES),
    "read-parquet": Row("reading Parquet", cases.read_parquet, (50,), (10,), unit="events", agreement=_FIGURES),
    "knn-16d": Row(
        "kNN, 16-d", cases.knn_16d,
        (2000, 10000, 30000), (2000,), limits={"torch-cluster": 10000}, agreement=_DISTANCE,
    ),
    "knn-3d": Row("kNN, 3-d", cases.knn_3d, (2000, 10000, 30000), (2000,), agreement=_DISTANCE),
}  # fmt: skip


def chosen(names: list[str] | None) -> dict[str, Row]:
    """The rows of these names, all by default.

    Raises
    ------
    ValueError
        For a name that there is not; lists those there are.
    """
    for name in names or []:
        if name not in ROWS:
            raise ValueError(f"row {name!r} is not known; there are {', '.join(ROWS)}")
    return {name: row for name, row in ROWS.items() if not names or name in names}


def measured_sizes(row: Row, quick: bool) -> tuple[int, ...]:
    """Sizes to run."""
    return row.quick if quick else row.sizes


def rivals_of(names: list[Any]) -> list[Any]:
    """All candidates but cmlflow itself."""
    return [name for name in names if name != OWN]
