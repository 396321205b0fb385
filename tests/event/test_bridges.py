import awkward as ak
import numpy as np
import pytest

from cmlflow.association import Candidates
from cmlflow.event import Event, EventStore
from cmlflow.io import read, write


def events():
    rng = np.random.default_rng(0)
    out = []
    for i, n in enumerate((4, 0, 3)):
        tracks = (
            rng.uniform(1, 2, 2),
            rng.normal(size=(2, 3)),
            rng.normal(size=(2, 3)),
            [0, -1],
            rng.normal(size=(2, 4, 3)),
        )
        out.append(
            Event(
                rng.normal(size=(n, 3)), rng.uniform(1, 2, n), rng.integers(1, 5, n), rng.integers(-1, 2, n),
                features={"time": rng.normal(size=n), "fit": rng.normal(size=(n, 2))},
                deposits=(np.arange(n), rng.integers(-1, 2, n), rng.uniform(0, 1, n)) if i else None,
                particles=([11, 22], [1.0, np.nan], np.eye(3)[:2], [70, 9]),
                tracks=tracks if i < 2 else None, purity=rng.uniform(0, 1, n) if i == 2 else None,
                detector="mine" if i else None, number=i + 7,
            )
        )  # fmt: skip
    return [*out, Event([[1, 2, 3]], [1.0])]


def test_awkward_and_back(tmp_path):
    given = events()
    array = EventStore(given).to_awkward()
    assert len(array) == 4
    assert ak.num(array.hit_energy).to_list() == [4, 0, 3, 1]
    assert ak.is_none(array.hit_time).to_list() == [False, False, False, True]
    assert list(EventStore.from_awkward(array)) == given
    assert Event.from_awkward(array[2]) == given[2]
    assert list(EventStore.from_awkward(array)[1:3]) == given[1:3]
    ak.to_parquet(array, tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == given
    write(given, tmp_path / "b.parquet")
    assert list(EventStore.from_awkward(ak.from_parquet(tmp_path / "b.parquet"))) == given


def test_awkward_arrays_that_are_no_events():
    with pytest.raises(ValueError, match="entry 0: hit_z_cm, hit_energy missing, expected hit_x_cm"):
        EventStore.from_awkward(ak.Array([{"hit_x_cm": [1.0], "hit_y_cm": [1.0]}]))[0]
    hits = {f"hit_{n}": [1.0] for n in ("x_cm", "y_cm", "z_cm", "energy")}
    with pytest.raises(ValueError, match="deposit_particle, deposit_energy missing"):
        Event.from_awkward(ak.Array([hits | {"deposit_hit": [0]}])[0])


def test_torch_geometric_and_back():
    pytest.importorskip("torch_geometric")
    given = events()
    data = EventStore(given).to_pyg()
    assert list(EventStore.from_pyg(data)) == given
    assert data[0].num_nodes == 4
    np.testing.assert_array_equal(data[0].x, given[0].inputs(["position", "energy", "layer", "time", "fit"]))
    np.testing.assert_array_equal(data[0].y, given[0].particle_id)
    from torch_geometric.loader import DataLoader

    (batch,) = DataLoader(data[:1] + data[2:3], batch_size=2, exclude_keys=["number", "detector", *_uncommon(data)])
    assert batch.x.shape == (7, 8)
    assert batch.ptr.tolist() == [0, 4, 7]


def _uncommon(data):
    return set(data[0].to_dict()) ^ set(data[2].to_dict())


def test_data_of_others():
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch_geometric").data.Data(pos=torch.rand(3, 2), y=torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="hit_energy missing"):
        Event.from_pyg(data)
    data.hit_energy = torch.ones(3, dtype=torch.float64)
    event = Event.from_pyg(data)
    np.testing.assert_array_equal(event.position[:, :2], data.pos)
    assert event.particle_id.tolist() == [0, 1, 1]


def test_candidates_as_vectors():
    pytest.importorskip("vector")
    momentum = [[3.0, 4.0, 0.0, 13.0], [0.0, 0.0, 2.0, 2.0]]
    found = Candidates(np.zeros((2, 1)), [211, 22], momentum, [0, -1]).to_vector()
    np.testing.assert_allclose(found.pt, [5, 0])
    np.testing.assert_allclose(found.mass, [12, 0])
