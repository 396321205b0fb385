import math

import numpy as np
import torch

from cmlflow.nets.backbones.sums import EventSums


def test_sums_of_each_event_by_loops():
    torch.manual_seed(0)
    sums = EventSums(3, width=2)
    h, weight = torch.randn(7, 3), torch.rand(7)
    is_track = torch.tensor([False, False, True, False, True, False, False])
    bounds = [0, 3, 3, 7]
    with torch.no_grad():
        found = sums(h, weight, is_track, bounds)
        phi = sums.phi(h).double().numpy()
    for a, b in ((0, 3), (3, 7)):
        for i in range(a, b):
            for c in range(4):
                total = 0.0
                for j in range(a, b):
                    if bool(is_track[j]) == (c >= 2):
                        total += float(weight[j]) * math.log1p(math.exp(phi[j, c]))
                np.testing.assert_allclose(found[i, c], math.log1p(total), rtol=1e-5)


def test_no_points():
    out = EventSums(3, width=2)(torch.empty(0, 3), torch.empty(0), torch.empty(0, dtype=torch.bool), [0, 0])
    assert out.shape == (0, 4)
