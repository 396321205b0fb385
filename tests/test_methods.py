"""The table of methods: what a row needs, and that heads are known there alone."""

import re
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from cmlflow import Event, MetricClusterer, NetworkConfig
from cmlflow.embedders import Embedder
from cmlflow.methods import METHODS, Method, build_embedder, build_refiner
from cmlflow.nets.heads import EmbeddingHead
from cmlflow.prediction import Embedding
from cmlflow.readouts import Clue
from cmlflow.refiners import Profile, Refiner, Stages
from cmlflow.sampling import event_points

PACKAGE = Path(__file__).parents[1] / "cmlflow"


def two_lines(n_events=4):
    """Events of two particles, at x = -5 and x = 5."""
    out = []
    for i in range(n_events):
        rng = np.random.default_rng(i)
        ids = np.arange(20) % 2
        position = np.stack([10.0 * ids - 5 + rng.normal(size=20) / 9, rng.normal(size=20), 320 + np.arange(20.0)], 1)
        out.append(Event(position, rng.exponential(5, 20), np.arange(20) + 1, ids))
    return out


@pytest.mark.parametrize("head", METHODS)
def test_embedders_and_refiners_keep_to_their_protocols(head):
    embedder = build_embedder(head, {})
    assert isinstance(embedder, Embedder)
    assert isinstance(build_refiner(1, head), Refiner)
    (z,) = embedder.embed(two_lines(1))
    assert z.hits.shape == (20, METHODS[head].dim)
    assert z.on_sphere == METHODS[head].on_sphere
    state = embedder.state()
    other = build_embedder(head, {}, random_state=5)
    other.load_state(state)
    (again,) = other.embed(two_lines(1))
    np.testing.assert_array_equal(again.z, z.z)


def test_heads_are_known_in_the_table_alone():
    """No special cases by the name of a head, or by the type of an embedder, anywhere else."""
    by_name = re.compile(r"""(?<!for )\bhead\s*(==|!=|in|not in)\s*[("'\[{]""")
    by_type = re.compile(
        r"isinstance\([^)]*(Embedder|AxisFinder|Slopes|NetworkEmbedder|Profile|Stages|ShowerProfile|HitAssigner)"
    )
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.name != "methods.py":
            text = path.read_text()
            found += [f"{path.name}: {m.group()}" for rule in (by_name, by_type) for m in rule.finditer(text)]
    assert found == []


def test_a_new_method_is_a_head_a_loss_and_a_row(monkeypatch):
    """What CONTRIBUTING.md says under "add a head"."""

    class PlainHead(nn.Module):
        def __init__(self, in_features, dim=2):
            super().__init__()
            self.linear = nn.Linear(in_features, dim)

        def forward(self, h):
            return {"embedding": self.linear(h)}

    class Pull:
        def __call__(self, output, particle_id, weight=None):
            z = output["embedding"]
            return {"pull": sum((z[particle_id == p] - z[particle_id == p].mean(0)).square().sum() for p in (0, 1))}

    monkeypatch.setitem(METHODS, "plain", Method("Plain", ("clue",), PlainHead, Pull, dim=2))
    model = MetricClusterer("plain", "clue", max_epochs=1, network=NetworkConfig(k=4)).fit(two_lines())
    assert [len(labels) for labels in model.predict(two_lines(2))] == [20, 20]


class Positions:
    """An embedder of one's own: x and y."""

    on_sphere, takes_tracks = False, False

    def fit(self, events, validation=None, **settings):
        self.fitted = len(events)

    def embed(self, events):
        for event in events:
            yield Embedding(event_points(event), event.position[:, :2].copy(), False)

    def state(self):
        return {}

    def load_state(self, state):
        pass


def test_an_embedder_of_ones_own(tmp_path):
    own = Positions()
    model = MetricClusterer(own, "clue").fit(two_lines())
    assert not hasattr(own, "fitted")  # a copy was fitted
    assert model.embedder_.fitted == 4
    model.tune(two_lines())
    model.set_params(readout=Clue(density_radius=1, link_distance=4, normalize=False))
    assert all(labels.max() == 1 for labels in model.predict(two_lines(2)))
    with pytest.raises(ValueError, match="dim is 3, but the embedder Positions does not use it"):
        MetricClusterer(Positions(), dim=3).fit(two_lines())
    with pytest.raises(ValueError, match=r"head .* can't be saved"):
        model.save(tmp_path)


def test_refiners_are_chosen_by_the_head():
    assert build_refiner(0, "supcon") is None
    assert build_refiner(2, "prototype") == Profile(2)
    assert build_refiner(2, "axes") == Stages(2)
    with pytest.raises(ValueError, match="stages need the axes of showers"):
        build_refiner(Stages(1), "supcon")
    with pytest.raises(ValueError, match="passes is 0"):
        Profile(0)


def test_heads_are_named_where_one_is_unknown():
    with pytest.raises(ValueError, match=r"head is 'triplet', expected one of \['axes', 'margin', 'oc'"):
        build_embedder("triplet", {})
    assert METHODS["margin"].head is EmbeddingHead
