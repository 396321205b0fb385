"""One case of the speed benchmark each: the same input for cmlflow and its rivals, and the work it takes at least."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmlflow.graphs import knn
from cmlflow.io import read, write
from cmlflow.losses import condensation_loss as own_condensation
from cmlflow.losses import supcon_loss
from cmlflow.metrics import association_scores, embedding_metrics
from cmlflow.readouts import condensation, density, ward
from cmlflow.simulation import ShowerLibrary, overlay
from cmlflow_benchmarks import loops, rivals
from cmlflow_benchmarks.inputs import BEST_MODEL, MODEL, Inputs, event_of

K = 24
WARD_HEIGHT = 8.0
OC_SETTING = (0.1, 0.25)  # threshold, radius: the paper's


@dataclass(frozen=True)
class Case:
    """What is called, and how results compare.

    Attributes
    ----------
    candidates : dict of str to callable
        ``"cmlflow"`` first, then its rivals.
    difference : callable
        Of cmlflow's result and a rival's, a number that is zero where they agree; None: not comparable.
    flops : float, optional
        Operations of the matrix products of the algorithm with neighbours from all pairs.
    precision : {"float32", "float64"}
        In which they are done.
    """

    candidates: dict[str, Callable[[], Any]]
    difference: Callable[[Any, Any], float | None]
    flops: float | None = None
    precision: str = "float32"


def training_step(n: int, inputs: Inputs, head: str) -> Case:
    """Forward, loss and backward of one event."""
    x, labels = inputs.tensors(n)
    network = inputs.network(head)
    textbook = rivals.textbook_network(network)
    weights = list(network.parameters())  # the rival has the same ones

    def own(out: dict[str, Tensor]) -> Tensor:
        if head == "supcon":
            return supcon_loss(out["embedding"], labels)
        return _total(own_condensation(out["beta"], out["coordinates"], labels, largest=1.0))

    def rival(out: dict[str, Tensor]) -> Tensor:
        if head == "supcon":
            return rivals.supcon_full_matrix(out["embedding"], labels)
        return rivals.condensation_full_matrix(out["beta"], out["coordinates"], labels)

    def step(module: nn.Module, loss: Callable[[dict[str, Tensor]], Tensor]) -> tuple[Tensor, Tensor]:
        value = loss(module(x))
        return value.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(value, weights)])

    candidates = {"cmlflow": lambda: step(network, own), "textbook": lambda: step(textbook, rival)}
    return Case(candidates, _step_difference, step_flops(n, head))


def step_flops(n: int, head: str, k: int = K, width: int = 64, dim: int = 16) -> float:
    """Matrix products of a training step: forward; twice that for the weights and inputs of each linear layer.

    The second layer of the edge function runs for every edge forward, for the winning one of each channel backward.
    """
    linear = 5 * width + width**2 + 3 * 2 * width**2 + width**2 + width * width // 2 + width // 2 * dim
    edges = 3 * k * width**2
    edges_back = 3 * 2 * width**2
    pairs = 3 * width + (2 * dim if head == "supcon" else 0)  # half the matrix twice, and the product with it
    return 2.0 * n * (3 * linear + edges + edges_back) + 2.0 * n**2 * pairs


def forward_flops(n: int) -> float:
    """Matrix products of the network without loss and backward pass."""
    linear = 5 * 64 + 4096 + 3 * 2 * 4096 + 4096 + 2048 + 512
    return 2.0 * n * (linear + 3 * K * 4096) + 2.0 * n**2 * 3 * 64


def supcon(n: int, inputs: Inputs) -> Case:
    """The loss alone, on the embedding of the untrained network."""
    x, labels = inputs.tensors(n)
    with torch.no_grad():
        z = inputs.network("supcon")(x)["embedding"]
    candidates = {"cmlflow": _loss(lambda t: supcon_loss(t, labels), z)}
    if rivals.installed("pytorch_metric_learning"):
        candidates["pytorch-metric-learning"] = _loss(lambda t: rivals.supcon_metric_learning(t, labels), z)
    candidates["full matrix"] = _loss(lambda t: rivals.supcon_full_matrix(t, labels), z)
    return Case(candidates, _step_difference, 2.0 * n**2 * 2 * z.shape[1])


def condensation_loss(n: int, inputs: Inputs) -> Case:
    """The loss alone, on the outputs of the untrained network."""
    x, labels = inputs.tensors(n)
    with torch.no_grad():
        out = inputs.network("oc")(x)
    both = torch.cat([out["beta"][:, None], out["coordinates"]], 1)
    candidates = {"cmlflow": _loss(lambda t: _total(own_condensation(t[:, 0], t[:, 1:], labels, largest=1.0)), both)}
    if rivals.installed("object_condensation"):
        candidates["object-condensation"] = _loss(
            lambda t: rivals.condensation_package(t[:, 0], t[:, 1:], labels), both
        )
    candidates["full matrix"] = _loss(lambda t: rivals.condensation_full_matrix(t[:, 0], t[:, 1:], labels), both)
    return Case(candidates, _step_difference)


def knn_3d(n: int, inputs: Inputs) -> Case:
    """Neighbours by position."""
    return _knn(inputs.tensors(n)[0][:, :3].contiguous())


def knn_16d(n: int, inputs: Inputs) -> Case:
    """Neighbours in the embedding."""
    return _knn(inputs.embedding(n))


def knn_64d(n: int, inputs: Inputs) -> Case:
    """Neighbours in the features that the last edge layer gets."""
    return _knn(inputs.edge_features(n))


def _knn(x: Tensor) -> Case:
    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: knn(x, K)}
    if rivals.installed("torch_cluster"):
        candidates["torch-cluster"] = lambda: rivals.knn_torch_cluster(x, K)
    if rivals.installed("faiss"):
        candidates["faiss"] = lambda: rivals.knn_faiss(x, K)
    candidates["scikit-learn"] = lambda: rivals.knn_scikit_learn(x, K)

    def difference(own: Tensor, other: Tensor) -> float:
        d, e = (_distances(x, found) for found in (own, other))
        return float(((d - e).abs() / d.clamp(min=1e-6)).mean())

    return Case(candidates, difference, 2.0 * len(x) ** 2 * x.shape[1] if x.shape[1] > 8 else None)


def _distances(x: Tensor, neighbours: Tensor) -> Tensor:
    """Distance of every point to the farthest of its neighbours."""
    rows = []
    for a in range(0, len(x), 1024):
        own = x[a : a + 1024, None].double()
        rows.append((x[neighbours[a : a + 1024]].double() - own).norm(dim=2).amax(1))
    return torch.cat(rows)


def density_readout(n: int, inputs: Inputs) -> Case:
    """From embedding to clusters; hdbscan is another algorithm for it."""
    z = inputs.embedding(n)
    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: density(z).cpu().numpy()}
    candidates["full matrix, per hit"] = lambda: rivals.density_full_matrix(z)
    candidates["hdbscan (another algorithm)"] = lambda: rivals.hdbscan_package(z)
    return Case(candidates, cluster_difference)


def condensation_readout(n: int, inputs: Inputs) -> Case:
    """From beta and coordinates to clusters."""
    beta, x = inputs.condensation(n)
    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: condensation(x, beta, *OC_SETTING).cpu().numpy()}
    candidates["full matrix, per hit"] = lambda: rivals.condensation_per_hit(x, beta, *OC_SETTING)
    return Case(candidates, cluster_difference)


def ward_readout(n: int, inputs: Inputs) -> Case:
    """From embedding to clusters."""
    z = inputs.embedding(n)
    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: ward(z, WARD_HEIGHT).cpu().numpy()}
    candidates["scikit-learn"] = lambda: rivals.ward_scikit_learn(z, WARD_HEIGHT)
    return Case(candidates, cluster_difference)


def inference(n: int, inputs: Inputs) -> Case:
    """Network and density readout, from an event to labels."""
    x, _ = inputs.tensors(n)
    network = inputs.trained()
    textbook = rivals.textbook_network(network).eval()

    def own() -> Any:
        with torch.inference_mode():
            return density(network(x)["embedding"]).cpu().numpy()

    def rival() -> Any:
        with torch.inference_mode():
            return rivals.density_full_matrix(textbook(x)["embedding"])

    return Case({"cmlflow": own, "textbook": rival}, cluster_difference, forward_flops(n))


def best_inference(n: int, inputs: Inputs) -> Case:
    """From an event to labels: the packaged `best` of electrons, and the paper's recipe."""
    event = [inputs.event(n)]
    best, paper = inputs.clusterer(BEST_MODEL), inputs.clusterer(MODEL)
    candidates = {
        "cmlflow": lambda: best.predict(event)[0],
        "SupCon, density (another algorithm)": lambda: paper.predict(event)[0],
    }
    return Case(candidates, cluster_difference)


def association(n: int, inputs: Inputs) -> Case:
    """Scores of all pairs of a cluster and a particle."""
    event = inputs.event(n)
    labels = density(inputs.embedding(n)).cpu().numpy()
    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: association_scores(labels, event)}
    candidates["loops"] = lambda: loops.association_loops(labels, event)
    return Case(candidates, _largest_difference)


def embedding(n: int, inputs: Inputs) -> Case:
    """Recall and contamination among all hits; cmlflow computes AUC and distances too."""
    event, z = inputs.event(n), inputs.embedding(n).cpu().double().numpy()
    candidates: dict[str, Callable[[], Any]] = {}
    candidates["cmlflow"] = lambda: embedding_metrics(z, event.particle_id, event.energy, hits="all")
    candidates["loops"] = lambda: loops.neighbour_loops(z, event.particle_id)
    return Case(candidates, _largest_difference)


def overlay_showers(n: int, inputs: Inputs) -> Case:
    """An event of n electrons out of single showers."""
    library = ShowerLibrary.packaged("hgcal-em")
    chosen = library.find("test", (11, -11), (30.0, 600.0))
    showers = [library[int(chosen[i % len(chosen)])] for i in range(n)]
    symmetry = [i % 8 for i in range(n)]

    def difference(own: Any, cells: dict[Any, tuple[float, int]]) -> float:
        if own.n_hits != len(cells):
            return float("inf")
        energy = np.array([cells[cell][0] for cell in sorted(cells)])
        return float(np.abs(own.energy / energy - 1).max())  # hits are sorted by layer, x, y

    candidates: dict[str, Callable[[], Any]] = {"cmlflow": lambda: overlay(showers, symmetry)}
    candidates["loops"] = lambda: loops.overlay_loops(showers, symmetry)
    return Case(candidates, difference)


def read_root(n: int, inputs: Inputs) -> Case:
    """n events of about 2,000 hits; cmlflow checks them and makes Events, the rival only arrays."""
    return _reading(n, inputs, ".root", ("uproot, unchecked", loops.read_root_plain))


def read_parquet(n: int, inputs: Inputs) -> Case:
    """As `read_root`."""
    return _reading(n, inputs, ".parquet", ("awkward, unchecked", loops.read_parquet_plain))


def _reading(n: int, inputs: Inputs, suffix: str, rival: tuple[str, Callable[[Path], Any]]) -> Case:
    folder = Path(tempfile.mkdtemp())
    path = folder / f"events{suffix}"
    write([inputs.event(2000), *(event_of(1000 + 50 * i, seed=i) for i in range(n - 1))], path)

    def own() -> Any:
        return list(read(path))

    weakref.finalize(own, shutil.rmtree, folder, ignore_errors=True)

    def difference(events: Any, arrays: Any) -> float:
        pairs = zip(events, arrays, strict=True)
        return max(float(np.abs(e.position - a[0][:, :3]).max() + np.abs(e.particle_id - a[1]).max()) for e, a in pairs)

    return Case({"cmlflow": own, rival[0]: lambda: rival[1](path)}, difference)


def cluster_difference(own: Any, other: Any) -> float:
    """1 - adjusted Rand index: zero for the same clusters under other numbers."""
    from sklearn.metrics import adjusted_rand_score

    return abs(1.0 - float(adjusted_rand_score(own, other)))


def _loss(loss: Callable[[Tensor], Tensor], z: Tensor) -> Callable[[], Any]:
    leaf = z.clone().requires_grad_()

    def step() -> tuple[Tensor, Tensor]:
        value = loss(leaf)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    return step


def _total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _step_difference(own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    loss = float((own[0] - other[0]).abs() / own[0].abs())
    return max(loss, float((own[1] - other[1]).norm() / own[1].norm()))


def _largest_difference(own: dict[str, Any], other: dict[str, Any]) -> float:
    return max(float(np.abs(own[name] - value).max()) for name, value in other.items())
