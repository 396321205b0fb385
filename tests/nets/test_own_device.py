import pytest
import torch

from cmlflow.nets.device import own_device


@pytest.mark.parametrize(
    ("world", "rank", "name", "expected"),
    [
        ("1", "1", "cuda", "cuda"),
        ("4", "2", "cuda", "cuda:2"),
        ("4", "2", "cuda:0", "cuda:0"),
        ("4", "2", "cpu", "cpu"),
    ],
)
def test_each_process_of_torchrun_has_its_own_gpu(monkeypatch, world, rank, name, expected):
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert own_device(torch.device(name)) == torch.device(expected)
