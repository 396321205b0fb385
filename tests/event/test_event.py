"""Event and EventStore: what is accepted, what follows from it, and what is refused with which words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmlflow import Deposits, Event, EventStore, Particles
from cmlflow.event import as_events

XYZ = [[0.0, 0.0, 320.0], [1.0, 0.0, 320.0], [0.0, 1.0, 322.5]]


def event(**changes):
    arguments = {"position": XYZ, "energy": [1.0, 2.0, 3.0], "layer": [1, 1, 2], "particle_id": [0, 1, -1]}
    return Event(**arguments | changes)


@st.composite
def deposits(draw):
    """Number of hits, and deposits in any order, several of one particle in one hit among them."""
    n_hits, n_particles = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    one = st.tuples(st.integers(0, n_hits - 1), st.integers(-1, n_particles - 1), st.integers(0, 64))
    rows = draw(st.lists(one, max_size=40))
    hit, particle, energy = np.array(rows, np.int64).reshape(-1, 3).T
    return n_hits, hit, particle, energy / 8  # exact in float32


def test_types_and_shapes():
    e = event()
    assert (e.position.dtype, e.energy.dtype, e.layer.dtype, e.particle_id.dtype) == (
        np.float32, np.float32, np.int64, np.int64,
    )  # fmt: skip
    assert (e.n_hits, len(e), e.n_particles) == (3, 3, 2)
    np.testing.assert_array_equal(e.inputs(), np.column_stack([XYZ, [1, 2, 3], [1, 1, 2]]).astype(np.float32))
    assert e.inputs().dtype == np.float32
    assert repr(event(number=4)) == "<Event 4: 3 hits, 2 particles>"


def test_defaults():
    e = Event(XYZ, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(e.layer, [0, 0, 0])
    np.testing.assert_array_equal(e.particle_id, [-1, -1, -1])
    np.testing.assert_array_equal(e.purity, [0, 0, 0])
    assert (e.n_particles, len(e.deposits), e.tracks, e.detector, e.number) == (0, 0, None, None, None)


def test_empty_event():
    for e in (Event([], []), Event(np.empty((0, 3)), np.empty(0), [], [])):
        assert (e.n_hits, e.n_particles) == (0, 0)
        assert e.inputs().shape == (0, 5)
        assert len(e.deposits) == len(e.fractions) == len(e.purity) == 0


def test_labels_alone_give_whole_deposits():
    e = event()
    np.testing.assert_array_equal(e.deposits.hit, [0, 1])
    np.testing.assert_array_equal(e.deposits.particle, [0, 1])
    np.testing.assert_array_equal(e.deposits.energy, [1.0, 2.0])
    np.testing.assert_array_equal(e.purity, [1, 1, 0])
    np.testing.assert_array_equal(e.fractions, [1, 1])
    assert not e.has_deposits


@settings(max_examples=60, deadline=None)
@given(deposits())
def test_labels_purity_and_fractions_follow_from_deposits(given):
    n_hits, hit, particle, energy = given
    e = Event(np.zeros((n_hits, 3)), np.ones(n_hits), deposits=(hit, particle, energy))
    assert e.has_deposits
    for i in range(n_hits):
        sums = {}
        for h, p, x in zip(hit, particle, energy, strict=True):
            if h == i:
                sums[int(p)] = sums.get(int(p), 0.0) + float(x)
        known = {p: x for p, x in sums.items() if p >= 0}
        best = min(known, key=lambda p: (-known[p], p)) if known else -1
        assert e.particle_id[i] == best
        total = sum(sums.values())
        assert e.purity[i] == pytest.approx(known[best] / total if known and total > 0 else 0.0, rel=1e-6)
    for j in range(len(hit)):
        total = energy[hit == hit[j]].sum()
        assert e.fractions[j] == pytest.approx(energy[j] / total if total > 0 else 0.0)
    assert e.n_particles == particle.max(initial=-1) + 1


@settings(max_examples=30, deadline=None)
@given(deposits(), st.randoms(use_true_random=False))
def test_order_of_deposits_does_not_matter(given, random):
    n_hits, hit, particle, energy = given
    order = list(range(len(hit)))
    random.shuffle(order)
    one = Event(np.zeros((n_hits, 3)), np.ones(n_hits), deposits=(hit, particle, energy))
    other = Event(np.zeros((n_hits, 3)), np.ones(n_hits), deposits=(hit[order], particle[order], energy[order]))
    np.testing.assert_array_equal(one.particle_id, other.particle_id)
    np.testing.assert_array_equal(one.purity, other.purity)
    np.testing.assert_array_equal(one.fractions[order], other.fractions)


def test_given_labels_and_purity_stay_beside_deposits():
    e = event(deposits=Deposits(np.array([0, 0]), np.array([0, 1]), np.array([1.0, 3.0])), purity=[0.5, 1, 0])
    np.testing.assert_array_equal(e.particle_id, [0, 1, -1])
    np.testing.assert_array_equal(e.purity, np.float32([0.5, 1, 0]))
    assert e.has_purity


def test_particles():
    assert np.isnan(event().particles.energy).all()
    e = event(particles=([11, 22, 211], [50.0, 60.0, 70.0], np.eye(3)))
    assert e.n_particles == 3  # one left no hit
    assert isinstance(e.particles, Particles)
    assert e.particles.energy.dtype == np.float32
    assert event(particles=e.particles).n_particles == 3


def test_tracks():
    e = event(tracks=([10.0], [[0, 0, 1]], [[0, 0, 300]], [1]))
    assert len(e.tracks) == 1
    assert e.tracks.entry.dtype == np.float32
    assert "1 tracks" in repr(e)
    assert len(event(tracks=([], [], [], [])).tracks) == 0


def test_crossings_of_tracks():
    points = [[[0, 0, 300], [0, 1, 310]], [[5, 0, 300], [np.nan] * 3]]
    e = event(tracks=([10.0, 2.0], [[0, 0, 1]] * 2, [[0, 0, 300]] * 2, [1, -1], points))
    assert (e.tracks.crossing.dtype, e.tracks.crossing.shape) == (np.float32, (2, 2, 3))
    np.testing.assert_array_equal(event(tracks=e.tracks).tracks.crossing, np.float32(points))
    assert event(tracks=([10.0], [[0, 0, 1]], [[0, 0, 300]], [1])).tracks.crossing is None
    assert event(tracks=([], [], [], [], [])).tracks.crossing.shape == (0, 0, 3)
    assert event(tracks=([], [], [], [], np.zeros((0, 6, 3)))).tracks.crossing.shape == (0, 6, 3)


def test_integers_in_any_kind():
    e = event(layer=np.array([1.0, 1.0, 2.0]), particle_id=np.array([0, 1, -1], np.int8))
    assert (e.layer.dtype, e.particle_id.dtype) == (np.int64, np.int64)
    assert event(layer=np.array([1, 1, 2], np.uint16)).layer.tolist() == [1, 1, 2]
    assert Event(np.array(XYZ, ">f8"), np.array([1.0, 2, 3], ">f4")).position.dtype == np.dtype(np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": [[0, 0, 1]]}, r"event 8: position has shape \(1, 3\), expected \(3, 3\)"),
        ({"position": np.zeros((3, 4))}, r"position has shape \(3, 4\), expected \(3, 3\)"),
        ({"position": np.zeros((2, 2))}, r"position has shape \(2, 2\), expected \(3, 3\)"),
        ({"features": [1, 2, 3]}, r"event 8: features is \[1, 2, 3\], expected a dict from names to arrays"),
        ({"features": {"time": [1.0, 2.0]}}, r"features\['time'\] has shape \(2,\), expected \(3,\) or \(3, m\)"),
        ({"features": {"time": [1.0, 2.0, np.inf]}}, r"event 8: features\['time'\] of hit 2 is infinite"),
        ({"features": {"time": ["a", "b", "c"]}}, r"features\['time'\] is \['a', 'b', 'c'\], expected numbers"),
        ({"features": {"energy": [1, 2, 3]}}, "event 8: 'energy' cannot be the name of a feature"),
        ({"features": {"my time": [1, 2, 3]}}, "'my time' cannot be the name of a feature, expected an identifier"),
        ({"position": [[0, 0, 1], [0, 0, np.inf], [0, 0, 0]]}, "event 8: position of hit 1 is inf, expected finite"),
        ({"energy": [[1.0], [2.0], [3.0]]}, r"energy has shape \(3, 1\), expected \(n_hits\)"),
        ({"energy": [1.0, np.nan, 2.0]}, "event 8: energy of hit 1 is nan, expected finite values"),
        ({"energy": [1.0, 2.0, -0.5]}, "event 8: energy of hit 2 is -0.5, expected non-negative energies"),
        ({"layer": [1, 2]}, r"event 8: layer has shape \(2,\), expected \(3,\)"),
        ({"energy": [1.0, 2.0, 1e39]}, "event 8: energy of hit 2 is inf, expected finite values"),
        ({"layer": [1, 2.5, 3]}, "event 8: layer of hit 1 is 2.5, expected integers"),
        ({"layer": [1, np.nan, 3]}, "event 8: layer of hit 1 is nan, expected integers"),
        ({"layer": [1, np.inf, 3]}, "event 8: layer of hit 1 is inf, expected integers"),
        ({"deposits": ([0], [0], [np.nan])}, "event 8: deposits.energy of entry 0 is nan, expected finite"),
        ({"deposits": ([0.5], [0], [1.0])}, "event 8: deposits.hit of entry 0 is 0.5, expected integers"),
        ({"particle_id": [0, 1]}, r"event 8: particle_id has shape \(2,\), expected \(3,\)"),
        ({"particle_id": [0, -2, 1]}, "event 8: particle_id of hit 1 is -2, expected -1 or above"),
        ({"particle_id": ["a", "b", "c"]}, "particle_id is .*, expected numbers of one shape, not values of type <U1"),
        ({"purity": [0.1, 1.2, 0.3]}, "event 8: purity of hit 1 is 1.2.*, expected values between 0 and 1"),
        ({"purity": [0.1]}, r"purity has shape \(1,\), expected \(3\)"),
        ({"deposits": ([3], [0], [1.0])}, r"event 8: deposit 0 has hit 3, .* expected a hit in 0..2"),
        ({"deposits": ([0], [-2], [1.0])}, "deposit 0 has hit 0, particle -2"),
        ({"deposits": ([0], [0], [-1.0])}, "deposit 0 has hit 0, particle 0, energy -1.0"),
        ({"deposits": ([0, 1], [0], [1.0])}, r"deposits.hit has shape \(2,\), expected \(1,\)"),
        ({"particles": ([11], [5.0], [[0, 0, 1]])}, "name particle 1, but there are 1 particles"),
        ({"particles": ([11, 11], [5.0], np.eye(3)[:2])}, r"particles.energy has shape \(1,\), expected \(2,\)"),
        ({"particles": ([11], [5.0], np.zeros((3, 1)))}, r"particles.direction has shape \(3, 1\), expected \(1, 3\)"),
        ({"particles": ([11.7], [5.0], np.eye(3)[:1])}, r"particles.pdg_id of entry 0 is 11.7, expected integers"),
        ({"particles": ([11], [-5.0], np.eye(3)[:1])}, r"particles.energy of entry 0 is -5.0, expected 0 or above"),
        ({"detector": 5}, r"detector is 5, expected a name"),
        ({"particles": 3}, r"particles is 3, expected the arrays pdg_id, energy, direction"),
        ({"position": "abc"}, r"position is 'abc', expected numbers of one shape"),
        ({"deposits": "abc"}, r"deposits is 'abc', expected the arrays hit, particle, energy"),
        ({"tracks": ([5.0], [[0, 0, 1]], [[0, 0, 300]], [2])}, r"tracks.particle names a particle outside -1..1"),
        ({"tracks": ([5.0], [[0, 0, 1]], [], [0])}, r"tracks.entry has shape \(0,\), expected \(1, 3\)"),
        ({"tracks": ([5.0], [[0, 0, 1]], [[0, 0, 1]])}, "event 8: tracks have 3 arrays, expected momentum, direction"),
        (
            {"tracks": ([5.0], [[0, 0, 1]], [[0, 0, 1]], [0], [[0, 0, 1]])},
            r"event 8: tracks.crossing has shape \(1, 3\), expected \(1, n_layers, 3\)",
        ),
        (
            {"tracks": ([5.0], [[0, 0, 1]], [[0, 0, 1]], [0], [[[0, 0, 1], [0, np.nan, 1]]])},
            "event 8: tracks.crossing of track 0 in layer entry 1 is .*, expected three finite numbers, or three nan",
        ),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        event(number=8, **change)


class Counting:
    """A lazy sequence that counts what is read."""

    def __init__(self, n):
        self.n, self.read = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        self.read.append(i)
        return Event([[0, 0, 1]], [1.0], number=i)


def lazy(n):
    from collections.abc import Sequence

    Sequence.register(Counting)
    source = Counting(n)
    return source, EventStore(source)


def numbers(store):
    return [e.number for e in store]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.slices(12), st.data())
def test_store_indexes_as_a_list(n, part, data):
    source, store = lazy(n)
    whole = list(range(n))
    once = store[part]
    assert len(once) == len(whole[part])
    mask = data.draw(st.lists(st.booleans(), min_size=len(once), max_size=len(once)))
    twice = once[np.array(mask, bool)]
    assert source.read == []  # nothing is read by taking parts
    assert numbers(once) == whole[part]
    assert numbers(twice) == [i for i, keep in zip(whole[part], mask, strict=True) if keep]
    for i in range(-len(once), len(once)):
        assert once[i].number == whole[part][i]


def test_store_by_arrays_and_out_of_range():
    source, store = lazy(5)
    assert numbers(store[[3, 0, 3]]) == [3, 0, 3]
    assert numbers(store[np.array([4, -1])]) == [4, 4]
    assert numbers(store[[]]) == []
    assert store[np.int64(2)].number == 2
    assert len(source.read) == 6
    for i in (5, -6):
        with pytest.raises(IndexError, match=f"event {i} asked for, but there are 5"):
            store[i]
    with pytest.raises(IndexError):
        store[[7]]
    with pytest.raises(IndexError):
        store[np.array([True, False])]
    assert repr(store[1:3]) == "<EventStore: 2 events>"


def test_store_of_a_generator():
    assert numbers(EventStore(Event([], [], number=i) for i in range(3))) == [0, 1, 2]


def test_as_events():
    events = [event(), event()]
    assert as_events(events) is events
    assert list(as_events(e for e in events)) == events
    store = EventStore(events)
    assert as_events(store) is store
    for wrong, message in (
        (events[0], r"one Event given where several are taken: pass \[event\]"),
        ([events[0], "x"], "entry 1 of the events is str, not an Event"),
        ("file.parquet", "'file.parquet' given where events are taken: read the file with cmlflow.read"),
    ):
        with pytest.raises(TypeError, match=message):
            as_events(wrong)


def full_event(n=6, seed=0, **changes):
    rng = np.random.default_rng(seed)
    given = {
        "position": rng.normal(size=(n, 3)),
        "energy": rng.uniform(1, 2, n),
        "layer": rng.integers(1, 9, n),
        "particle_id": rng.integers(-1, 2, n),
        "features": {"time": rng.normal(size=n), "shape": rng.normal(size=(n, 2))},
        "deposits": (rng.integers(0, n, 3 * n), rng.integers(-1, 2, 3 * n), rng.uniform(0, 1, 3 * n)),
        "purity": rng.uniform(0, 1, n),
        "particles": ([11, 22], [5.0, np.nan], np.eye(3)[:2], [70, 90]),
        "tracks": ([10.0], [[0, 0, 1]], [[0, 0, 300]], [1], [[[0, 0, 300], [np.nan] * 3]]),
        "detector": "mine",
        "number": 4,
    }
    return Event(**given | changes)


def test_features():
    e = full_event()
    assert {name: (a.shape, a.dtype) for name, a in e.features.items()} == {
        "time": ((6,), np.float32),
        "shape": ((6, 2), np.float32),
    }
    wanted = np.column_stack([e.energy, e.features["shape"], e.position, e.features["time"]])
    np.testing.assert_array_equal(e.inputs(["energy", "shape", "position", "time"]), wanted)
    assert np.isnan(event(features={"time": [1, np.nan, 2]}).features["time"][1])
    assert event().features == {}
    with pytest.raises(
        ValueError, match="event 4 has no feature 'charge'; it has position, energy, layer, time, shape"
    ):
        e.inputs(["charge"])


def test_two_columns_of_positions():
    e = event(position=[[1, 2], [3, 4], [5, 6]])
    assert e.position.tolist() == [[1, 2, 0], [3, 4, 0], [5, 6, 0]]
    assert e.position.dtype == np.float32


@pytest.mark.parametrize("hits", [slice(1, 4), np.array([True, False, True, True, False, False]), [4, 0, 4], [], -2])
def test_some_hits_of_an_event_equal_the_twin(hits):
    e = full_event()
    if isinstance(hits, int):
        with pytest.raises(TypeError, match="event 4: hit -2 alone asked for"):
            e[hits]
        return
    part, place = e[hits], np.arange(6)[hits].tolist()
    for name in ("position", "energy", "layer", "particle_id", "purity"):
        np.testing.assert_array_equal(getattr(part, name), getattr(e, name)[place])
    for name in e.features:
        np.testing.assert_array_equal(part.features[name], e.features[name][place])
    d = e.deposits
    given = zip(d.hit, d.particle, d.energy, strict=True)
    rows = [(new, p, x) for h, p, x in given for new, i in enumerate(place) if h == i]
    assert list(zip(part.deposits.hit, part.deposits.particle, part.deposits.energy, strict=True)) == rows
    assert (part.particles.number.tolist(), len(part.tracks), part.detector, part.number) == ([70, 90], 1, "mine", 4)


def test_equality_and_copies():
    import copy
    import pickle

    e = full_event()
    assert e == full_event()
    assert e == copy.copy(e) == copy.deepcopy(e) == pickle.loads(pickle.dumps(e)) == e[:] == e.replace()
    assert e != full_event(seed=1)
    for name in ("deposits", "purity", "particle_id", "features", "tracks", "detector", "number"):
        assert e != full_event(**{name: None}), name
    later = {**e.features, "time": e.features["time"] + 1}
    assert e.replace(features=later) != e
    assert e.replace(features=later).features["time"][0] == e.features["time"][0] + 1
    assert e != "event"
    with pytest.raises(TypeError):
        list(e)


def test_sparse_numbers_are_compacted():
    numbers = [300_000, -1, 7, 300_000, 2**62]
    deposits = ([0, 0, 2], [300_000, 555_555, -1], [1.0, 2.0, 3.0])
    tracks = ([1.0, 2.0], [[0, 0, 1]] * 2, [[0, 0, 0]] * 2, [7, 99])
    e = Event(np.zeros((5, 3)), np.ones(5), particle_id=numbers, deposits=deposits, tracks=tracks)
    assert e.particles.number.tolist() == [7, 300_000, 555_555, 2**62]
    assert e.particle_id.tolist() == [1, -1, 0, 1, 3]
    assert e.deposits.particle.tolist() == [1, 2, -1]
    assert e.tracks.particle.tolist() == [0, -1]
    assert e[2:].particle_id.tolist() == [0, 1, 3]
    few = event(particle_id=[0, 5, -1])  # numbers that are nearly dense stay
    assert (few.n_particles, few.particle_id.tolist(), few.particles.number) == (6, [0, 5, -1], None)
    with pytest.raises(ValueError, match="name particle 300000, but there are 1 particles; expected rows"):
        event(particle_id=[300_000, 0, 0], particles=([11], [1.0], [[0, 0, 1]]))


def test_positions_that_float32_cannot_tell_apart():
    near, far = np.random.default_rng(0).uniform(-50, 50, (200, 3)), np.array([4.7e8, 6.1e8, 0])
    with pytest.warns(
        UserWarning, match=r"positions of up to 6e\+08 .* resolves only 64 .*; subtract an origin"
    ) as said:
        Event(near + far, np.ones(200))
    assert said[0].filename == __file__
    with pytest.warns(UserWarning, match="values of feature 'time' of up to 2e.09 .*; subtract an offset"):
        event(features={"time": 1.7e9 + np.arange(3)})
    Event(1e5 * near, np.ones(200))  # far and far apart: nothing is lost
    Event((near + far).astype(np.float32), np.ones(200))  # lost before, if at all
    event(features={"cell": np.array([1, 2, 4]) * 2**40})


def test_an_event_keeps_what_was_checked():
    position, energy = np.zeros((2, 3), np.float32), np.ones(2, np.float32)
    event = Event(position, energy)
    position[0], energy[0] = np.nan, -1
    assert np.isfinite(event.position).all()
    assert (event.energy == 1).all()


def test_tensors_and_dicts_are_taken():
    torch = pytest.importorskip("torch")
    x = torch.zeros(2, 3, requires_grad=True)
    event = Event(
        x,
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.int32),
        torch.tensor([0, -1]),
        deposits={"hit": [0], "particle": [0], "energy": [1.0]},
        particles={"pdg_id": [11], "energy": [np.nan], "direction": [[0, 0, 1]]},
        tracks={"momentum": [2.0], "direction": [[0, 0, 1]], "entry": [[0, 0, 0]], "particle": [0]},
    )
    assert event.energy.tolist() == [1.0, 1.0]
    assert (event.n_particles, len(event.tracks)) == (1, 1)


def test_numbers_are_whole():
    with pytest.raises(ValueError, match=r"event: number is 1.5, expected integers"):
        Event([[0, 0, 0]], [1.0], number=1.5)


def test_title():
    assert (Event([[0, 0, 0]], [1.0]).title, Event([[0, 0, 0]], [1.0], number=7).title) == ("event", "event 7")
