import pytest
import torch

from cmlflow.nets.backbones import DynamicEdgeConv


def test_a_batch_vector_stands_for_the_bounds():
    torch.manual_seed(0)
    layer, x = DynamicEdgeConv(4, 8, k=3), torch.rand(10, 4)
    batch = torch.tensor([0] * 6 + [2] * 4)
    assert torch.equal(layer(x, batch=batch), layer(x, [0, 6, 10]))
    assert torch.equal(layer(x), layer(x, torch.tensor([0, 10])))
    assert layer(x[:0], batch=batch[:0]).shape == (0, 8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ptr": torch.tensor([0] * 6 + [1] * 4)}, "ptr must rise"),
        ({"ptr": [0, 11]}, "ptr must rise"),
        ({"ptr": [0, -3, 10]}, "ptr must rise"),
        ({"batch": torch.tensor([1] * 6 + [0] * 4)}, "batch is negative or falls"),
        ({"batch": torch.tensor([0] * 6)}, "batch has shape"),
        ({"batch": torch.zeros(10)}, "batch has shape"),
        ({"batch": torch.zeros(10, dtype=torch.int64), "ptr": [0, 10]}, "both given"),
    ],
)
def test_wrong_bounds_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DynamicEdgeConv(4, 8, k=3)(torch.rand(10, 4), **given)
