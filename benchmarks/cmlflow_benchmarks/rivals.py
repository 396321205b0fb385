"""What cmlflow is timed against: networks, losses, neighbour searches and readouts in the form they usually have.

Published packages where there is one (torch-geometric, torch-cluster, scikit-learn, faiss, pytorch-metric-learning,
object-condensation, hdbscan), else the formula of the paper written down directly with full matrices. Packages that are
not installed are left out, see `installed`.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.nets.network import Network

Labels = NDArray[np.int64]


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return find_spec(package) is not None


def textbook_network(network: Network) -> nn.Module:
    """The same network with the same weights, its edge layers from torch-geometric.

    Neighbours come from torch-cluster, or from scikit-learn where that is not installed.
    """
    return _TextbookNetwork(network)


class _TextbookNetwork(nn.Module):
    def __init__(self, network: Network) -> None:
        from torch_geometric.nn import EdgeConv

        super().__init__()
        own: Any = network.backbone
        self.k = own.layers[0].k
        self.scaling, self.encoder, self.trunk, self.head = own.scaling, own.encoder, own.trunk, network.head
        self.dropout = own.dropout
        self.layers = nn.ModuleList()
        for layer in own.layers:
            edge_function = nn.Sequential(nn.Linear(*layer.first.weight.shape[::-1]), nn.ELU())
            edge_function.append(nn.Linear(*layer.second.weight.shape[::-1]))
            convolution = EdgeConv(edge_function, aggr="max")  # initialises the weights anew
            edge_function[0], edge_function[2] = layer.first, layer.second
            self.layers.append(convolution)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.encoder(self.scaling(x))
        for convolution in self.layers:
            h = self.dropout(functional.elu(convolution(h, edge_index(h.detach(), self.k))))
        out: dict[str, Tensor] = self.head(self.trunk(h))
        return out


def edge_index(x: Tensor, k: int) -> Tensor:
    """Edges (2, N k) from the k nearest neighbours of each point, itself included, to the point."""
    neighbours = knn_torch_cluster(x, k) if installed("torch_cluster") else knn_scikit_learn(x, k)
    to = torch.arange(len(x), device=x.device).repeat_interleave(neighbours.shape[1])
    return torch.stack([neighbours.reshape(-1), to])


def knn_torch_cluster(x: Tensor, k: int) -> Tensor:
    """Neighbours (N, k) by torch-cluster."""
    from torch_cluster import knn

    neighbours: Tensor = knn(x, x, k)[1].view(-1, k)
    return neighbours


def knn_scikit_learn(x: Tensor, k: int) -> Tensor:
    """Neighbours (N, k) by scikit-learn, which chooses between tree and matrix."""
    from sklearn.neighbors import NearestNeighbors

    points = x.cpu().numpy()
    found = NearestNeighbors(n_neighbors=k, n_jobs=1).fit(points).kneighbors(points, return_distance=False)
    return torch.from_numpy(found).to(x.device)


def knn_faiss(x: Tensor, k: int) -> Tensor:
    """Neighbours (N, k) by the flat index of faiss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types
        import faiss
    faiss.omp_set_num_threads(torch.get_num_threads())
    points = x.cpu().numpy()
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    return torch.from_numpy(index.search(points, k)[1]).to(x.device)


def supcon_full_matrix(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """SupCon with the N x N matrices of logits and of positives, after arXiv:2004.11362, eq. 2."""
    z = functional.normalize(z, dim=1)
    logits = z @ z.T / temperature
    logits = logits - logits.max(1, keepdim=True).values.detach()
    other = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = (labels[:, None] == labels[None, :]) & other
    log_probability = logits - (logits.exp() * other).sum(1, keepdim=True).log()
    count = positive.sum(1)
    anchor = count > 0
    mean = (positive * log_probability).sum(1)[anchor] / count[anchor]
    return -mean.mean()


def supcon_metric_learning(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """SupCon of pytorch-metric-learning."""
    from pytorch_metric_learning.losses import SupConLoss

    loss: Tensor = SupConLoss(temperature=temperature)(z, labels)
    return loss


def condensation_full_matrix(beta: Tensor, x: Tensor, labels: Tensor, q_min: float = 0.1) -> Tensor:
    """Object condensation with (N, K) matrices, after arXiv:2603.23356, section II.2; the sum of its terms."""
    particles = torch.unique(labels)
    own = labels[:, None] == particles[None, :]
    charge = torch.arctanh(beta) ** 2 + q_min
    alpha = (charge[:, None] * own).argmax(0)
    distance = torch.cdist(x, x[alpha])
    pull = charge[:, None] * charge[alpha]
    attraction = ((pull * own * distance**2).sum(0) / own.sum(0)).mean()
    repulsion = ((pull * ~own * functional.relu(1 - distance)).sum(0) / (~own).sum(0).clamp(min=1)).mean()
    total: Tensor = attraction + repulsion + (1 - beta[alpha]).mean()
    return total


def condensation_package(beta: Tensor, x: Tensor, labels: Tensor, q_min: float = 0.1) -> Tensor:
    """The loss of the package object-condensation; the sum of its terms."""
    from object_condensation.pytorch.losses import condensation_loss

    terms = condensation_loss(beta=beta, x=x, object_id=labels, q_min=q_min, noise_threshold=-1)
    total: Tensor = terms["attractive"] + terms["repulsive"] + terms["coward"]
    return total


def density_full_matrix(
    z: Tensor, k: int = 24, temperature: float = 0.1, threshold: float = 0.4, radius: float = 0.45
) -> Labels:
    """The density readout as published: the N x N matrix of distances, then hit by hit."""
    z = functional.normalize(z, dim=1)
    distance = torch.cdist(z, z)
    score = torch.exp(-distance.sort(1).values[:, k] / temperature)
    return greedy_per_hit(distance.cpu().numpy(), score.cpu().numpy(), threshold, radius)


def condensation_per_hit(x: Tensor, beta: Tensor, threshold: float, radius: float) -> Labels:
    """OC inference with the N x N matrix of distances, hit by hit."""
    return greedy_per_hit(torch.cdist(x, x).cpu().numpy(), beta.cpu().numpy(), threshold, radius)


def greedy_per_hit(
    distance: NDArray[np.float32], score: NDArray[np.float32], threshold: float, radius: float
) -> Labels:
    """Centres by falling score at least `radius` apart, one hit at a time; each claims what is near and still free."""
    centres: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if score[i] <= threshold:
            break
        if not centres or distance[i, centres].min() >= radius:
            centres.append(int(i))
    if not centres:
        centres = [int(score.argmax())]
    labels = np.full(len(score), -1, np.int64)
    for c, i in enumerate(centres):
        labels[(distance[i] < radius) & (labels < 0)] = c
    rest = np.flatnonzero(labels < 0)
    for i in rest:
        labels[i] = distance[i, centres].argmin()
    return labels


def ward_scikit_learn(z: Tensor, height: float) -> Labels:
    """Ward linkage of scikit-learn, cut at a height."""
    from sklearn.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(n_clusters=None, distance_threshold=height, linkage="ward")
    return np.asarray(model.fit_predict(z.cpu().numpy()), np.int64)


def hdbscan_package(z: Tensor, min_cluster_size: int = 8) -> Labels:
    """The package hdbscan: another algorithm for the same task."""
    import hdbscan

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package's calls of scikit-learn
        model = hdbscan.HDBSCAN(min_cluster_size=min_cluster_size, core_dist_n_jobs=1).fit(z.cpu().double().numpy())
    return np.asarray(model.labels_, np.int64)
