"""What the speed benchmark runs on: events of simulated showers with an exact number of hits, and their embeddings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlflow.event import Deposits, Event
from cmlflow.methods import build_network
from cmlflow.model_paths import packaged_models
from cmlflow.nets.network import Network
from cmlflow.sampling import collate
from cmlflow.simulation import SimulatedEvents

if TYPE_CHECKING:
    from cmlflow.clusterer import MetricClusterer

SAMPLE = "paper-em-test"
MODEL = "compact-em-supcon"
OC_MODEL = "compact-em-oc"
BEST_MODEL = "compact-em-best"
HITS_PER_PARTICLE = 1600  # more than an electron of the sample leaves on average
GAIN = 1.5


def event_of(n_hits: int, sample: str = SAMPLE, seed: int = 1) -> Event:
    """An event of a sample with exactly `n_hits` hits.

    Particles are added, from two on, until there are enough hits; then the energy threshold is raised until no more
    than `n_hits` are left (of equal energies the earlier hits stay): showers keep their shape and lose their faintest
    hits. Beyond two particles, the excess is less than one particle.

    Parameters
    ----------
    n_hits : int
    sample : str
    seed : int
    """
    n_particles = max(2, n_hits // HITS_PER_PARTICLE)
    while (event := SimulatedEvents(sample, 1, seed, n_particles)[0]).n_hits < n_hits:
        n_particles += 1
    return strongest(event, n_hits)


def strongest(event: Event, n_hits: int) -> Event:
    """The event with its `n_hits` hits of highest energy alone, in their order."""
    keep = np.sort(np.argsort(-event.energy, kind="stable")[:n_hits])
    position = np.full(event.n_hits, -1)
    position[keep] = np.arange(len(keep))
    d = event.deposits
    stays = position[d.hit] >= 0
    return Event(
        event.position[keep],
        event.energy[keep],
        event.layer[keep],
        event.particle_id[keep],
        deposits=Deposits(position[d.hit[stays]], d.particle[stays], d.energy[stays]),
        particles=event.particles,
        purity=event.purity[keep],
        detector=event.detector,
        number=event.number,
    )


class Inputs:
    """Events and what networks make of them, each made once.

    Parameters
    ----------
    device : str
        Where tensors live.
    model : str or path, optional
        Trained model (head ``"supcon"``) that gives embeddings; the packaged one by default, and a network with
        random weights where there is none.
    """

    def __init__(self, device: str = "cpu", model: str | Path | None = None) -> None:
        self.device = device
        self.model = MODEL if model is None and MODEL in packaged_models() else model
        self.event = cache(event_of)
        self.network = cache(self._network)
        self.trained = cache(self._trained)
        self.outputs = cache(self._outputs)

    @property
    def model_name(self) -> str:
        """For reports."""
        return "random weights" if self.model is None else Path(self.model).name

    def tensors(self, n_hits: int) -> tuple[Tensor, Tensor]:
        """Features (n_hits, 5) and particles (n_hits,) of the event."""
        batch = collate([self.event(n_hits)]).to(self.device)
        return batch.x, batch.particle_id

    def embedding(self, n_hits: int) -> Tensor:
        """Unit vectors of the trained network, shape (n_hits, 16)."""
        return self.outputs(n_hits)[0]

    def condensation(self, n_hits: int) -> tuple[Tensor, Tensor]:
        """Beta (n_hits,) and coordinates (n_hits, 16) of the packaged OC model; of random weights if there is none."""
        packaged = OC_MODEL in packaged_models()
        network = self.clusterer(OC_MODEL).network_.to(self.device) if packaged else self.network("oc")
        with torch.no_grad():
            out = network.eval()(self.tensors(n_hits)[0])
        return out["beta"], out["coordinates"].contiguous()

    def clusterer(self, name: str) -> MetricClusterer:
        """A packaged model, whole."""
        from cmlflow.clusterer import MetricClusterer

        return MetricClusterer.load(name, device=self.device)

    def edge_features(self, n_hits: int) -> Tensor:
        """What the trained network's last edge layer looks for neighbours in, shape (n_hits, 64)."""
        return self.outputs(n_hits)[1]

    def _network(self, head: str) -> Network:
        """The paper's network with random weights, without dropout so that results can be compared.

        Weights are drawn wider than a fresh network's, which maps all hits to almost one point: there the gradient
        of a contrastive loss is a small difference of large terms, and says little about agreement.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(head, scaling="hgcal", dropout=0.0)
            for module in network.modules():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=GAIN / module.in_features**0.5)
        return network.to(self.device)

    def _trained(self) -> Network:
        if self.model is None:
            return self._network("supcon")
        from cmlflow.clusterer import MetricClusterer

        network = MetricClusterer.load(self.model).network_
        if not isinstance(network, Network):
            raise ValueError(f"model: {self.model} has no network to time")
        return network.to(self.device).eval()

    def _outputs(self, n_hits: int) -> tuple[Tensor, Tensor]:
        network = self.trained()
        caught: list[Tensor] = []
        layer: Any = network.backbone.layers[-1]  # type: ignore[index]
        handle = layer.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        try:
            with torch.no_grad():
                out = network(self.tensors(n_hits)[0])["embedding"]
        finally:
            handle.remove()
        return functional.normalize(out, dim=1), caught[0].contiguous()
