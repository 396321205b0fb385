"""Super-resolution: geometry, truth, losses by hand, training, folders, edge cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cmlflow
from cmlflow.baselines.learned import SuperConfig, SuperResolver
from cmlflow.baselines.learned.fine import children_of, factors, neutral_in_cells, true_fractions
from cmlflow.baselines.learned.fine_task import FineSample, FineTask, collate_fine
from cmlflow.baselines.learned.superresolution import USUAL, even_split
from cmlflow.detectors import slab_detector
from cmlflow.metrics import neutral_shares
from cmlflow.nets.superresolution import sibling_fractions
from cmlflow.simulation.pairs import EventPairs

LG, HG = slab_detector("slab-lg-sum"), slab_detector("slab-hg")


@pytest.fixture(scope="module")
def pairs():
    return list(EventPairs("pi-gun-2-5", 10, 3))


def test_factors_are_those_of_the_tables():
    assert factors(LG, HG).tolist() == [2, 4, 4, 2, 2, 1]
    odd = replace(LG, n_cells=np.array([32, 8, 7, 8, 8, 8]))
    with pytest.raises(ValueError, match="layer 3: 7 cells along a side in slab-lg-sum and 32 in slab-hg"):
        factors(odd, HG)


def test_noise_of_coarse_cells_is_that_of_their_fine_cells():
    np.testing.assert_allclose(LG.noise, HG.noise * factors(LG, HG))


def test_pairs_are_the_same_event(pairs):
    for coarse, fine in pairs:
        np.testing.assert_array_equal(coarse.particles.direction, fine.particles.direction)
        np.testing.assert_array_equal(coarse.tracks.momentum, fine.tracks.momentum)
        assert coarse.detector == "slab-lg-sum"
        assert fine.detector == "slab-hg"


def test_children_fill_their_parents(pairs):
    event = pairs[0][0]
    children = children_of(event, HG)
    up = factors(LG, HG)[event.layer - 1]
    assert np.bincount(children.parent).tolist() == (up**2).tolist()
    side = LG.width / LG.n_cells[event.layer - 1]
    away = np.abs(children.position[:, :2] - event.position[children.parent, :2])
    assert (away < side[children.parent, None] / 2).all()
    for hit in range(event.n_hits):
        own = children.position[children.parent == hit]
        assert len(np.unique(own, axis=0)) == len(own)
        np.testing.assert_allclose(own.mean(axis=0), event.position[hit], atol=1e-3)


def test_deposits_of_coarse_cells_are_those_of_their_fine_cells(pairs):
    """Sums of fine neutral energies are the coarse ones before noise, cell by cell."""
    for event, fine in pairs:
        children = children_of(event, HG)
        total = np.bincount(children.parent, neutral_in_cells(fine)[children.cell], event.n_hits)
        d = event.deposits
        neutral = (d.particle >= 0) & ~np.isin(d.particle, event.tracks.particle)
        want = np.bincount(d.hit[neutral], d.energy[neutral], event.n_hits)
        np.testing.assert_allclose(total, want, atol=2e-4)


def test_true_fractions_sum_to_at_most_one(pairs):
    for event, fine in pairs:
        children = children_of(event, HG)
        fraction = true_fractions(event, fine, children)
        assert np.bincount(children.parent, fraction, event.n_hits).max() <= 1 + 1e-5
        assert fraction.min() >= 0


def test_sibling_fractions_by_hand():
    got = sibling_fractions(
        torch.tensor([0.0, np.log(2), 0.0]), torch.tensor([np.log(3), 0.0]), torch.tensor([0, 0, 1])
    )
    torch.testing.assert_close(got, torch.tensor([1 / 6, 2 / 6, 1 / 2]), check_dtype=False)


def test_losses_by_hand():
    x = np.zeros((2, 7), np.float32)
    x[:, 3] = [3.0, 1.0]
    offset = np.zeros((3, 2), np.float32)
    sample = FineSample(x, np.array([0, 0, 1]), offset, np.array([0.5, 0.0, 1.0], np.float32))
    batch = collate_fine([sample, sample])
    fraction = torch.tensor([0.25, 0.25, 0.5] * 2)
    # (3 · (0.25² + 0.25²) + 1 · 0.5²) / 4 and (9 · (0.25² + 0.25²) + 1 · 0.5²) / 16
    assert FineTask("fraction").each(fraction, batch).tolist() == pytest.approx([0.15625] * 2)
    assert FineTask("energy").each(fraction, batch).tolist() == pytest.approx([0.0859375] * 2)
    with pytest.raises(ValueError, match="loss is 'l1', expected one of fraction, energy"):
        FineTask("l1")


def test_symmetries_move_cells_and_fine_cells_together(pairs):
    model = SuperResolver()
    sample = model._sample(*pairs[0])
    rng = np.random.default_rng(0)
    for _ in range(5):
        turned = FineTask().augment(sample, rng)
        place = turned.x[turned.parent, :2] + turned.offset
        before = sample.x[sample.parent, :2] + sample.offset
        np.testing.assert_allclose(np.sort(np.abs(place), axis=1), np.sort(np.abs(before), axis=1), rtol=1e-6)


@pytest.fixture(scope="module", params=["graph", "graph-unet", "conv-unet"])
def model(request, pairs):
    training = replace(USUAL, max_epochs=2, batch_size=4, warmup_steps=0)
    return SuperResolver(SuperConfig(request.param, width=2), training).fit(pairs[:8], pairs[8:])


def test_predicts_fine_cells(model, pairs, tmp_path):
    events = [a for a, _ in pairs[:4]]
    found = model.predict(events)
    for event, cells in zip(events, found, strict=True):
        children = children_of(event, HG)
        np.testing.assert_array_equal(cells.parent, children.parent)
        total = np.bincount(cells.parent, cells.energy, event.n_hits)
        assert (total <= event.energy * (1 + 1e-5)).all()
        assert cells.energy.min() >= 0
    model.save(tmp_path / "m")
    again = cmlflow.load(tmp_path / "m").predict(events)
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a.energy, b.energy)
    for event, cells in zip(events, found, strict=True):
        np.testing.assert_allclose(model.predict([event])[0].energy, cells.energy, atol=1e-4)


def test_order_of_hits_does_not_matter(model, pairs):
    event = pairs[0][0]
    order = np.random.default_rng(1).permutation(event.n_hits)
    a, b = model.predict([event, event[order]])
    one = sorted(zip(map(tuple, a.position.tolist()), a.energy.tolist(), strict=True))
    two = sorted(zip(map(tuple, b.position.tolist()), b.energy.tolist(), strict=True))
    assert [p for p, _ in one] == [p for p, _ in two]
    np.testing.assert_allclose([e for _, e in one], [e for _, e in two], atol=1e-4)


def test_events_without_hits_and_other_detectors(model, pairs):
    event = pairs[0][0]
    assert [len(c) > 0 for c in model.predict([event[:0], event])] == [False, True]
    with pytest.raises(ValueError, match="is of detector 'slab-hg', expected 'slab-lg-sum'"):
        model.predict([pairs[0][1]])
    with pytest.raises(ValueError, match="none of the training events has a hit"):
        SuperResolver().fit([(event[:0], pairs[0][1])])


def test_even_split_keeps_the_energy(pairs):
    event = pairs[0][0]
    cells = even_split(event, neutral_shares(event).astype(np.float32))
    assert cells.energy.sum() == pytest.approx(float(neutral_shares(event) @ event.energy), rel=1e-5)
