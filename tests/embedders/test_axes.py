"""Axes of showers: counts around lines against loops, true axes, and what the finder learns."""

import math

import numpy as np
import pytest
import torch

from cmlflow import Event
from cmlflow.embedders.axes import fit_axis_finder, true_axes
from cmlflow.nets.axes import RINGS, AxisFinder, projected


def tracks_and_halos(seed, n_tracks=3, n_layers=12):
    """Each particle a hit in every layer along a line from the origin, and a wide halo in the deeper half."""
    rng = np.random.default_rng(seed)
    z = 320 + 4.0 * np.arange(n_layers)
    hits = []
    for particle in range(n_tracks):
        axis = rng.uniform(-12, 12, 2)
        for layer in range(n_layers):
            n_halo = 6 if layer >= n_layers // 2 else 0
            place = np.concatenate([[axis], axis + rng.normal(0, 4, (n_halo, 2))])
            hits += [(*p * z[layer] / 350, z[layer], rng.exponential(2) + 0.5, layer + 1, particle) for p in place]
    h = np.array(hits)
    return Event(h[:, :3], h[:, 3], h[:, 4], h[:, 5].astype(int))


def finder():
    out = AxisFinder()
    out.ends.copy_(torch.tensor([1.0, 2, 4, 6, 8, 10, 12]))
    return out


def test_counts_around_lines_equal_loops():
    e, net = tracks_and_halos(0), finder()
    x = torch.from_numpy(e.inputs())
    at = np.array([[0.0, 0.0], [5.0, -3.0]])
    found = net.features(x, at).numpy()
    place = [(px / z * 350, py / z * 350) for px, py, z in e.position.tolist()]
    for i, line in enumerate(at):
        energy, layers = np.zeros((4, 7)), [[set() for _ in range(7)] for _ in range(2)]
        for h in range(e.n_hits):
            d = math.dist(place[h], line)
            depth = next(k for k, end in enumerate(net.ends.tolist()) if e.layer[h] <= end)
            for ring in range(4):
                if d <= RINGS[ring]:
                    energy[ring, depth] += e.energy[h]
                    break
            for ring in range(2):
                if d <= RINGS[ring]:
                    layers[ring][depth].add(e.layer[h])
        expected = [math.log1p(v) for v in energy.flatten()] + [len(s) for row in layers for s in row]
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)


def test_lines_are_those_through_the_hits_unless_given():
    x = torch.from_numpy(tracks_and_halos(1).inputs())
    assert torch.equal(finder().features(x), finder().features(x, projected(x)))


def test_events_of_a_batch_do_not_see_each_other_and_order_does_not_matter():
    one, two = (torch.from_numpy(tracks_and_halos(seed).inputs()) for seed in (1, 2))
    net = finder()
    together = net(torch.cat([one, two]), torch.tensor([0, len(one), len(one) + len(two)]))
    order = torch.randperm(len(two), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(together["beta"][: len(one)], net(one)["beta"], rtol=1e-6, atol=0)
    torch.testing.assert_close(net(two[order])["beta"], together["beta"][len(one) :][order], rtol=1e-6, atol=0)
    torch.testing.assert_close(
        together["coordinates"], torch.cat([one, two])[:, :2] / torch.cat([one, two])[:, 2:3] * 100
    )


def test_event_without_hits():
    out = finder()(torch.zeros(0, 5))
    assert out["beta"].shape == (0,)
    assert out["coordinates"].shape == (0, 2)


def test_true_axes_are_the_lines_with_most_layers():
    e = tracks_and_halos(3)
    ids, axes = true_axes(e)
    assert ids.tolist() == [0, 1, 2]
    first = np.flatnonzero(e.layer == 1)  # the tracks alone
    np.testing.assert_allclose(axes, e.position[first, :2] / e.position[first, 2:] * 350, atol=0.4)


def test_hits_without_truth_have_no_axis():
    e = tracks_and_halos(3)
    unknown = Event(e.position, e.energy, e.layer, np.where(e.particle_id == 1, -1, e.particle_id))
    assert true_axes(unknown)[0].tolist() == [0, 2]


def test_finder_learns_tracks_from_halos():
    net = AxisFinder()
    fit_axis_finder(net, [tracks_and_halos(seed) for seed in range(12)], n_steps=200, hits_per_step=512)
    assert net.ends.tolist() == [1, 2, 4, 6, 7, 9, 12]
    e = tracks_and_halos(77)
    with torch.no_grad():
        beta = net(torch.from_numpy(e.inputs()))["beta"].numpy()
    first = np.flatnonzero(e.layer == 1)
    axes = e.position[first, :2] / e.position[first, 2:] * 350
    distance = np.linalg.norm(projected(torch.from_numpy(e.inputs()))[:, None] - axes, axis=2).min(1)
    assert beta[distance < 0.5].mean() > 0.8
    assert beta[distance > 2.0].mean() < 0.2


def test_same_seed_same_finder():
    events = [tracks_and_halos(seed) for seed in range(2)]
    one, two = AxisFinder(), AxisFinder()
    for net in (one, two):
        fit_axis_finder(net, events, n_steps=3, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_needs_truth():
    e = tracks_and_halos(0)
    with pytest.raises(ValueError, match="known particle"):
        fit_axis_finder(AxisFinder(), [Event(e.position, e.energy, e.layer)])
