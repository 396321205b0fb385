"""Trainings and commands that are killed at any moment: nothing is lost, nothing is half-written."""

import os
import random
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

import cmlflow
from cmlflow import Event
from cmlflow.training import load_checkpoint

KILLS = int(os.environ.get("CMLFLOW_KILLS", "2"))
"""Kills of the test; 200 by hand."""

TRAINING = textwrap.dedent("""
    import os, sys
    import torch
    torch.set_num_threads(1)
    import cmlflow
    from cmlflow.losses import SupCon
    from cmlflow.training import TrainingConfig, checkpoint, train

    def killed(name, at):
        original = getattr(os, name)
        def call(*args, **kwargs):
            killed.calls += 1
            if killed.calls == at:
                os.kill(os.getpid(), 9)
            return original(*args, **kwargs)
        setattr(os, name, call)
    killed.calls = 0
    if sys.argv[3] != "-":
        killed(sys.argv[3], int(sys.argv[4]))
    torch.manual_seed(0)
    network = cmlflow.build_network("supcon", dim=4, k=4)
    config = TrainingConfig(max_epochs=3, batch_size=2, checkpoint_steps=1)
    train(network, SupCon(), list(cmlflow.read(sys.argv[1])), None, config, folder=sys.argv[2])
    torch.save(network.state_dict(), sys.argv[2] + "/final.pt")
""")


@pytest.fixture
def sample(tmp_path):
    rng = np.random.default_rng(0)
    events = [
        Event(rng.normal([0, 0, 330], 5, (20, 3)), np.ones(20), rng.integers(1, 20, 20), np.repeat([0, 1], 10))
        for _ in range(6)
    ]
    cmlflow.write(events, tmp_path / "sample.parquet")
    return tmp_path / "sample.parquet"


def run(sample, folder, where="-", at=0):
    command = [sys.executable, "-c", TRAINING, str(sample), str(folder), where, str(at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_training_killed_while_it_writes_goes_on_to_the_same_bits(sample, tmp_path):
    assert run(sample, tmp_path / "whole").returncode == 0
    whole = torch.load(tmp_path / "whole" / "final.pt", weights_only=True)
    rng = random.Random(1)
    for k in range(KILLS):
        folder = tmp_path / f"killed{k}"
        found = run(sample, folder, rng.choice(("fsync", "replace")), rng.randrange(1, 10))
        assert found.returncode == -9, found.stderr
        if (folder / "checkpoint.pt").exists():
            load_checkpoint(folder / "checkpoint.pt")  # whole
        again = run(sample, folder)
        assert again.returncode == 0, again.stderr
        final = torch.load(folder / "final.pt", weights_only=True)
        assert all(torch.equal(value, final[name]) for name, value in whole.items())
        assert sorted(os.listdir(folder)) == ["checkpoint.pt", "final.pt", "log.jsonl"]


@pytest.mark.slow
def test_commands_that_are_killed_leave_no_half_file(sample, tmp_path):
    rng = random.Random(2)
    cluster = ["cluster", str(sample), "--model", "compact-em-supcon"]
    commands = (["simulate", "compact-em-test", "-n", "3", "-p", "1"], cluster)
    for k in range(KILLS // 2):
        target = tmp_path / "out" / f"{k % 2}.parquet"
        target.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "cmlflow", *commands[k % 2], "-o", str(target)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 6))
        process.kill()
        process.wait()
        if target.exists():
            assert len(list(cmlflow.read(target))) in (3, 6)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        assert sorted(p.name for p in target.parent.iterdir() if p.suffix == ".part") == []
        assert len(list(cmlflow.read(target))) in (3, 6)
        target.unlink()
