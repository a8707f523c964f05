"""Every system is drawn at its values, and no label hides another."""

import html
from pathlib import Path
from platform.comparison import realism_fidelity_plots
from platform.comparison.realism_fidelity import views
from platform.comparison.realism_fidelity_plots import realism_fidelity_figure
from platform.stats.scores import Score, SystemResult
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from tests.platform.reporting.reading import size, traces
from tests.platform.stats.examples import result

DRAWS = tuple(np.linspace(0.9, 1.1, 401))


def system(name: str, fid: float, psnr: float, kind: str = "system", **more: float) -> SystemResult:
    values = {"fid": fid, "psnr": psnr, **more}
    return result(name, {m: Score(v, tuple(v * d for d in DRAWS)) for m, v in values.items()}, kind=kind)


ROWS = [
    system("64 mT input", 2.0, 20.0, kind="input", ms_ssim=0.86),
    result("3 T", {"fid": 0.05, "psnr": float("inf")}, kind="truth"),
    system("good", 0.10, 22.0, ms_ssim=0.90),
    system("better", 0.08, 21.5, ms_ssim=0.91),
    system("bad <b>", 0.50, 21.0, ms_ssim=0.80),
    result("gone", note="diverged"),
]


def test_the_figure_is_a_page_and_a_picture(tmp_path: Path) -> None:
    page, picture = realism_fidelity_figure(ROWS, tmp_path / "new" / "plane.v1")
    assert (page.name, picture.name) == ("plane.v1.html", "plane.v1.png")
    assert min(size(picture)) > 600
    named = {t["name"]: t for t in traces(page) if "name" in t and t["yaxis"] == "y"}
    assert {name: (t["x"], t["y"]) for name, t in named.items()} == {
        "64 mT input": ([2.0], [20.0]),
        "good": ([0.10], [22.0]),
        "better": ([0.08], [21.5]),
        "bad &lt;b&gt;": ([0.50], [21.0]),
    }
    lines = ["<b>good</b>", "FID <b>0.1000</b> [0.08866, 0.1113]", "PSNR (dB) <b>22.00</b> [19.50, 24.50]"]
    assert named["good"]["hovertext"] == "<br>".join(lines)


def test_realism_is_the_patch_distance_where_it_was_measured() -> None:
    rows = [
        system("a", 0.1, 20.0, patch_fd=9.0),
        system("b", 0.2, 21.0, patch_fd=4.0),
        system("old", 0.3, 20.5),
    ]
    (view,) = views(rows)
    assert {spot.label: spot.x.mean for spot in view.spots} == {"a": 9.0, "b": 4.0}
    assert view.titles[0] == "patch distance, lower is better"


def test_a_view_marks_front_input_and_floor_and_has_intervals_within_its_limits() -> None:
    psnr, ssim = views(ROWS)
    kinds = {spot.label: spot.kind for spot in psnr.spots}
    assert kinds == {"64 mT input": "input", "good": "front", "better": "front", "bad <b>": "system"}
    assert {s.label for s in ssim.spots if s.kind == "front"} == {"better"}
    assert psnr.floor == ("3 T", 0.05)
    np.testing.assert_allclose(psnr.edge, [[0.08, 21.5], [0.10, 21.5], [0.10, 22.0]])
    np.testing.assert_allclose(
        psnr.bars[1], np.outer([0.10, 22.0], 1 + 1.96 * np.std(DRAWS) * np.array([-1, 1]))
    )
    assert (psnr.bars >= psnr.limits[:, :1]).all() and (psnr.bars <= psnr.limits[:, 1:]).all()
    unit = psnr.unit(psnr.means)
    assert ((unit > 0) & (unit < 1)).all()


def test_the_page_writes_each_name_at_its_point_on_its_axes() -> None:
    """On a logarithmic axis plotly counts annotations and ranges in decades; its offsets point downwards."""
    view, _ = both = views(ROWS)
    layout = realism_fidelity_plots.page(both).layout
    assert layout.xaxis.type == layout.xaxis2.type == "log"
    assert list(layout.xaxis.range) == pytest.approx(np.log10(view.limits[0]).tolist())
    notes = {note.text: note for note in layout.annotations if note.yref == "y"}
    assert set(notes) == {"64 mT input", "good", "better", "bad &lt;b&gt;", "floor: 3 T"}
    assert (notes["good"].x, notes["good"].y) == pytest.approx((-1.0, 22.0))
    assert notes["floor: 3 T"].x == pytest.approx(np.log10(0.05))
    (column, row), margin = (layout.xaxis.domain, layout.yaxis.domain), layout.margin
    wide = (layout.width - margin.l - margin.r) * (column[1] - column[0])
    high = (layout.height - margin.t - margin.b) * (row[1] - row[0])
    for label in realism_fidelity_plots.labels(view, (wide, high), 12.5):
        note = notes[html.escape(label.text)]
        assert (note.ax, -note.ay) == pytest.approx(tuple(label.offset))


@pytest.mark.parametrize(("largest", "log"), [(0.3, False), (3.0, True)])
def test_fids_of_a_wide_range_are_on_a_logarithmic_axis(largest: float, log: bool) -> None:
    (view,) = views([system("a", 0.1, 20.0), system("b", largest, 21.0)])
    assert view.log is log
    middle = np.sqrt(view.limits[0].prod()) if log else view.limits[0].mean()
    assert view.unit(np.array([[middle, view.limits[1].mean()]])) == pytest.approx(np.array([[0.5, 0.5]]))


WIDE = result("A", {"fid": Score(0.05, tuple(np.linspace(-0.2, 0.3, 401))), "psnr": 20.0})
"""Its interval reaches zero."""


@pytest.mark.parametrize(
    ("rows", "files"),
    [
        *(([], 0), ([ROWS[1]], 0), ([result("A", {"fid": 1.0})], 0)),
        *(([row], 2) for row in (ROWS[0], ROWS[2], result("A", {"fid": 1.0, "psnr": 20.0}))),
        ([WIDE, system("b", 3.0, 21.0)], 2),
    ],
)
def test_any_row_with_both_measures_is_drawn(rows: list[SystemResult], files: int, tmp_path: Path) -> None:
    paths = realism_fidelity_figure(rows, tmp_path / "plane")
    assert len(paths) == files and all(path.is_file() for path in paths)
    if WIDE in rows:
        (view,) = views(rows)
        assert view.log and (view.bars > 0).all(), "a logarithm needs positive bounds"


@pytest.mark.parametrize("seed", range(4))
def test_no_label_overlaps_another_or_a_point_or_leaves_the_frame(seed: int) -> None:
    """Of ten systems, most close together."""
    close = np.random.default_rng(seed).normal((0.1, 22), (0.01, 0.1), (8, 2))
    rows = [system(f"System number {n}", *values) for n, values in enumerate(close)]
    rows += [system("Far (full method)", 1.5, 18.0), system("b", 0.4, 20.0)]
    (view,) = views([system("64 mT input", 2.0, 20.0, kind="input"), ROWS[1], *rows])
    figure = realism_fidelity_plots.picture([view])
    figure.canvas.draw()
    (ax,) = figure.axes
    boxes: dict[str, Any] = {  # of the words, without their lines
        text.get_text(): Text.get_window_extent(text, figure.canvas.get_renderer()) for text in ax.texts
    }
    assert set(boxes) == {spot.label for spot in view.spots} | {"floor: 3 T"}
    for name, box in boxes.items():
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)
        assert not any(box.contains(*ax.transData.transform(mean)) for mean in view.means)
