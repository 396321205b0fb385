"""The training loop: what it minimises, keeps and reports."""

import json

import numpy as np
import pytest
import torch

from cmlflow import Event, EventStore, simulate
from cmlflow.losses import Condensation, MetricLearning, SupCon
from cmlflow.methods import build_network
from cmlflow.sampling import collate, event_points
from cmlflow.training import ClusteringTask, TrainingConfig, load_checkpoint, train

QUICK = {"max_epochs": 2, "batch_size": 4, "learning_rate": 1e-3}


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(a, b):
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def assert_near(found, wanted, start):
    """Adam divides by the gradient: where that is zero to rounding, single weights may go either way."""
    difference = torch.cat([(found[name] - wanted[name]).flatten() for name in wanted])
    change = torch.cat([(wanted[name] - start[name]).flatten() for name in wanted])
    assert float(difference.norm() / change.norm()) < 0.05
    assert float((difference.abs() < 1e-4).float().mean()) > 0.95


def test_first_step_is_adam_on_the_mean_over_events(make_events, make_network):
    events, network, other = make_events(4), make_network(dropout=0.0), make_network(dropout=0.0)
    train(network, SupCon(), events, config=TrainingConfig(max_epochs=1, batch_size=4, learning_rate=1e-3))
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3)
    losses = []
    for e in events:
        batch = collate([e])
        losses.append(SupCon()(other(batch.x), batch.particle_id)["supcon"])
    (sum(losses) / 4).backward()
    optimizer.step()
    # Adam divides by the gradient: parameters with a gradient of zero to rounding may go either way
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    close = [float(torch.isclose(a, b, rtol=1e-3, atol=1e-6).float().mean()) for a, b in pairs]
    assert min(close) > 0.9
    assert sum(close) / len(close) > 0.98


@pytest.mark.parametrize(("head", "loss"), [("supcon", SupCon()), ("oc", Condensation())])
def test_loss_falls(make_events, make_network, head, loss):
    history = train(
        make_network(head), loss, make_events(12), config=TrainingConfig(max_epochs=6, batch_size=4, learning_rate=3e-3)
    )
    assert history.records[-1]["loss"] < 0.95 * history.records[0]["loss"]
    assert [r["epoch"] for r in history.records] == [1, 2, 3, 4, 5, 6]
    assert [r["step"] for r in history.records] == [3, 6, 9, 12, 15, 18]


def test_same_seed_same_weights_and_another_seed_others(make_events, make_network):
    results = []
    for seed in (0, 0, 1):
        network = make_network()
        train(network, SupCon(), make_events(6), config=TrainingConfig(**QUICK, seed=seed))
        results.append(weights(network))
    assert_same(results[0], results[1])
    assert any(not torch.equal(results[0][name], results[2][name]) for name in results[0])


def test_global_random_state_does_not_matter_and_is_kept(make_events, make_network):
    results = []
    for seed in (1, 2):
        network = make_network()
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        train(network, SupCon(), make_events(6), config=TrainingConfig(**QUICK))
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(network))
    assert_same(*results)


def test_hit_budget_does_not_change_the_result(make_events, make_network):
    results = []
    for budget in (10_000, 65, 1):
        network = make_network(dropout=0.0)
        history = train(
            network, SupCon(), make_events(8), make_events(3, seed=5),
            TrainingConfig(**QUICK, hits_per_batch=budget, gradient_clip=1.0),
        )  # fmt: skip
        results.append((weights(network), [(r["loss"], r["validation_loss"]) for r in history.records]))
    for other, losses in results[1:]:
        np.testing.assert_allclose(losses, results[0][1], rtol=1e-4)
        assert_near(other, results[0][0], weights(make_network(dropout=0.0)))


def test_best_epoch_is_kept(make_events, make_network):
    scores, seen = iter([3.0, 1.0, 2.0, 1.0]), []

    def score(network):
        assert not network.training
        seen.append(weights(network))
        return next(scores)

    network = make_network()
    history = train(
        network,
        SupCon(),
        make_events(4),
        config=TrainingConfig(max_epochs=4, batch_size=4, learning_rate=1e-3),
        score=score,
    )
    assert (history.best_epoch, history.best_score) == (2, 1.0)
    assert [r["score"] for r in history.records] == [3.0, 1.0, 2.0, 1.0]
    assert_same(weights(network), seen[1])


def test_validation_loss_decides_without_a_score(make_events, make_network):
    network, validation = make_network(), make_events(3, seed=9)
    history = train(
        network, SupCon(), make_events(8), validation, TrainingConfig(max_epochs=5, batch_size=4, learning_rate=3e-3)
    )
    losses = [r["validation_loss"] for r in history.records]
    assert history.best_epoch == 1 + int(np.argmin(losses))
    network.eval()
    with torch.no_grad():
        found = [float(SupCon()(network(b.x), b.particle_id)["supcon"]) for b in (collate([e]) for e in validation)]
    assert np.mean(found) == pytest.approx(min(losses), rel=1e-4)


def test_without_validation_the_last_epoch_is_kept(make_events, make_network):
    assert train(make_network(), SupCon(), make_events(4), config=TrainingConfig(**QUICK)).best_epoch == 2


def test_select_last_keeps_the_last_epoch_whatever_its_loss(make_events, make_network):
    settings, seen = {"max_epochs": 3, "batch_size": 4, "learning_rate": 0.3}, []
    for select in ("last", "loss"):
        network = make_network(dropout=0.0)
        data = (make_events(8), make_events(3, seed=9))
        history = train(network, SupCon(), *data, TrainingConfig(**settings, select=select))
        losses = [r["validation_loss"] for r in history.records]
        seen.append((history.best_epoch, losses, weights(network)))
    assert seen[0][1] == seen[1][1]
    assert (seen[0][0], seen[1][0]) == (3, 1 + int(np.argmin(seen[1][1])))
    assert seen[1][0] < 3, "the learning rate is meant to be too large"
    assert any(not torch.equal(seen[0][2][name], value) for name, value in seen[1][2].items())


@pytest.mark.parametrize("score", [float("inf"), float("nan")])
def test_scores_that_say_nothing_keep_a_trained_network(make_events, make_network, score):
    network, start = make_network(), weights(make_network())
    history = train(network, SupCon(), make_events(4), config=TrainingConfig(**QUICK), score=lambda _: score)
    assert history.best_epoch == 1
    later = iter([score, 2.0, score])
    config = TrainingConfig(**QUICK | {"max_epochs": 3})
    assert train(make_network(), SupCon(), make_events(4), config=config, score=lambda _: next(later)).best_epoch == 2
    assert any(not torch.equal(start[name], value) for name, value in weights(network).items())


def test_early_stopping(make_events, make_network):
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    history = train(
        make_network(), SupCon(), make_events(4),
        config=TrainingConfig(max_epochs=6, batch_size=4, patience=3), score=lambda _: next(scores),
    )  # fmt: skip
    assert (len(history.records), history.best_epoch) == (5, 2)


def test_learning_rate_follows_the_schedule(make_events, make_network):
    config = TrainingConfig(max_epochs=3, batch_size=2, schedule="cosine", learning_rate=1e-3)
    history = train(make_network(), SupCon(), make_events(4), config=config)
    assert [r["learning_rate"] for r in history.records] == [config.rate(step, 2) for step in (1, 3, 5)]


def test_gradient_clip_bounds_the_gradient(make_events, make_network):
    norms = []

    class Recorder(torch.optim.Adam):
        def step(self, *args, **kwargs):
            norms.append(float(torch.cat([p.grad.flatten() for g in self.param_groups for p in g["params"]]).norm()))
            return super().step(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Recorder)
        train(make_network(), SupCon(), make_events(8), config=TrainingConfig(**QUICK, gradient_clip=0.01))
        clipped, norms = norms, []
        train(make_network(), SupCon(), make_events(8), config=TrainingConfig(**QUICK))
    assert max(clipped) <= 0.01 * 1.001
    assert max(norms) > 0.01


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("head", "loss"), [("supcon", SupCon()), ("oc", Condensation())])
def test_low_precision_follows_single_precision(make_events, make_network, head, loss, precision):
    losses = []
    for kind in ("float32", precision):
        config = TrainingConfig(max_epochs=3, batch_size=4, learning_rate=1e-3, precision=kind)
        history = train(make_network(head, dropout=0.0), loss, make_events(8), config=config)
        losses.append([r["loss"] for r in history.records])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.1)


def test_augmentation_reflects_events_afresh_in_every_epoch(make_events, make_network):
    seen = []

    def run(augment):
        seen.clear()

        def record(network, inputs):
            seen.append(inputs[0][:, :2].clone())

        network = make_network()
        network.register_forward_pre_hook(record)
        train(network, SupCon(), make_events(1), config=TrainingConfig(max_epochs=12, batch_size=1, augment=augment))
        return list(seen)

    assert len({tuple(x.flatten().tolist()) for x in run(False)}) == 1
    reflected = run(True)
    assert len({tuple(x.flatten().tolist()) for x in reflected}) > 4
    lengths = [x.abs().sort(1).values for x in reflected]
    assert all(torch.equal(length, lengths[0]) for length in lengths)


def test_samples_that_change_with_the_epoch_are_told(make_events, make_network):
    told = []

    class Fresh(EventStore):
        def set_epoch(self, epoch):
            told.append(epoch)

    train(make_network(), SupCon(), Fresh(make_events(4)), config=TrainingConfig(max_epochs=3, batch_size=2))
    assert list(dict.fromkeys(told)) == [0, 1, 2]


def test_empty_unlabelled_and_one_hit_events(make_events, make_network):
    empty = Event(np.empty((0, 3)), [], number=7)
    one = Event([[0, 0, 330]], [1.0], [3], [0])
    unknown = Event(make_events(1)[0].position, make_events(1)[0].energy)
    for head, loss in (("supcon", SupCon()), ("oc", Condensation())):
        network = make_network(head)
        train(
            network,
            loss,
            [empty, one, unknown, *make_events(3)],
            [empty, one],
            TrainingConfig(max_epochs=2, batch_size=2),
        )
        assert all(bool(torch.isfinite(v).all()) for v in weights(network).values())


def test_a_loss_that_is_not_finite_names_the_event(make_events, make_network):
    def broken(z, ids):
        return (z * float("nan")).sum() if len(z) == 31 else z.square().sum()

    events = [e for e in make_events(3) if (e.particle_id >= 0).sum() != 31]
    bad = Event(np.zeros((31, 3)), np.ones(31), particle_id=np.zeros(31, int), number=77)
    with pytest.raises(
        FloatingPointError, match=r"loss function is nan in epoch \d, step \d, for event 77 \(31 hits\)"
    ):
        train(make_network(), MetricLearning(broken), [*events, bad], config=TrainingConfig(max_epochs=1, batch_size=1))


def test_diverged_weights_name_the_event(make_events, make_network):
    network = make_network()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="loss supcon is nan in epoch 1, step 0, for event"):
        train(network, SupCon(), make_events(3, n_hits=300), config=TrainingConfig(max_epochs=1))


def test_no_events(make_network):
    with pytest.raises(ValueError, match="there is no event to train on"):
        train(make_network(), SupCon(), [])


def test_log_and_checkpoint(make_events, make_network, tmp_path):
    network = make_network()
    history = train(network, SupCon(), make_events(6), make_events(2, 3), TrainingConfig(**QUICK), folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == history.records
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4


def test_tensorboard(make_events, make_network, tmp_path):
    pytest.importorskip("tensorboard")
    train(make_network(), SupCon(), make_events(4), config=TrainingConfig(**QUICK), folder=tmp_path, tensorboard=True)
    assert any(p.name.startswith("events.out.tfevents") for p in tmp_path.iterdir())


def test_progress_bar(make_events, make_network, capsys):
    train(make_network(), SupCon(), make_events(4), config=TrainingConfig(**QUICK), progress=True)
    assert "2/2" in capsys.readouterr().err


def test_tracks_are_points_of_their_particle_for_the_loss():
    events = list(simulate("jets", 3, seed=1))
    points = [event_points(e, tracks=True) for e in events]
    budget = sum(sorted(len(p) for p in points)[:2]) - 1  # so that no two of them go through the network together
    network, seen, sizes = build_network(dim=4, k=4, tracks=True), [], []
    network.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])))

    def loss(output, particle_id, weight=None):
        assert len(output["embedding"]) == len(particle_id)
        seen.append((particle_id.tolist(), weight.tolist()))
        return SupCon()(output, particle_id)

    settings = TrainingConfig(max_epochs=1, batch_size=3, hits_per_batch=budget, learning_rate=1e-4)
    train(network, ClusteringTask(loss, tracks=True, balance=settings.balance), events, events, settings)
    expected = sorted((p.particle_id.tolist(), p.weight.tolist()) for p in points)
    assert sorted(seen[:3]) == sorted(seen[3:]) == expected  # training, then validation
    assert sorted(sizes) == sorted(2 * [len(p) for p in points])
