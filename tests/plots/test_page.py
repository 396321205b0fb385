import re
from base64 import b64decode

import pytest

from cmlflow.metrics import Interval
from cmlflow.plots.page import figure_html, html_page, table_html, write_page


def test_page_without_display_has_no_script():
    html = html_page("a & b", "<p>text</p>")
    assert "<script" not in html
    assert "<title>a &amp; b</title>" in html
    assert len(html) < 10_000


def test_figures_are_svg_inside_the_page():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([0, 1])
    html = figure_html(figure, 'loss < 1 "quoted"')
    data = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)[1]
    assert b"<svg" in b64decode(data)
    assert "<figcaption>loss &lt; 1 &quot;quoted&quot;</figcaption>" in html


def test_tables_escape_and_keep_the_limits():
    html = table_html(["name", "value"], [["<b>", Interval(0.5, 0.25, 0.75)], ["c", Interval(1.0)]], "cap", marked=[1])
    assert "<td>&lt;b&gt;</td><td>0.500<small>[0.250, 0.750]</small></td>" in html
    assert '<tr class="marked"><td>c</td><td>1.000</td></tr>' in html
    assert "<caption>cap</caption>" in html
    with pytest.raises(ValueError, match="row 0 of the table has 1 cells, but the head has 2"):
        table_html(["a", "b"], [["x"]])


def test_pages_are_written_whole_or_not_at_all(tmp_path):
    path = write_page(tmp_path / "a.html", "µ")
    assert path.read_text(encoding="utf-8") == "µ"
    with pytest.raises(UnicodeEncodeError):
        write_page(path, "half\ud800")
    assert path.read_text(encoding="utf-8") == "µ"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    with pytest.raises(OSError, match="absent"):
        write_page(tmp_path / "absent" / "a.html", "")
