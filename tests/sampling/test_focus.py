"""Focus samples: a slow twin, a case by hand, files, padding, and the split by hash."""

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cmlflow
from cmlflow.event import Event
from cmlflow.io import FormatError
from cmlflow.sampling import (
    FocusFile,
    FocusSample,
    all_focus_samples,
    focus_samples,
    hashed_part,
    padded,
    split_events,
    write_focus,
)
from cmlflow.sampling.focus import reference_points

FIELDS = ("kind", "position", "distance", "delta_r", "energy", "share", "deposit", "layer", "index")


def barrel_event(seed, n_hits=60, n_tracks=3, n_particles=4, number=None, crossings=True):
    """Cells and tracks about eta = 0, phi = 0; the last track crosses no layer, the others some."""
    rng = np.random.default_rng(seed)
    eta, phi = rng.normal(0, 0.15, (2, n_tracks))
    direction = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)], axis=1)
    crossing = direction[:, None] * rng.uniform(150, 152, (n_tracks, 6, 1)) * np.linspace(1, 1.5, 6)[:, None]
    crossing[rng.random((n_tracks, 6)) < 0.4] = np.nan
    crossing[-1:] = np.nan
    tracks = [rng.uniform(1, 9, n_tracks), direction / np.cosh(eta)[:, None], 150 * direction,
              rng.integers(-1, n_particles, n_tracks)]  # fmt: skip
    cell_eta, cell_phi = rng.normal(0, 0.2, (2, n_hits))
    r = rng.uniform(150, 250, n_hits)
    n = 2 * n_hits
    return Event(
        np.stack([r * np.cos(cell_phi), r * np.sin(cell_phi), r * np.sinh(cell_eta)], axis=1),
        rng.uniform(0, 3, n_hits),
        rng.integers(1, 7, n_hits),
        deposits=(rng.integers(0, max(n_hits, 1), n), rng.integers(-1, n_particles, n), rng.uniform(0, 2, n)),
        particles=([211] * n_particles, [5.0] * n_particles, np.tile([1.0, 0, 0], (n_particles, 1))),
        tracks=(*tracks, crossing) if crossings else tracks,
        number=number,
    )


def angles(p):
    return math.asinh(p[2] / math.hypot(p[0], p[1])), math.atan2(p[1], p[0])


def apart(p, q):
    (a, b), (c, d) = angles(p), angles(q)
    turn = abs(b - d)
    return math.hypot(a - c, min(turn, 2 * math.pi - turn))


def slowly(event, t, radius):
    """Twin: rows (kind, index, layer, position, distance, ΔR, energy, share, deposit) of the sample of one track."""
    tracks, n = event.tracks, len(event.tracks)
    points, reference = [], []
    for i in range(n):
        row = {}
        for k in range(0 if tracks.crossing is None else tracks.crossing.shape[1]):
            if not math.isnan(tracks.crossing[i, k, 0]):
                row[k + 1] = tracks.crossing[i, k].astype(float)
        reference.append(row.get(2, row.get(6, tracks.entry[i].astype(float))))
        points.append(row or {0: tracks.entry[i].astype(float)})
    own = list(points[t].values())
    rows = []

    def add(kind, index, layer, position, energy, share, deposit):
        near = min(math.dist(position, p) for p in own)
        rows.append((kind, index, layer, position, near, apart(position, reference[t]), energy, share, deposit))

    for i in range(n):
        if i == t or apart(reference[i], reference[t]) <= radius:
            for layer, p in points[i].items():
                add(1 if i == t else 2, i, layer, p, tracks.momentum[i], math.nan, math.nan)
    for j in range(event.n_hits):
        p = event.position[j].astype(float)
        if apart(p, reference[t]) > radius:
            continue
        left, total = 0.0, 0.0
        for hit, particle, e in zip(*vars(event.deposits).values(), strict=True):
            if hit == j:
                total += float(e)
                left += float(e) * (particle == tracks.particle[t])
        known = tracks.particle[t] >= 0
        add(0, j, event.layer[j], p, event.energy[j], (left / total if total else 0.0) if known else math.nan,
            left if known else math.nan)  # fmt: skip
    return sorted(rows, key=lambda r: (r[0] != 1, r[5]))


@pytest.mark.parametrize("crossings", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_twin(seed, crossings):
    event = barrel_event(seed, crossings=crossings)
    samples = focus_samples(event, place=11)
    assert [s.track for s in samples] == [0, 1, 2]
    for t, s in enumerate(samples):
        twin = slowly(event, t, 0.2)
        assert (len(s), s.event) == (len(twin), 11)
        np.testing.assert_allclose(s.delta_r, [r[5] for r in twin], atol=1e-6)
        order = np.lexsort((s.layer, s.index, s.kind))
        other = sorted(range(len(twin)), key=lambda i: (twin[i][0], twin[i][1], twin[i][2]))
        columns = [s.kind, s.index, s.layer, s.position, s.distance, s.delta_r, s.energy, s.share, s.deposit]
        for k, column in enumerate(columns):
            np.testing.assert_allclose(column[order], [twin[i][k] for i in other], rtol=1e-5, atol=1e-5)
        assert s.n_cells == sum(r[0] == 0 for r in twin)
        assert (np.diff(s.delta_r[s.kind != 1]) >= 0).all()
        assert (s.kind[: (s.kind == 1).sum()] == 1).all()


def test_a_case_by_hand():
    """A track along z seen from the side; cells at ΔR 0.1 and 0.3; the track has 3 of the 4 units in the first cell."""
    event = Event(
        [[10, 0, 100], [30, 0, 100], [0, 0, 120]],
        [4.0, 1.0, 2.0],
        [1, 1, 2],
        deposits=([0, 0, 1], [0, 1, 1], [3.0, 1.0, 1.0]),
        tracks=([7.0, 2.0], [[0, 0, 1]] * 2, [[0, 0, 90], [0, 50, 90]], [0, -1], [[[0, 0, 100]], [[np.nan] * 3]]),
        number=5,
    )
    first, second = focus_samples(event, beam="y")
    assert first.kind.tolist() == [1, 0, 0]
    assert first.index.tolist() == [0, 2, 0]
    assert first.distance.tolist() == [0, 20, 10]
    np.testing.assert_allclose(first.delta_r, [0, 0, math.atan(0.1)], atol=1e-6)
    assert first.energy.tolist() == [7, 2, 4]
    np.testing.assert_array_equal(first.share, [np.nan, 0, 0.75])
    np.testing.assert_array_equal(first.deposit, [np.nan, 0, 3])
    assert (first.event, second.kind.tolist(), second.layer.tolist()) == (5, [1], [0])
    assert focus_samples(event, 0.35, beam="y")[0].n_cells == 3
    np.testing.assert_array_equal(reference_points(event.tracks, [1]), [[0, 0, 100], [0, 50, 90]])


def test_truth_that_is_not_known_is_nan():
    event = barrel_event(0)
    tracks = event.tracks
    unknown = Event(event.position, event.energy, tracks=(tracks.momentum, tracks.direction, tracks.entry, [-1] * 3))
    for s in focus_samples(unknown):
        assert np.isnan(s.share).all()
        assert np.isnan(s.deposit).all()


def test_events_without_points():
    assert focus_samples(Event([], [], tracks=([], [], [], []))) == []
    one = Event([], [], tracks=([3.0], [[1, 0, 0]], [[150, 0, 0]], [-1]))
    (s,) = focus_samples(one)
    assert (len(s), s.n_cells, s.layer.tolist()) == (1, 0, [0])
    several = [Event([], [], number=8), one, barrel_event(1)]
    assert [s.event for s in all_focus_samples(several)] == [1, 2, 2, 2]
    with pytest.raises(ValueError, match="event 8: has no tracks"):
        focus_samples(several[0])
    with pytest.raises(ValueError, match="radius is 0, expected a positive"):
        focus_samples(one, 0)
    along = Event([], [], tracks=([3.0], [[0, 0, 1]], [[0, 0, 150]], [-1]), number=4)
    with pytest.raises(ValueError, match="event 4: track 0 lies on the beam axis 'z'"):
        focus_samples(along)


def test_does_not_depend_on_the_order_of_hits():
    event = barrel_event(2)
    turn = np.random.default_rng(0).permutation(event.n_hits)
    back = np.argsort(turn)
    d = event.deposits
    turned = Event(
        event.position[turn],
        event.energy[turn],
        event.layer[turn],
        deposits=(back[d.hit], d.particle, d.energy),
        particles=event.particles,
        tracks=event.tracks,
    )
    for a, b in zip(focus_samples(event), focus_samples(turned), strict=True):
        cells = a.kind == 0
        np.testing.assert_array_equal(a.index[cells], turn[b.index[cells]])
        for name in ("kind", "position", "distance", "delta_r", "energy", "layer"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_allclose(a.share, b.share, rtol=1e-6)


def same(a, b):
    assert (a.event, a.track) == (b.event, b.track)
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y, name)


def test_files(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow.sampling.focus_file.SAMPLES_PER_GROUP", 4)
    events = [barrel_event(i, 20 * i, 2, number=100 + i) for i in range(6)]
    samples = list(all_focus_samples(events))
    write_focus(all_focus_samples(events), tmp_path / "a.parquet")
    back = FocusFile(tmp_path / "a.parquet")
    assert len(back) == 12
    assert back.event.tolist() == np.repeat(np.arange(100, 106), 2).tolist()
    for a, b in zip(samples, back, strict=True):
        same(a, b)
    same(back[-1], samples[-1])
    assert [s.event for s in back[3:6]] == [101, 102, 102]
    with pytest.raises(IndexError, match=r"sample 12 asked for, but .* has 12"):
        back[12]
    write_focus([], tmp_path / "b.parquet")
    assert list(FocusFile(tmp_path / "b.parquet")) == []
    with pytest.raises(TypeError, match="entry 1 of the samples is Event, not a FocusSample"):
        write_focus([samples[0], events[0]], tmp_path / "c.parquet")
    assert sorted(os.listdir(tmp_path)) == ["a.parquet", "b.parquet"]


def test_files_that_are_something_else(tmp_path):
    import cmlflow

    cmlflow.write([barrel_event(0)], tmp_path / "a.parquet")
    with pytest.raises(FormatError, match=r"a.parquet holds no focus samples of schema 1"):
        FocusFile(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("no file at all")
    with pytest.raises(FormatError, match=r"b.parquet is no Parquet file"):
        FocusFile(tmp_path / "b.parquet")
    with pytest.raises(FileNotFoundError):
        FocusFile(tmp_path / "c.parquet")


def test_padding():
    samples = list(all_focus_samples([barrel_event(i, 80, 3, number=i) for i in range(4)]))
    lengths = [len(s) for s in samples]
    cut = int(np.median(lengths))
    arrays = padded(samples, max_points=cut, min_cells=5)
    kept = [s for s in samples if s.n_cells >= 5]
    assert 0 < len(arrays) == len(kept) < len(samples) + 1
    assert arrays.x.shape == (len(kept), cut, 6)
    for i, s in enumerate(kept):
        n = min(len(s), cut)
        assert (arrays.event[i], arrays.track[i], arrays.mask[i].sum()) == (s.event, s.track, n)
        for j in range(cut):
            if j >= n:
                assert arrays.x[i, j].tolist() == [0, 0, 0, 0, 0, -1]
                assert (arrays.share[i, j], arrays.deposit[i, j], arrays.mask[i, j]) == (-1, -1, False)
                continue
            want = [*s.position[j], s.distance[j], s.energy[j], s.kind[j]]
            np.testing.assert_array_equal(arrays.x[i, j], np.float32(want))
            known = s.kind[j] == 0 and not np.isnan(s.share[j])
            assert arrays.share[i, j] == (s.share[j] if known else -1)
            assert arrays.deposit[i, j] == (s.deposit[j] if known else -1)
        gone = s.delta_r[n:]
        others = s.delta_r[:n][s.kind[:n] != 1]
        assert not len(gone) or not len(others) or gone.min() >= others.max()
    assert padded(samples, None, 0).x.shape == (12, max(lengths), 6)
    assert padded([], 30).x.shape == (0, 30, 6)
    assert padded([], None).x.shape == (0, 0, 6)
    with pytest.raises(ValueError, match="max_points is 0"):
        padded(samples, 0)


@given(st.lists(st.integers(-5, 2**60), max_size=30), st.integers(0, 3))
def test_hash_puts_an_event_in_one_part_whatever_else_is_there(numbers, seed):
    part = hashed_part(numbers, [0.6, 0.2, 0.2], seed)
    assert part.tolist() == [hashed_part([n], [0.6, 0.2, 0.2], seed)[0] for n in numbers]
    assert all(0 <= p < 3 for p in part)


def test_hash_gives_the_fractions_asked_for():
    part = hashed_part(range(20000), [0.7, 0.1, 0.1])
    for p, f in zip((0, 1, 2, -1), (0.7, 0.1, 0.1, 0.1), strict=True):
        assert abs((part == p).mean() - f) < 4 * math.sqrt(f * (1 - f) / 20000)
    assert (hashed_part(range(100), [0.5, 0.5]) != hashed_part(range(100), [0.5, 0.5], seed=1)).any()
    assert hashed_part([7, 8, 9, 7], [0.5, 0.5]).tolist() == [0, 1, 0, 0]  # the same in every version
    assert hashed_part([], [1.0]).tolist() == []
    for wrong in ([0.9, 0.2], [-0.1, 0.5]):
        with pytest.raises(ValueError, match="fractions are"):
            hashed_part([1], wrong)
        with pytest.raises(ValueError, match="fractions are"):
            split_events([], wrong)


def test_a_sample_says_what_it_is():
    (s,) = focus_samples(Event([], [], tracks=([3.0], [[1, 0, 0]], [[150, 0, 0]], [-1]), number=3))
    assert repr(s) == "<FocusSample of track 0 in event 3: 1 points, 0 cells>"
    assert isinstance(s, FocusSample)


@pytest.mark.parametrize(("sample", "least"), [("rho-test", 0.98), ("pi-gun-2-5-test", 0.97), ("jets-test", 0.97)])
def test_samples_hold_the_shower_of_their_track(sample, least):
    """About the detector's own axis; about z two thirds of the energy are lost in the slab."""
    inside = total = about_z = 0.0
    for event in cmlflow.simulate(sample, 20, seed=1):
        for beam in (None, "z"):
            for s in focus_samples(event, beam=beam):
                held = float(np.nansum(s.deposit))
                inside, about_z = (inside + held, about_z) if beam is None else (inside, about_z + held)
        for particle in event.tracks.particle:
            total += float(event.deposits.energy[event.deposits.particle == particle].sum())
    assert inside / total > least
    assert about_z / total < 0.6
