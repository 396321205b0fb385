"""The offset head: slopes of the hits plus a linear map."""

import numpy as np
import pytest
import torch

from cmlflow.methods import METHODS, build_network
from cmlflow.nets.backbones.scaling import InputScaling, slopes
from cmlflow.nets.heads import OffsetHead


def points(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.normal(0, 15, (n, 2)), rng.uniform(320, 500, n), rng.exponential(5, n), rng.integers(1, 50, n)]
    )
    return torch.from_numpy(x.astype(np.float32))


def test_twin():
    head, h, x = OffsetHead(6, dim=4, scale=0.02), torch.randn(20, 6), points()
    found = head(h, x)["embedding"].detach()
    weight, bias = head.offset.weight.tolist(), head.offset.bias.tolist()
    for i in range(20):
        for d in range(4):
            expected = sum(weight[d][f] * float(h[i, f]) for f in range(6)) + bias[d]
            expected += float(x[i, d]) / float(x[i, 2]) / 0.02 if d < 2 else 0.0
            assert float(found[i, d]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_hits_on_one_line_of_flight_begin_at_one_place():
    line = torch.tensor([[0.05, -0.02, 1.0, 1.0, 1.0]]) * torch.tensor([[330.0], [400.0], [480.0]])
    z = OffsetHead(6)(torch.zeros(3, 6), line)["embedding"].detach()
    torch.testing.assert_close(z, z[:1].expand(3, -1))
    torch.testing.assert_close(z[0, :2], torch.tensor([5.0, -2.0]))


def test_slopes_stay_finite_in_the_plane_of_the_origin():
    x = torch.tensor([[2.0, 3.0, 0.0, 1.0, 1.0], [2.0, 3.0, -0.1, 1.0, 1.0]])
    torch.testing.assert_close(slopes(x), torch.tensor([[2.0, 3.0], [-2.0, -3.0]]))


def test_projective_scaling_is_constant_along_a_line_of_flight():
    line = torch.tensor([[0.05, -0.02, 1.0]]) * torch.tensor([[330.0], [480.0]])
    x = torch.cat([line, torch.ones(2, 2)], 1)
    scaled = InputScaling("projective")(x)
    torch.testing.assert_close(scaled[:, :2], torch.tensor([[1.75, -0.7], [1.75, -0.7]]))
    torch.testing.assert_close(scaled[:, 2:], InputScaling("hgcal")(x)[:, 2:])


def test_network():
    torch.manual_seed(0)
    net = build_network("prototype", dim=4, k=8, scaling="projective").eval()
    assert METHODS["prototype"].head is OffsetHead
    x = points(60)
    order = torch.randperm(60)
    z = net(x)["embedding"].detach()
    assert z.shape == (60, 4)
    assert torch.equal(net(x[order])["embedding"], z[order])
    two = net(torch.cat([x, points(9, 1)]), torch.tensor([0, 60, 69]))["embedding"]
    torch.testing.assert_close(two[:60], z)


def test_dimension():
    with pytest.raises(ValueError, match="dim is 1"):
        OffsetHead(4, dim=1)
