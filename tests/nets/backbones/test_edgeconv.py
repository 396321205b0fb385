"""The edge layer against its textbook form, and the backbone's invariances."""

import pytest
import torch
from torch.nn import functional

from cmlflow.graphs import knn
from cmlflow.nets.backbones import DynamicEdgeConv, EdgeConvBackbone


def layer_and_points(n=60, n_in=8, n_out=12, k=6, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    layer = DynamicEdgeConv(n_in, n_out, k).to(dtype)
    return layer, torch.randn(n, n_in, dtype=dtype)


def textbook(layer, x, bounds):
    """For each hit: the edge function of [x_i, x_j - x_i] for each neighbour j, then the maximum."""
    neighbours = knn(x.detach().float(), layer.k, torch.tensor(bounds))
    rows = []
    for i, row in enumerate(neighbours):
        edges = [layer.second(functional.elu(layer.first(torch.cat([x[i], x[j] - x[i]])))) for j in row]
        rows.append(torch.stack(edges).amax(0))
    return torch.stack(rows)


def gradients(out, layer, x):
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weight).sum(), (x, *layer.parameters()))


@pytest.mark.parametrize("bounds", [[0, 60], [0, 20, 20, 21, 60]])
def test_equals_the_textbook_form(bounds):
    layer, x = layer_and_points()
    x.requires_grad_()
    expected, found = textbook(layer, x, bounds), layer(x, bounds)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(gradients(found, layer, x), gradients(expected, layer, x), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-11)


def test_float32_agrees_to_rounding():
    layer, x = layer_and_points(n=400, n_in=64, n_out=64, k=24)
    expected = layer(x, [0, 400])
    found = layer.float()(x.float(), [0, 400])
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-6)


def test_equals_edgeconv_of_torch_geometric():
    geometric = pytest.importorskip("torch_geometric.nn")
    layer, x = layer_and_points()
    x.requires_grad_()
    mlp = torch.nn.Sequential(layer.first, torch.nn.ELU(), layer.second)
    weights = [p.detach().clone() for p in layer.parameters()]
    reference = geometric.EdgeConv(mlp, aggr="max")  # it initialises the layers again
    with torch.no_grad():
        for p, w in zip(layer.parameters(), weights, strict=True):
            p.copy_(w)
    bounds = [0, 25, 60]
    neighbours = knn(x.detach(), layer.k, torch.tensor(bounds))
    edges = torch.stack([neighbours.flatten(), torch.arange(60).repeat_interleave(layer.k)])
    expected, found = reference(x, edges), layer(x, bounds)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(gradients(found, layer, x), gradients(expected, layer, x), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-11)


def test_gradient_in_double_precision():
    layer, x = layer_and_points(n=9, n_in=3, n_out=4, k=3)
    weights = dict(layer.named_parameters())

    def call(points, *values):
        return torch.func.functional_call(layer, dict(zip(weights, values, strict=True)), (points, [0, 5, 9]))

    assert torch.autograd.gradcheck(call, (x.requires_grad_(), *weights.values()))


def test_more_hits_than_a_tile(monkeypatch):
    layer, x = layer_and_points()
    x.requires_grad_()
    whole = layer(x, [0, 60])
    monkeypatch.setattr("cmlflow.nets.backbones.max_edge.TILE_ROWS", 7)
    tiled = layer(x, [0, 60])
    torch.testing.assert_close(tiled, whole, rtol=1e-13, atol=1e-13)
    for a, b in zip(gradients(tiled, layer, x), gradients(whole, layer, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_mixed_precision_keeps_the_neighbours_and_follows_single_precision(precision):
    layer, x = layer_and_points(n=100, n_in=32, n_out=32, k=8, dtype=torch.float32)
    x.requires_grad_()
    expected = layer(x, [0, 100])
    with torch.autocast("cpu", dtype=precision):
        found = layer(x, [0, 100])
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    for mine, wanted in zip(gradients(found.float(), layer, x), gradients(expected, layer, x), strict=True):
        assert mine.dtype == torch.float32
        # here and there another edge wins the maximum: compare as a whole
        assert float((mine - wanted).norm() / wanted.norm()) < 0.15


def events(sizes, seed=0):
    """Hits on a lattice, as cells are: x, y, z, energy, layer."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    layer = torch.randint(1, 12, (n,), generator=generator).float()
    xy = torch.randint(-6, 7, (n, 2), generator=generator).float()
    energy = torch.empty(n).exponential_(generator=generator) + 0.5
    x = torch.stack([xy[:, 0], xy[:, 1], 319.8 + 2.5 * layer, energy, layer], 1)
    return x, torch.tensor([0, *sizes]).cumsum(0)


@pytest.mark.parametrize("scaling", ["raw", "hgcal"])
@pytest.mark.parametrize("duplicates", [False, True])
def test_order_of_hits_does_not_change_a_bit(scaling, duplicates):
    torch.manual_seed(3)
    net = EdgeConvBackbone(k=8, scaling=scaling).eval()
    x, ptr = events([150, 80])
    if duplicates:
        x[10:20] = x[30:40]
        x[:, 3] = 1.0
    out = net(x, ptr)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        order = torch.cat([torch.randperm(150, generator=generator), 150 + torch.randperm(80, generator=generator)])
        assert torch.equal(net(x[order], ptr), out[order])


def test_events_do_not_mix():
    torch.manual_seed(3)
    net = EdgeConvBackbone(k=8, scaling="hgcal").eval()
    x, ptr = events([90, 0, 1, 60, 5])
    out = net(x, ptr)
    for start, stop in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        torch.testing.assert_close(net(x[start:stop]), out[start:stop], rtol=1e-5, atol=1e-5)
    moved = x.clone()
    moved[:90] *= 1.5
    assert torch.equal(net(moved, ptr)[90:], out[90:])
    assert not torch.equal(net(moved, ptr)[:90], out[:90])


@pytest.mark.parametrize("sizes", [[0], [0, 0], [1], [1, 1, 1], [3, 0]])
def test_empty_and_tiny_events(sizes):
    net = EdgeConvBackbone(k=8, scaling="hgcal")
    x, ptr = events(sizes)
    out = net(x, ptr)
    assert out.shape == (sum(sizes), 32)
    out.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters())


def test_ptr_must_cover_the_hits():
    x, _ = events([20])
    with pytest.raises(ValueError, match="ptr must rise from 0 to the number of points 20"):
        EdgeConvBackbone(k=4)(x, torch.tensor([0, 19]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_show_in_the_output(value):
    """A network whose training has diverged: the neighbours mean nothing, but exist, and no number hides it."""
    layer, x = layer_and_points(n=300, n_in=64, n_out=64, k=24, dtype=torch.float32)
    x[:] = value
    x.requires_grad_()
    out = layer(x, [0, 300])
    out.sum().backward()
    assert not bool(torch.isfinite(out).any())
    one = torch.randn(300, 64)
    one[5] = value
    assert not bool(torch.isfinite(layer(one, [0, 300])[5]).any())


def test_kernels_and_torch_give_the_same(monkeypatch):
    layer, x = layer_and_points(n=400, n_in=64, n_out=64, k=24, dtype=torch.float32)
    x.requires_grad_()
    compiled = layer(x, [0, 150, 400])
    monkeypatch.setattr("cmlflow.nets.backbones.max_edge._has_kernels", lambda u, k: False)
    plain = layer(x, [0, 150, 400])
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=2e-6)
    plain_gradients = gradients(plain, layer, x)
    monkeypatch.undo()
    for mine, wanted in zip(gradients(compiled, layer, x), plain_gradients, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


def test_dropout_in_training_alone():
    torch.manual_seed(0)
    net = EdgeConvBackbone(k=4, dropout=0.5)
    x, _ = events([40])
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
