"""An interrupted run continues to the same bits; what cannot be continued says so."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from cmlflow.losses import Margin, SupCon
from cmlflow.training import TrainingConfig, load_checkpoint, save_checkpoint, train

SETTINGS = {"max_epochs": 3, "batch_size": 2, "learning_rate": 1e-3, "checkpoint_steps": 1}


class InterruptedRunError(Exception):
    pass


class BreaksAfter:
    """A loss that fails at a given call."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self, output, particle_id, weight=None):
        self.calls -= 1
        if self.calls < 0:
            raise InterruptedRunError
        return SupCon()(output, particle_id)


def whole_run():
    """A loss of the same type that never fails."""
    return BreaksAfter(10**9)


def without_times(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("calls", [1, 3, 7, 8, 15])
def test_continues_to_the_same_bits(make_events, make_network, tmp_path, calls):
    events, validation, config = make_events(4), make_events(2, 7), TrainingConfig(**SETTINGS, augment=True)
    whole, broken = make_network(dropout=0.2), make_network(dropout=0.2)
    train(whole, whole_run(), events, validation, config, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        train(broken, BreaksAfter(calls), events, validation, config, folder=tmp_path / "broken")
    broken = make_network(dropout=0.2, seed=99)  # all that counts is in the checkpoint
    if calls < 2:  # stopped before the first checkpoint: starts again
        broken = make_network(dropout=0.2)
    history = train(broken, whole_run(), events, validation, config, folder=tmp_path / "broken")
    assert all(torch.equal(v, broken.state_dict()[k]) for k, v in whole.state_dict().items())
    assert without_times(tmp_path / "whole") == without_times(tmp_path / "broken")
    assert [r["epoch"] for r in history.records] == [1, 2, 3]


def test_finished_run_is_left_as_it_is(make_events, make_network, tmp_path):
    config = TrainingConfig(**SETTINGS)
    first, again = make_network(), make_network(seed=5)
    train(first, whole_run(), make_events(4), config=config, folder=tmp_path)
    before = (tmp_path / "log.jsonl").read_bytes()
    history = train(again, BreaksAfter(0), make_events(4), config=config, folder=tmp_path)
    assert len(history.records) == 3
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_log_lost_in_a_kill_is_written_again(make_events, make_network, tmp_path):
    """Killed while the log was being written: lines are missing, half a line is there."""
    events, config = make_events(4), TrainingConfig(**SETTINGS)
    with pytest.raises(InterruptedRunError):
        train(make_network(), BreaksAfter(10), events, config=config, folder=tmp_path)
    assert len(without_times(tmp_path)) == 2
    (tmp_path / "log.jsonl").write_text('{"epoch": 1, "st')
    train(make_network(), whole_run(), events, config=config, folder=tmp_path)
    assert [r["epoch"] for r in without_times(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 2e-3}, r"learning_rate was 0.001, is 0.002\); use another folder or delete it"),
        ({"seed": 4}, "seed was 0, is 4"),
        ({"batch_size": 3}, "batch_size was 2, is 3"),
    ],
)
def test_another_configuration(make_events, make_network, tmp_path, change, message):
    train(make_network(), SupCon(), make_events(4), config=TrainingConfig(**SETTINGS), folder=tmp_path)
    with pytest.raises(ValueError, match=f"checkpoint.pt: belongs to another run .*{message}"):
        train(make_network(), SupCon(), make_events(4), config=TrainingConfig(**SETTINGS | change), folder=tmp_path)


@pytest.mark.parametrize("loss", [SupCon(0.2), Margin()])
def test_another_loss(make_events, make_network, tmp_path, loss):
    """The network of the margin loss has the same shapes: nothing else would tell."""
    config = TrainingConfig(**SETTINGS)
    train(make_network(), SupCon(), make_events(4), config=config, folder=tmp_path)
    with pytest.raises(ValueError, match=r"loss was SupCon\(temperature=0.1\), is (SupCon\(temp.*0.2|Margin\()"):
        train(make_network(), loss, make_events(4), config=config, folder=tmp_path)


def test_another_sample_or_network(make_events, make_network, tmp_path):
    config = TrainingConfig(**SETTINGS)
    train(make_network(), SupCon(), make_events(4), config=config, folder=tmp_path)
    with pytest.raises(ValueError, match="events was 4, is 5"):
        train(make_network(), SupCon(), make_events(5), config=config, folder=tmp_path)
    with pytest.raises(ValueError, match=r"another run \(sample was [0-9a-f]+, is [0-9a-f]+\)"):
        train(make_network(), SupCon(), make_events(5)[1:], config=config, folder=tmp_path)
    other = make_network()
    for layer in other.backbone.layers:
        layer.k += 1  # no weight tells
    with pytest.raises(ValueError, match=r"belongs to another network \(k=4 was there, now k=5\)"):
        train(other, SupCon(), make_events(4), config=config, folder=tmp_path)
    with pytest.raises(ValueError, match="belongs to another network"):
        train(make_network("oc"), SupCon(), make_events(4), config=config, folder=tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "another file", "no dictionary"])
def test_damaged_checkpoint(make_events, make_network, tmp_path, damage):
    config, path = TrainingConfig(**SETTINGS), tmp_path / "checkpoint.pt"
    train(make_network(), SupCon(), make_events(4), config=config, folder=tmp_path)
    whole = path.read_bytes()
    if damage == "another file":
        torch.save({"weights": torch.zeros(3)}, path)
    elif damage == "no dictionary":
        torch.save(torch.zeros(3), path)
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"checkpoint.pt: not (a|the) checkpoint"):
        train(make_network(), SupCon(), make_events(4), config=config, folder=tmp_path)


def test_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)

    def full(state, file):
        file.write(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"checkpoint.pt: the checkpoint could not be written .*No space left"):
        save_checkpoint({"step": 2}, path)
    assert load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


KILLED_AND_CONTINUED = """
    import importlib.util, os, random, signal, sys, time
    from pathlib import Path
    import torch
    from cmlflow.losses import SupCon
    from cmlflow.methods import build_network
    from cmlflow.training import TrainingConfig, train

    spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    torch.set_num_threads(1)
    events, validation = conftest.blobs(16), conftest.blobs(3, 7)
    config = TrainingConfig(max_epochs=8, batch_size=2, learning_rate=1e-3, checkpoint_steps=2, augment=True)

    def run(folder, pipe):
        def loss(output, particle_id, weight):
            os.write(pipe, b".")
            return SupCon()(output, particle_id)

        torch.manual_seed(0)
        network = build_network(dim=4, k=4, scaling="hgcal", dropout=0.1)
        train(network, loss, events, validation, config, folder=folder)
        torch.save(network.state_dict(), folder / "final.pt")

    whole, broken = Path(sys.argv[2]) / "whole", Path(sys.argv[2]) / "broken"
    started = time.monotonic()
    progress, mine = os.pipe()
    run(whole, mine)
    step_seconds = (time.monotonic() - started) / 64
    moments, stopped_at = random.Random(int(sys.argv[3])), []
    while True:
        progress, its = os.pipe()
        child = os.fork()
        if child == 0:
            run(broken, its)
            os._exit(0)
        os.close(its)
        if len(stopped_at) < 10:
            for _ in range(moments.randrange(1, 9)):  # events
                os.read(progress, 1)
            time.sleep(moments.uniform(0, 1.5 * step_seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0, status
            break
        os.close(progress)
        found = broken / "checkpoint.pt"
        stopped_at.append(torch.load(found)["step"] if found.exists() else 0)
    print(*stopped_at)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_ten_times(tmp_path):
    script = [sys.executable, "-c", textwrap.dedent(KILLED_AND_CONTINUED)]
    conftest = Path(__file__).with_name("conftest.py")
    done = subprocess.run(
        [*script, str(conftest), str(tmp_path), "1"], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    steps = [int(s) for s in done.stdout.split()]
    assert len(steps) == 10
    assert steps == sorted(steps)
    assert len(set(steps)) > 1  # interrupted at different places, some of them on the way
    whole, broken = torch.load(tmp_path / "whole" / "final.pt"), torch.load(tmp_path / "broken" / "final.pt")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert without_times(tmp_path / "whole") == without_times(tmp_path / "broken")
    assert [r["epoch"] for r in without_times(tmp_path / "broken")] == list(range(1, 9))
    assert sorted(p.name for p in (tmp_path / "broken").iterdir()) == ["checkpoint.pt", "final.pt", "log.jsonl"]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.replace(energy=e.energy * 100),
        lambda e: e.replace(position=e.position + 50),
        lambda e: e.replace(particle_id=e.particle_id * 0),
        lambda e: e.replace(features={"time": e.energy}),
    ],
)
@pytest.mark.parametrize("which", ["sample", "validation"])
def test_other_data_are_refused(make_events, make_network, tmp_path, change, which):
    events, validation = make_events(4), make_events(3, 7)
    train(make_network(), whole_run(), events, validation, TrainingConfig(**SETTINGS), folder=tmp_path)
    of = events if which == "sample" else validation
    of[1] = change(of[1])
    with pytest.raises(ValueError, match=f"belongs to another run .{which} was"):
        train(make_network(), whole_run(), events, validation, TrainingConfig(**SETTINGS), folder=tmp_path)


def test_without_the_validation_sample_or_with_a_score_is_another_run(make_events, make_network, tmp_path):
    events, validation, config = make_events(3), make_events(2, 7), TrainingConfig(**SETTINGS)
    train(make_network(), whole_run(), events, validation, config, folder=tmp_path)
    with pytest.raises(ValueError, match=r"validation was .*, is none"):
        train(make_network(), whole_run(), events, None, config, folder=tmp_path)
    with pytest.raises(ValueError, match="scored was False, is True"):
        train(make_network(), whole_run(), events, validation, config, folder=tmp_path, score=lambda _: 0.0)


def test_every_flipped_bit_of_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = {"weights": torch.arange(50.0), "step": 3}
    save_checkpoint(state, path)
    data = path.read_bytes()
    assert torch.load(path, weights_only=True)["step"] == 3  # torch reads it too
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"checkpoint.pt: not a checkpoint of cmlflow, or damaged"):
            load_checkpoint(path)
    torch.save(state, path)  # of an older cmlflow
    assert load_checkpoint(path)["step"] == 3
    data = path.read_bytes()
    path.write_bytes(
        data.replace(torch.tensor([7.0, 8.0]).numpy().tobytes(), torch.tensor([7.0, 9.0]).numpy().tobytes())
    )
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
