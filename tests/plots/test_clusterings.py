"""What displays show of shares, candidates and tracks of the slab detector."""

import json
import re
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pytest

import cmlflow
from cmlflow import Event
from cmlflow.metrics import true_candidates
from cmlflow.plots import candidate_colours, event_display
from cmlflow.plots.clusterings import hard_labels, sparse_shares


@pytest.fixture(scope="module")
def events():
    return list(cmlflow.simulate("jets-test", 2, seed=2))


def data_of(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def numbers(text, n):
    raw = b64decode(text)
    return np.frombuffer(raw, "<i2" if len(raw) == 2 * n else "<i4")


def shares_of(stored):
    hit, owner, percent = (numbers(stored[k], stored["n"]).tolist() for k in ("hit", "owner", "percent"))
    return list(zip(hit, owner, percent, strict=True))


def test_true_candidates_look_like_the_truth(events):
    data = data_of(event_display(events, {"truth": [true_candidates(e) for e in events]}))
    for event, shown in zip(events, data["events"], strict=True):
        (c,) = shown["clusterings"]
        labels, colours = numbers(c["labels"], event.n_hits), np.array(c["colours"])
        known = event.particle_id >= 0  # noise may be larger than the largest particle
        np.testing.assert_array_equal(colours[labels[known]], event.particle_id[known])
        tracks = event.tracks
        assert colours[c["tracks"]].tolist() == tracks.particle.tolist()
        assert [shown["kinds"][p] for p in tracks.particle] == [1] * len(tracks)
        assert [c["kinds"][k] for k in c["tracks"]] == [1] * len(tracks)
        assert sorted(set(c["kinds"])) == [1, 2]
        assert f"{len(tracks)} charged and" in c["caption"]
        assert "track 0 → particle" in c["names"][0]


def test_tracks_run_through_their_crossings(events):
    (shown, _) = data_of(event_display(events))["events"]
    event = events[0]
    assert len(shown["tracks"]) == len(event.tracks)
    for i, line in enumerate(shown["tracks"]):
        inside = np.array(line["lines"][1]).T
        known = event.tracks.crossing[i][np.isfinite(event.tracks.crossing[i][:, 0])]
        np.testing.assert_allclose(inside[: len(known)], known, atol=0.006)
        assert inside[-1, 2] >= event.position[:, 2].max() - 0.01
        assert line["particle"] == event.tracks.particle[i]


def test_shares_are_told_largest_first():
    share = np.array([[0.3, 1.0, 0.004, 0.0], [0.7, 0.0, 0.2, 0.0]])
    assert hard_labels(share).tolist() == [1, 0, 1, -1]
    assert hard_labels(np.zeros((0, 2))).tolist() == [-1, -1]
    assert shares_of(sparse_shares(share)) == [(0, 1, 70), (0, 0, 30), (2, 1, 20)]
    event = Event(np.zeros((2, 3)), [1.0, 4.0], deposits=([0, 1, 1], [0, 0, 1], [1.0, 1.0, 3.0]))
    (shown,) = data_of(event_display(event, np.array([[1, 0.5], [0, 0.5]])))["events"]
    assert shares_of(shown["shares"]) == [(1, 1, 75), (1, 0, 25)]
    (c,) = shown["clusterings"]
    assert shares_of(c["shares"]) == [(1, 0, 50), (1, 1, 50)]
    assert c["colours"] == [0, 1]
    assert "tracks" not in c


def test_colours_of_candidates_follow_tracks_not_cells():
    """The track's candidate has the photon's cells, a neutral one the pion's, and another half of the photon."""
    event = Event(
        np.zeros((3, 3)), [1.0, 5.0, 5.0], particle_id=[0, 1, 1], tracks=([1.0], [[0, 0, 1]], [[0, 0, 0]], [0])
    )
    c = SimpleNamespace(
        share=np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 1.0]]), pdg_id=[211, 22, 22], momentum=np.ones((3, 4)),
        track=np.array([0, -1, -1]),
    )  # fmt: skip
    assert candidate_colours(c, event).tolist() == [0, 2, 1]
    c.share[0] = 0
    assert candidate_colours(c, event)[0] == 0
    (shown,) = data_of(event_display(event, {"one": c}))["events"]
    assert shown["clusterings"][0]["colours"] == [0, 2, 1]
    assert "0 of 1 charged and 0 of 1 neutral particles found" in shown["clusterings"][0]["caption"]
    assert shown["caption"].startswith("2 particles, 3 hits, 1 track;")


def test_nothing_at_all():
    event = Event(np.zeros((0, 3)), [], tracks=([], np.zeros((0, 3)), np.zeros((0, 3)), []))
    none = SimpleNamespace(share=np.zeros((0, 0)), pdg_id=[], momentum=np.zeros((0, 4)), track=[])
    (shown,) = data_of(event_display([event], [none]))["events"]
    assert shown["clusterings"][0]["names"] == []
    assert shown["tracks"] == []
