"""Two processes give the weights of one."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from cmlflow.losses import SupCon
from cmlflow.training import TrainingConfig, train
from cmlflow.training.parallel import own_device

WORKER = """
    import importlib.util, os, sys
    from pathlib import Path
    import torch
    from cmlflow.losses import SupCon
    from cmlflow.methods import build_network
    from cmlflow.training import TrainingConfig, train

    spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    torch.set_num_threads(1)
    folder, rank, port = Path(sys.argv[2]), os.environ["RANK"], int(os.environ["MASTER_PORT"])
    for batch_size in (4, 1):
        os.environ["MASTER_PORT"] = str(port + batch_size)
        torch.manual_seed(0)
        network = build_network(dim=4, k=4, scaling="hgcal", dropout=0.2)
        config = TrainingConfig(max_epochs=2, batch_size=batch_size, learning_rate=1e-3, gradient_clip=1.0)
        train(network, SupCon(), conftest.blobs(9), conftest.blobs(3, 7), config, folder=folder / str(batch_size))
        torch.save(network.state_dict(), folder / f"{batch_size}-{rank}.pt")
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(make_events, make_network, tmp_path):
    """With nine events in steps of four and of one: in some steps one process has nothing to do."""
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    conftest = Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(conftest), str(tmp_path)]
    workers = [
        subprocess.Popen(command, env=common | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    try:
        errors = [w.communicate(timeout=240)[1] for w in workers]
    finally:
        for w in workers:
            w.kill()
    assert [w.returncode for w in workers] == [0, 0], "\n".join(errors)
    for batch_size in (4, 1):
        one = make_network(dropout=0.2)
        config = TrainingConfig(max_epochs=2, batch_size=batch_size, learning_rate=1e-3, gradient_clip=1.0)
        history = train(one, SupCon(), make_events(9), make_events(3, 7), config)
        first, second = (torch.load(tmp_path / f"{batch_size}-{rank}.pt") for rank in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first)
        # Adam divides by the gradient: where that is zero to rounding, single weights may go either way
        start, end = make_network(dropout=0.2).state_dict(), one.state_dict()
        difference = torch.cat([(first[name] - end[name]).flatten() for name in end])
        change = torch.cat([(end[name] - start[name]).flatten() for name in end])
        assert float(difference.norm() / change.norm()) < 0.03
        assert float((difference.abs() < 1e-4).float().mean()) > 0.95
        lines = (tmp_path / str(batch_size) / "log.jsonl").read_text().splitlines()
        for found, expected in zip([json.loads(line) for line in lines], history.records, strict=True):
            assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        first_epoch = json.loads(lines[0])["loss"]
        if batch_size == 4:  # three steps: rounding has not grown yet
            assert first_epoch == pytest.approx(history.records[0]["loss"], rel=1e-6)
        for found, expected in zip([json.loads(line) for line in lines], history.records, strict=True):
            assert found["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-3)


def test_every_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("cuda") == torch.device("cuda", 1)
    assert own_device("cuda:0") == torch.device("cuda", 0)
    assert own_device("cpu") == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert own_device("cuda") == torch.device("cuda")
    with pytest.raises(ValueError, match="device is 'nonsense'"):
        own_device("nonsense")
