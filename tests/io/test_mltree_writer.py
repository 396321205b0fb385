"""Writing files of the MLTree kind: round trips from several detectors, and what is refused."""

import json
import os
import pickle
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

import cmlflow
import cmlflow.io.mltree_writer as writer
from cmlflow.event import Event
from cmlflow.io import read, read_labels, write
from cmlflow.io.atlas import ATLAS_LAYERS
from cmlflow.io.mltree import MltreeEvents


def atlas_event(seed, n_hits=30, n_tracks=2, n_particles=3, number=None):
    """Cells anywhere; tracks along straight lines that miss some layers, the first one all of them."""
    rng = np.random.default_rng(seed)
    eta, phi = rng.uniform(0.2, 1.4, n_tracks), rng.uniform(-3, 3, n_tracks)
    crossing = np.full((n_tracks, 20, 3), np.nan)
    for surface in ATLAS_LAYERS.values():
        r = np.full(n_tracks, surface.at) if surface.fixed == "r" else surface.at / np.sinh(eta)
        points = np.stack([r * np.cos(phi), r * np.sin(phi), r * np.sinh(eta)], axis=1)
        crossed = (rng.random(n_tracks) < 0.5) & (np.arange(n_tracks) > 0)
        crossing[crossed, surface.number - 1] = points[crossed]
    direction = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)], axis=1) / np.cosh(eta)[:, None]
    n = 2 * n_hits
    return Event(
        rng.normal(0, 200, (n_hits, 3)),
        rng.uniform(0, 4, n_hits),
        rng.integers(0, 21, n_hits),
        deposits=(rng.integers(0, max(n_hits, 1), n), rng.integers(-1, n_particles, n), rng.uniform(0.1, 5, n)),
        particles=(rng.choice([211, 22], n_particles), rng.uniform(1, 9, n_particles), _units(rng, n_particles)),
        tracks=(
            rng.uniform(1, 9, n_tracks),
            direction,
            150 * direction,
            rng.integers(-1, n_particles, n_tracks),
            crossing,
        ),
        detector="atlas",
        number=number,
    )


def _units(rng, n):
    v = rng.normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def slab_event(seed, n_hits=30, n_tracks=2, detector="slab-hg", number=None):
    rng = np.random.default_rng(seed)
    layer = rng.integers(1, 7, n_hits)
    position = np.stack([*np.round(rng.uniform(-60, 60, (2, n_hits))), 150.0 + 10 * layer], axis=1)
    direction = np.tile([0.0, 0.0, 1.0], (n_tracks, 1))
    crossing = np.stack(
        [np.zeros((n_tracks, 6)), np.zeros((n_tracks, 6)), np.tile(150.0 + 10 * np.arange(6), (n_tracks, 1))], 2
    )
    crossing[: n_tracks // 2, 4:] = np.nan
    return Event(
        position,
        rng.uniform(0, 2, n_hits),
        layer,
        rng.integers(-1, 2, n_hits),
        particles=([211, 111], [5.0, np.nan], [[0, 0, 1], [np.nan] * 3]),
        tracks=(rng.uniform(1, 9, n_tracks), direction, crossing[:, 0], np.zeros(n_tracks, int), crossing),
        detector=detector,
        number=number,
    )


def summed(event):
    """Energy of each (position, layer) and of each (position, layer, particle): what a file of cells can keep."""
    cells, shares = {}, {}
    keys = [(*p, la) for p, la in zip((event.position + 0).tolist(), event.layer.tolist(), strict=True)]
    for key, e in zip(keys, event.energy.tolist(), strict=True):
        cells[key] = cells.get(key, 0) + e
    for hit, p, e in zip(*(x.tolist() for x in vars(event.deposits).values()), strict=True):
        shares[(keys[hit], p)] = shares.get((keys[hit], p), 0) + e
    return cells, shares


def check_same(a, b, places=1e-4):
    (cells, shares), (have, have_shares) = summed(a), summed(b)
    assert len(cells) == len(have) == b.n_hits
    order_a, order_b = np.lexsort(np.round(a.position.T, 3)), np.lexsort(np.round(b.position.T, 3))
    if len(cells) == a.n_hits:
        np.testing.assert_allclose(b.position[order_b], a.position[order_a], rtol=1e-6, atol=places)
        np.testing.assert_allclose(b.energy[order_b], a.energy[order_a], rtol=1e-6)
        np.testing.assert_array_equal(b.layer[order_b], a.layer[order_a])
    np.testing.assert_allclose(sum(have.values()), sum(cells.values()), rtol=1e-6)
    assert len(shares) == len(have_shares)
    np.testing.assert_allclose(sorted(have_shares.values()), sorted(shares.values()), rtol=1e-6)
    for name in ("pdg_id", "energy", "direction"):
        np.testing.assert_allclose(getattr(b.particles, name), getattr(a.particles, name), rtol=1e-6, atol=1e-6)
    assert (a.number, a.detector) == (b.number, b.detector)
    if a.tracks is None:
        assert len(b.tracks) == 0
        return
    for name in ("momentum", "direction", "entry", "particle"):
        np.testing.assert_allclose(getattr(b.tracks, name), getattr(a.tracks, name), rtol=1e-5, atol=places)
    if len(a.tracks):
        np.testing.assert_allclose(b.tracks.crossing, a.tracks.crossing, rtol=1e-5, atol=places)


@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 9), st.integers(0, 4), st.integers(1, 4)), max_size=4))
@settings(max_examples=5, deadline=None)
def test_round_trip_of_atlas_events(shapes):
    events = [atlas_event(*shape, number=i) for i, shape in enumerate(shapes)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.root"
        write(iter(events), path, format="mltree")
        back = read(path)
        assert len(back) == len(events)
        for a, b in zip(events, back, strict=True):
            check_same(a, b)
            np.testing.assert_array_equal(a.particle_id, b.particle_id)
        assert os.listdir(folder) == ["a.root"]


def test_round_trip_of_a_detector_across_z(tmp_path, monkeypatch):
    """Tracks along z, seen as a piece of a barrel; several baskets, several blocks, repeated cells."""
    monkeypatch.setattr(writer, "EVENTS_PER_BASKET", 2)
    events = [slab_event(i, n, t) for i, (n, t) in enumerate([(30, 2), (0, 0), (500, 1), (1, 3), (7, 0)])]
    write(events, tmp_path / "a.root", format="mltree", beam="y")
    back = read(tmp_path / "a.root", step_size=3)
    for a, b in zip(events, back, strict=True):
        check_same(a, b)
    again = pickle.loads(pickle.dumps(MltreeEvents(tmp_path / "a.root")))
    check_same(events[2], again[2])
    with uproot.open(tmp_path / "a.root") as file:
        assert json.loads(str(file["cmlflow_mltree"])) == {"detector": "slab-hg", "beam": "y", "gev_per_unit": 1.0}
        ids = file["CellGeo"]["cell_geo_ID"].array()[0]
        assert len(set(ids.tolist())) == len(
            {(*p, la) for e in events for p, la in zip(e.position.tolist(), e.layer, strict=True)}
        )
    with pytest.raises(ValueError, match="event 0: track 0 runs along or meets the beam axis 'z'"):
        write(events[:1], tmp_path / "b.root", format="mltree")
    assert os.listdir(tmp_path) == ["a.root"]


def test_simulated_showers_keep_their_unit(tmp_path):
    events = cmlflow.simulate("compact-em", 2, seed=1, n_particles=2)
    write(events, tmp_path / "a.root", format="mltree", beam="y")
    for a, b in zip(events, read(tmp_path / "a.root"), strict=True):
        np.testing.assert_array_equal(a.energy, b.energy)
        np.testing.assert_array_equal(a.particle_id, b.particle_id)
        np.testing.assert_allclose(a.position, b.position, atol=1e-4)
        np.testing.assert_allclose(a.fractions.sum(), b.fractions.sum(), rtol=1e-9)
    mip = 0.08925e-3
    tree = uproot.open(tmp_path / "a.root")["EventTree"]
    np.testing.assert_allclose(
        ak.sum(tree["cluster_cell_E"].array()[0]), events[0].energy.sum(dtype=float) * mip, rtol=1e-6
    )
    flat = [Event([[0, 0, 300]], [1.0])]
    with pytest.raises(ValueError, match=r"event 0: hit 0 at \[  0.   0. 300.\] lies on the beam axis 'z'"):
        write(flat, tmp_path / "b.root", format="mltree")


def test_labels_are_topo_clusters(tmp_path):
    events = [slab_event(i, 40, 1) for i in range(3)] + [slab_event(9, 0, 0)]
    labels = [np.arange(e.n_hits) % 4 - 1 for e in events]
    write(events, tmp_path / "a.root", format="mltree", beam="y", labels=labels)
    tree = uproot.open(tmp_path / "a.root")["EventTree"]
    assert tree["cluster_label"].array().tolist() == [[0, 1, 2, -1]] * 3 + [[]]
    for a, b, want, have in zip(
        events, read(tmp_path / "a.root"), labels, read_labels(tmp_path / "a.root"), strict=True
    ):
        assert len(have) == b.n_hits
        of = {tuple(p): label for p, label in zip((a.position + 0).round(2).tolist(), want.tolist(), strict=True)}
        assert [of[tuple(p)] for p in (b.position + 0).round(2).tolist()] == have.tolist()


def test_shared_cells_come_back_whole(tmp_path):
    """Every hit is spread over two clusters, hit 3 leaves a quarter over."""
    e = slab_event(4, 8, 1)
    f = np.linspace(0, 1, 8)
    hit, cluster = np.tile(np.arange(8), 2), np.repeat([0, 1], 8)
    fraction = np.concatenate([f, 1 - f])
    fraction[3] -= 0.25
    write([e], tmp_path / "a.root", format="mltree", beam="y", fractions=[(hit, cluster, fraction)])
    raw = uproot.open(tmp_path / "a.root")["EventTree"]
    assert ak.num(raw["cluster_cell_ID"].array(), axis=2).tolist() == [[7, 7, 1]]
    assert raw["cluster_label"].array().tolist() == [[0, 1, -1]]
    check_same(e, read(tmp_path / "a.root")[0])
    with pytest.raises(ValueError, match=r"event 0: fractions of hit 2 add up to 1.5, expected at most 1"):
        write([e], tmp_path / "b.root", format="mltree", fractions=[([2, 2], [0, 1], [0.5, 1.0])])
    for wrong in ([], [([0], [0])]):
        with pytest.raises(ValueError, match="event 0: fractions are missing"):
            write([e], tmp_path / "b.root", format="mltree", fractions=wrong)
    with pytest.raises(ValueError, match=r"fractions name a hit outside 0..7"):
        write([e], tmp_path / "b.root", format="mltree", fractions=[([8], [0], [1.0])])


def test_what_the_writer_refuses(tmp_path):
    path = tmp_path / "a.root"
    with pytest.raises(ValueError, match="event 1 has detector 'other', but the ones before 'slab-hg'"):
        write([slab_event(0), slab_event(0, detector="other")], path, format="mltree", beam="y")
    with pytest.raises(ValueError, match="beam is 'up'"):
        write([slab_event(0)], path, format="mltree", beam="up")
    e = atlas_event(1, 5, 3)
    for place, message in (
        ((1, [500.0, 0, 0]), r"track 0 crosses EMB2 at \[500.*not on the layer's surface \(r = 172.389 cm\)"),
        ((3, [500.0, 0, 0]), "track 0 crosses layer 4, which is not one of those that the file has"),
    ):
        crossing = e.tracks.crossing.copy()
        crossing[0, place[0]] = place[1]
        tracks = (e.tracks.momentum, e.tracks.direction, e.tracks.entry, e.tracks.particle, crossing)
        bad = Event(e.position, e.energy, e.layer, particles=e.particles, tracks=tracks, detector="atlas")
        with pytest.raises(ValueError, match=message):
            write([bad], path, format="mltree")
    assert not os.listdir(tmp_path)


def test_no_events_at_all(tmp_path):
    write([], tmp_path / "a.root", format="mltree")
    assert len(read(tmp_path / "a.root")) == 0
    assert read_labels(tmp_path / "a.root") == []
