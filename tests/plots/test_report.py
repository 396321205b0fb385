import numpy as np

import cmlflow
from cmlflow.plots.report import Section, columns, score_table, text, write_report


def test_report_has_its_sections_in_order_with_links(tmp_path):
    sections = [Section("First & last", [text("a < b"), text("small", "note")]), Section("Second", [columns("x", "y")])]
    html = write_report(tmp_path / "r.html", "Title", sections, lead="lead").read_text(encoding="utf-8")
    assert '<a href="#part-0">First &amp; last</a><a href="#part-1">Second</a>' in html
    assert html.index('id="part-0"') < html.index("a &lt; b") < html.index('id="part-1"')
    assert '<p class="note">small</p>' in html
    assert '<p class="lead">lead</p>' in html
    assert "<script" not in html


def test_score_table_holds_the_figures():
    events = list(cmlflow.simulate("compact-em-test", 2, seed=1, n_particles=2))
    one = cmlflow.evaluate(events, [np.zeros(e.n_hits, int) for e in events])
    perfect = cmlflow.evaluate(events, [e.particle_id for e in events])
    html = score_table({"one": one, "perfect": perfect}, "Scores", figures=["efficiency", "merge_rate"], marked=["one"])
    assert '<th scope="col">merge rate</th>' in html
    assert '<tr class="marked"><td>one</td>' in html
    assert "<tr><td>perfect</td><td>1.000<small>[1.000, 1.000]</small></td>" in html
