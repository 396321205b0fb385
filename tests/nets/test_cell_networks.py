"""Networks of cells: numbers of parameters, and what their answers must not depend on."""

import numpy as np
import pytest
import torch

from cmlflow.detectors import slab_detector
from cmlflow.nets.cell_graph import JointGraph, PaperGraph, neighbours
from cmlflow.nets.deepset import DeepSet
from cmlflow.nets.images import PAPER_CHANNELS, LayerImages, UNetBlock, layer_image, window_corners
from cmlflow.nets.pointnet import PointNet

CELLS = slab_detector("slab-hg").n_cells.tolist()


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("features", "outputs", "width", "head", "number"),
    [
        (9, 1, 1.0, "standard", 5_059_378),
        (9, 1, 0.5, "standard", 980_418),
        (9, 1, 0.25, "standard", 213_514),
        (9, 4, 1.0, "standard", 5_059_765),
        (9, 4, 0.5, "standard", 980_613),
        (9, 4, 0.25, "standard", 213_613),
        (6, 1, 1.0, "standard", 5_047_333),
        (6, 1, 0.5, "standard", 974_373),
        (6, 1, 0.25, "standard", 210_469),
        (9, 1, 1.0, "large", 6_176_946),
        (9, 1, 1.0, "larger", 7_245_106),
        (9, 1, 1.0, "largest", 10_692_658),
    ],
)
def test_parameters_of_pointnet(features, outputs, width, head, number):
    assert parameters(PointNet(features, outputs, width, head)) == number


def test_parameters_of_the_others():
    assert parameters(LayerImages(CELLS, channels=PAPER_CHANNELS, middle="1x1")) == 2_360_457
    assert parameters(LayerImages(CELLS, middle="1x1")) == 148_014
    assert [parameters(UNetBlock(6, 6, w)) for w in (8, 16, 32)] == [204_630, 814_502, 3_249_990]
    assert parameters(PaperGraph()) == 167_255
    assert parameters(DeepSet()) == 9_961


def points(n, seed):
    """Random cells of the slab and a track, as raw columns."""
    rng = np.random.default_rng(seed)
    slab = slab_detector("slab-hg")
    layer = rng.integers(1, 7, n)
    ix, iy = (rng.integers(0, slab.n_cells[layer - 1]) for _ in range(2))
    x = np.zeros((n + 1, 7), np.float32)
    x[:n, :3] = slab.position(layer, ix, iy)
    x[:n, 3], x[:n, 4] = rng.exponential(0.3, n), layer
    x[n] = [3, -4, 150, 0, 0, 1, 5]
    return torch.from_numpy(x)


NETWORKS = {
    "graph": lambda: JointGraph(3),
    "paper graph": lambda: PaperGraph(1),
    "deepset": lambda: DeepSet(3, 2, tracks=True),
    "paper deepset": lambda: DeepSet(1),
    "convnet": lambda: LayerImages(CELLS, channels=(4, 4, 4, 64)),
    "unet": lambda: LayerImages(CELLS, channels=(4, 4, 4, 64), unet=2),
    "pointnet": lambda: PointNet(7, 4, 0.1),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    made = NETWORKS[request.param]()
    clouds = [points(n, n) for n in (20, 30)]
    made(torch.cat(clouds), torch.tensor([0, 21, 52]))  # some running statistics
    return made.eval()


def test_order_of_points_does_not_matter(network):
    x = points(25, 3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    ptr = torch.tensor([0, len(x)])
    a, b = network(x, ptr)["scores"], network(x[order], ptr)["scores"]
    torch.testing.assert_close(a[order], b, atol=1e-4, rtol=1e-4)


def test_other_samples_of_the_batch_do_not_matter(network):
    one, two = points(12, 5), points(40, 6)
    together = network(torch.cat([one, two]), torch.tensor([0, 13, 54]))["scores"]
    alone = [network(p, torch.tensor([0, len(p)]))["scores"] for p in (one, two)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_trains_on_a_batch_of_one_sample_of_one_cell(network):
    network.train()
    x = points(1, 8)
    scores = network(x, torch.tensor([0, 2]))["scores"]
    scores.sum().backward()
    assert torch.isfinite(scores).all()


def test_penalty_of_pointnet_is_that_of_each_samples_matrix():
    network = PointNet(7, 1, 0.1).train()
    with torch.no_grad():
        network.feature_transform.matrix.bias += 0.1
    x = torch.cat([points(5, 0), points(6, 1)])
    a = torch.eye(9) + 0.1  # weights are 0 at the start: the same matrix for both samples
    want = 1e-3 * (a @ a.T - torch.eye(9)).square().sum()
    torch.testing.assert_close(network(x, torch.tensor([0, 6, 13]))["penalty"], want.expand(2))


def test_neighbours_stay_in_their_sample_and_leave_out_the_point_itself():
    x = torch.tensor([[0.0], [1.0], [3.0], [0.5], [0.6]])
    near, there = neighbours(x, torch.tensor([0, 3, 4, 5]), 2)
    assert near[:3].tolist() == [[1, 2], [0, 2], [1, 0]]
    assert there.tolist() == [[True, True]] * 3 + [[True, False]] * 2
    assert near[3, 0] == 3  # alone: its own neighbour


def test_images_see_cells_where_they_are():
    slab = slab_detector("slab-hg")
    position = slab.position([2, 2], [0, 31], [5, 31])
    x = torch.zeros(2, 7)
    x[:, :3], x[:, 3], x[:, 4] = torch.from_numpy(position), torch.tensor([1.0, 2.0]), 2
    zero = torch.zeros(2, dtype=torch.long)
    image, row, pixel = layer_image(x, x[:, 3], x[:, 4] == 2, zero, zero[None], 64, 32, 125.0)
    assert row.tolist() == [0, 1]
    assert pixel.tolist() == [5, 31 * 32 + 31]
    assert image[0, 0, 0, 5] == pytest.approx(np.log1p(10))
    assert image[0, 0, 31, 31] == pytest.approx(np.log1p(20))


def test_windows_hold_the_energy_and_begin_at_multiples_of_eight():
    x = points(40, 2)
    x[:40, :2] = x[:40, :2] / 10 + 40
    corner = window_corners(x, torch.zeros(len(x), dtype=torch.long), 1, 32, 125.0)
    assert (corner % 8 == 0).all()
    pixel = (x[:40, :2] / 125 + 0.5) * 64
    assert ((pixel >= corner) & (pixel < corner + 32)).all()


def test_errors_name_what_is_right():
    with pytest.raises(ValueError, match="layer 2 has 5 cells along a side, expected a divisor of 64"):
        LayerImages([64, 5])
    with pytest.raises(ValueError, match="head is 'huge', expected one of standard"):
        PointNet(9, 1, head="huge")
    with pytest.raises(ValueError, match="width is 0"):
        PointNet(9, 1, width=0)
