import numpy as np
import pytest

from cmlflow.simulation import Selection, select_cells, slab_detector


def cells_of(detector):
    """(layer, ix, iy) of every cell, in order."""
    return [(k, x, y) for k, n in enumerate(detector.n_cells) for x in range(n) for y in range(n)]


def select_twin(energy, detector, selection):
    """Groups grown cell by cell, neighbours found by comparing edges."""
    cells = cells_of(detector)
    number = {c: i for i, c in enumerate(cells)}
    significance = [e / detector.noise[c[0]] for e, c in zip(energy, cells, strict=True)]

    def neighbours(cell):
        k, x, y = cell
        n = int(detector.n_cells[k])
        out = [(k, i, j) for i in range(x - 2, x + 3) for j in range(y - 2, y + 3) if 0 <= i < n and 0 <= j < n]
        for other in (k - 1, k + 1):
            if 0 <= other < detector.n_layers:
                m = int(detector.n_cells[other])
                out += [
                    (other, i, j)
                    for i in range(m)
                    if i * n < (x + 1) * m and (i + 1) * n > x * m
                    for j in range(m)
                    if j * n < (y + 1) * m and (j + 1) * n > y * m
                ]
        return out

    kept = {c for c, s in zip(cells, significance, strict=True) if s >= selection.seed}
    queue = list(kept)
    while queue:
        cell = queue.pop()
        if significance[number[cell]] < selection.grow:
            continue
        for other in neighbours(cell):
            if other not in kept and significance[number[other]] >= selection.edge:
                kept.add(other)
                queue.append(other)
    return [c in kept for c in cells]


@pytest.mark.parametrize("name", ["slab-hg", "slab-lg"])
@pytest.mark.parametrize("selection", [Selection(), Selection(4, 2, 0.5), Selection(3, 3, 3)])
def test_agrees_with_twin(name, selection):
    d = slab_detector(name)
    rng = np.random.default_rng(len(name))
    noise = np.repeat(d.noise, d.n_cells**2)
    energy = rng.normal(0, noise)
    at = rng.integers(len(energy), size=12)
    energy[at] += rng.uniform(2, 12, 12) * noise[at]
    assert select_cells(energy, d, selection).tolist() == select_twin(energy, d, selection)


def one(significances):
    """Selected cells of an event that is empty but for some cells (layer, ix, iy): energy in units of the noise."""
    d = slab_detector("slab-hg")
    cells = cells_of(d)
    energy = np.zeros(len(cells))
    for cell, value in significances.items():
        energy[cells.index(cell)] = value * d.noise[cell[0]]
    return {c for c, keep in zip(cells, select_cells(energy, d, Selection(5, 2, 1)), strict=True) if keep}


def test_groups_by_hand():
    assert one({}) == set()
    assert one({(1, 5, 5): 4.9, (1, 5, 6): 4.9}) == set()  # no seed
    assert one({(1, 5, 5): 5.1, (1, 7, 3): 1.1}) == {(1, 5, 5), (1, 7, 3)}  # two cells away
    assert one({(1, 5, 5): 5.1, (1, 8, 5): 3.0}) == {(1, 5, 5)}  # three cells away
    assert one({(1, 5, 5): 5.1, (1, 7, 5): 1.9, (1, 9, 5): 1.9}) == {(1, 5, 5), (1, 7, 5)}  # 1.9 does not grow
    assert one({(1, 5, 5): 5.1, (1, 7, 5): 2.1, (1, 9, 5): 1.1}) == {(1, 5, 5), (1, 7, 5), (1, 9, 5)}
    assert one({(1, 5, 5): 5.1, (1, 5, 6): -9.0, (1, 6, 5): 0.9}) == {(1, 5, 5)}


def test_groups_cross_layers_where_cells_overlap():
    # cell (1, 5, 5) of 32 x 32 covers the four cells (0, 10..11, 10..11) of 64 x 64
    assert one({(1, 5, 5): 6, (0, 11, 10): 1.5, (0, 12, 10): 1.5}) == {(1, 5, 5), (0, 11, 10)}
    # ECAL3 (2, 31, 31) of 32 x 32 lies before HCAL1 (3, 15, 15) of 16 x 16, which grows on to HCAL2
    reached = one({(2, 31, 31): 6, (3, 15, 15): 2, (4, 15, 15): 1.2, (4, 14, 15): 1.2})
    assert reached == {(2, 31, 31), (3, 15, 15), (4, 15, 15)}


def test_thresholds_are_checked():
    for wrong in ({"seed": 1.0}, {"edge": 0.0}, {"edge": 3.0}):
        with pytest.raises(ValueError, match="expected 0 < edge <= grow <= seed"):
            Selection(**wrong)
