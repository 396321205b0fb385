import json
import re
from base64 import b64decode

import numpy as np
import pytest

import cmlflow
from cmlflow import Event
from cmlflow.plots.event import display_html, event_display, marker_sizes


@pytest.fixture(scope="module")
def events():
    return list(cmlflow.simulate("compact-em-test", 3, seed=2, n_particles=2))


def data_of(html):
    text = re.search(r'<div class="event-display"><script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(text[1])


def numbers(text, n):
    raw = b64decode(text)
    return np.frombuffer(raw, "<i2" if len(raw) == 2 * n else "<i4")


def outside_references(html):
    """What a browser would load from elsewhere; the text inside of scripts and styles is none of it."""
    tags = re.sub(r"(<script[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
    style = "".join(re.findall(r"<style>(.*?)</style>", tags, re.DOTALL))
    found = re.findall(r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']?([^"'\s>]+)""", tags)
    found += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", style)
    return [f for f in found if not str(f).startswith(("data:", "#"))]


def test_page_needs_nothing_but_itself(events, tmp_path):
    path = tmp_path / "events.html"
    html = event_display(events, [e.particle_id for e in events], path)
    assert path.read_text(encoding="utf-8") == html
    assert outside_references(html) == []
    assert outside_references('<script src="https://cdn.example/x.js"></script>') == ["https://cdn.example/x.js"]
    assert html.count("* plotly.js v") == 1
    assert len(html) < 7e6


def test_hits_arrive_as_they_are(events):
    data = data_of(display_html(events))
    assert data["names"] == []
    assert data["unit"] == "MIP"
    assert [e["name"] for e in data["events"]] == ["event 0", "event 1", "event 2"]
    for event, shown in zip(events, data["events"], strict=True):
        for k, axis in enumerate("xyz"):
            np.testing.assert_array_equal(np.frombuffer(b64decode(shown[axis]), "<f4"), event.position[:, k])
        np.testing.assert_array_equal(np.frombuffer(b64decode(shown["energy"]), "<f4"), event.energy)
        np.testing.assert_array_equal(numbers(shown["layer"], event.n_hits), event.layer)
        np.testing.assert_array_equal(numbers(shown["particle"], event.n_hits), event.particle_id)
        assert len(shown["particles"]) == 2
        assert "GeV" in shown["particles"][0]


def test_matched_clusters_have_the_colour_of_their_particle(events):
    swapped = [1 - e.particle_id for e in events]
    data = data_of(display_html(events, swapped))
    for event, shown in zip(events, data["events"], strict=True):
        (clustering,) = shown["clusterings"]
        labels = numbers(clustering["labels"], event.n_hits)
        colour = np.array(clustering["colours"])[labels]
        np.testing.assert_array_equal(colour, event.particle_id)
        assert clustering["names"] == ["cluster 0 → particle 1", "cluster 1 → particle 0"]
        assert "2 clusters, 2 pure; 2 of 2 particles found; 0 noise hits. 100.0 %" in clustering["caption"]
    assert len(data["palette"]) > 2


def test_several_clusterings_and_one_event(events):
    e = events[0]
    data = data_of(event_display(e, {"a": e.particle_id, "b": [np.zeros(e.n_hits, int)]}))
    assert data["names"] == ["a", "b"]
    assert data["shown"] == [0, 1]
    assert data["events"][0]["clusterings"][1]["colours"] in ([0], [1])
    alone = data_of(event_display(e, e.particle_id.tolist()))
    assert alone["names"] == ["Prediction"]


def test_all_noise(events):
    (shown,) = data_of(display_html(events[:1], [np.full(events[0].n_hits, -1)]))["events"]
    assert shown["clusterings"][0]["colours"] == []
    assert "0 clusters, 0 pure; 0 of 2 particles found" in shown["clusterings"][0]["caption"]


def test_without_truth_clusters_have_their_own_colours():
    event = Event([[0, 0, 0], [1, 0, 0]], [1.0, 2.0])
    (shown,) = data_of(event_display([event], [[1, 0]]))["events"]
    assert shown["truth"] is False
    assert shown["clusterings"][0]["colours"] == [0, 1]
    assert shown["clusterings"][0]["caption"] == "2 clusters, 0 noise hits."


@pytest.mark.parametrize("labels", [None, []])
def test_empty_event(labels):
    event = Event(np.empty((0, 3)), [])
    (shown,) = data_of(event_display([event], None if labels is None else [labels]))["events"]
    assert shown["caption"] == "No hits."
    assert shown["x"] == ""


def test_no_events():
    assert data_of(event_display([]))["events"] == []


@pytest.mark.parametrize("labels", [None, [0], [-1]])
def test_event_of_one_hit(labels):
    event = Event([[1.0, 2.0, 3.0]], [0.0], particle_id=[0])
    (shown,) = data_of(event_display(event, labels))["events"]
    for (low, high), x in zip(shown["frame"]["range"], (1, 2, 3), strict=True):
        assert low < x < high
    assert numbers(shown["size"], 1)[0] == 55


def test_many_equal_hits_at_one_place():
    (shown,) = data_of(event_display(Event(np.ones((60, 3)), np.ones(60))))["events"]
    assert all(high > low for low, high in shown["frame"]["range"])


def test_far_hits_stay_outside_of_the_frame_only(events):
    e = events[0]
    far = Event(np.vstack([e.position, [[900.0, 0, 330]]]), np.append(e.energy, 1), particle_id=[*e.particle_id, 0])
    (shown,) = data_of(display_html([far]))["events"]
    assert shown["frame"]["range"][0][1] < 900 < shown["whole"]["range"][0][1]
    assert 0 < shown["far"] < 0.03 * far.n_hits
    assert f"{shown['far']} far hit" in shown["caption"]


def test_tracks_are_lines_through_their_entry_point():
    event = Event(
        [[0, 0, 320], [0, 5, 400]],
        [1.0, 1.0],
        particle_id=[0, 0],
        tracks=([5.0, 1.0], [[0, 0, 1], [0, 0.6, 0.8]], [[0, 0, 320], [1, 1, 320]], [0, -1]),
    )
    (shown,) = data_of(event_display([event]))["events"]
    first, second = shown["tracks"]
    assert first["name"] == "track 0: 5 GeV, particle 0"
    assert first["particle"] == 0
    assert second["particle"] == -1
    assert first["lines"] == [[[0, 0], [0, 0], [300, 320]], [[0, 0], [0, 0], [320, 384]]]
    assert shown["frame"]["range"][2][0] <= 300
    assert shown["frame"]["range"][1][1] < 39 < shown["whole"]["range"][1][1]  # where the slanted track goes on to
    assert "2 tracks" in shown["caption"]


def test_names_cannot_break_out_of_the_page(events):
    html = event_display(events[:1], {"</script><b>": [events[0].particle_id]}, title="a < b")
    assert "</script><b>" not in html
    assert data_of(html)["names"] == ["</script><b>"]
    assert "<h1>a &lt; b</h1>" in html


def test_only_the_first_events_are_shown(events):
    html = display_html(events, max_events=2)
    assert len(data_of(html)["events"]) == 2
    assert "The first 2 of 3 events" in html


def test_what_does_not_fit_is_named(events, tmp_path):
    with pytest.raises(ValueError, match=r"labels \(Prediction\) hold 1 arrays, but there are 3 events"):
        event_display(events, [[0]])
    with pytest.raises(ValueError, match="event 1: labels have length 2"):
        event_display(events, [events[0].particle_id, [0, 1], events[2].particle_id])
    with pytest.raises(OSError, match="nowhere"):
        event_display(events[:1], path=tmp_path / "nowhere" / "a.html")


def test_marker_sizes_grow_with_the_energy():
    energy = np.array([0.0, 0.5, 1, 10, 100, 1000], np.float32)
    sizes = marker_sizes(energy)
    assert (np.diff(sizes) >= 0).all()
    assert sizes[0] == 2
    assert sizes[-1] > 8.9
    assert marker_sizes(np.empty(0, np.float32)).shape == (0,)


def test_colours_by_features(tmp_path):
    event = Event(
        [[0, 0, 300], [1, 0, 300]],
        [1.0, 2.0],
        [1, 2],
        [0, 1],
        features={"time": [5.0, np.nan], "fit": [[1, 2], [3, 4]]},
    )
    plain = data_of(event_display(event.replace(features=None), [0, 1]))
    assert (plain["by"], plain["colours"], plain["events"][0]["features"]) == ("", [], {})
    data = data_of(event_display(event, [0, 1], colour_by="fit 1"))
    assert data["by"] == "fit 1"
    assert data["colours"] == ["energy", "layer", "time", "fit 0", "fit 1"]
    found = {name: np.frombuffer(b64decode(text), "<f4") for name, text in data["events"][0]["features"].items()}
    np.testing.assert_array_equal(found["time"], np.float32([5, np.nan]))
    assert found["fit 1"].tolist() == [2, 4]
    with pytest.raises(ValueError, match="colour_by is 'charge', expected one of energy, layer, time, fit 0, fit 1"):
        event_display(event, colour_by="charge")
