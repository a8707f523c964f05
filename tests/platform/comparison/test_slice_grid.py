"""The pictures show what they were given, where it belongs, and no label hides another."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from platform.comparison import realism_fidelity, slice_grid
from platform.reporting import matplotlib_plots
from platform.stats.scores import Score, SystemResult
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]


def disc(height: int = 60, width: int = 48) -> Array:
    """A brain of 0.5 in a black margin, without detail inside."""
    y, x = np.mgrid[:height, :width]
    return np.where(((y - height / 2) / 24) ** 2 + ((x - width / 2) / 18) ** 2 < 1, 0.5, 0.0)


def striped(rows: slice, columns: slice) -> Array:
    """The disc with stripes in a window, its only detail."""
    image = disc()
    image[rows, columns] += 0.3 * np.sin(np.arange(100)[rows] * 1.5)[:, None]
    return image


def images(*systems: str, truth: bool = True) -> dict[str, dict[str, Array]]:
    """Systems that are off by 0.1, 0.2, ... within the brain."""
    clean = {"T1": striped(slice(30, 38), slice(22, 30)), "T2": disc()}
    found = {"64 mT input": {c: x * 0.5 for c, x in clean.items()}}
    for number, name in enumerate(systems, 1):
        found[name] = {c: np.where(x > 0, x + 0.1 * number, 0) for c, x in clean.items()}
    return found | ({"3 T": clean} if truth else {})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved, in place of their files."""
    saved: list[Any] = []
    monkeypatch.setattr(matplotlib_plots, "save", lambda picture, path: saved.append(picture) or path)
    return saved


def shown(figure: Any) -> list[list[Any]]:
    """The axes in rows from above, each from the left."""
    rows: dict[float, list[Any]] = {}
    for ax in figure.axes:
        rows.setdefault(round(ax.get_position().y1, 3), []).append(ax)
    ordered = [
        sorted(row, key=lambda ax: ax.get_position().x0) for _, row in sorted(rows.items(), reverse=True)
    ]
    return [row for row in ordered if len(row) > 1]


def test_the_grid_is_a_png_of_readable_size(tmp_path: Path) -> None:
    systems = [f"System {number}" for number in range(10)]
    path = slice_grid.gallery(images(*systems), tmp_path / "new" / "grid.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 22 * 160 < image.width < 26 * 160
        assert image.height < image.width


def test_each_contrast_has_slice_detail_and_error_in_the_order_of_the_columns(drawn: list[Any]) -> None:
    given = images("CUT", "UNSB")
    slice_grid.gallery(given, Path("grid.png"))
    rows, cut = shown(drawn[0]), slice_grid.trimmed(given)
    assert [len(row) for row in rows] == [4] * 6
    assert [ax.get_title() for ax in rows[0]] == ["64 mT input", "CUT", "UNSB", "3 T"]
    assert [row[0].get_ylabel() for row in rows] == [
        f"{contrast}{kind}" for contrast in ("T1", "T2") for kind in ("", " detail", " error")
    ]
    where = slice_grid.window(list(cut["3 T"].values()))
    for contrast, (whole, detail, error) in (("T1", rows[:3]), ("T2", rows[3:])):
        for index, column in enumerate(cut.values()):
            image = column[contrast]
            np.testing.assert_array_equal(whole[index].images[0].get_array(), image)
            np.testing.assert_array_equal(detail[index].images[0].get_array(), image[where])
            if index < 3:
                gap = np.abs(image - cut["3 T"][contrast])
                np.testing.assert_allclose(error[index].images[0].get_array(), gap)
        assert not error[3].images
        assert {ax.images[0].get_clim() for ax in whole + detail} == {(0.0, 1.0)}


def test_errors_share_one_scale_with_a_bar(drawn: list[Any]) -> None:
    given = images("CUT", "UNSB")
    slice_grid.gallery(given, Path("grid.png"))
    rows = shown(drawn[0])
    (limits,) = {ax.images[0].get_clim() for row in (rows[2], rows[5]) for ax in row[:3]}
    cut = slice_grid.trimmed(given)
    errors = [np.abs(cut[s][c] - cut["3 T"][c]) for s in list(cut)[:3] for c in ("T1", "T2")]
    assert limits == pytest.approx((0, np.percentile(errors, 99.5)))
    bars = [bar for row in (rows[2], rows[5]) for bar in row[3].child_axes]
    assert [bar.get_ylabel() for bar in bars] == ["|output − 3 T|"] * 2
    assert {bar.get_ylim() for bar in bars} == {limits}


def test_without_3t_there_are_no_errors(drawn: list[Any]) -> None:
    slice_grid.gallery(images("CUT", truth=False), Path("grid.png"))
    assert [len(row) for row in shown(drawn[0])] == [2] * 4
    assert not any("error" in ax.get_ylabel() for ax in drawn[0].axes)


def test_the_window_is_drawn_as_a_box_around_what_the_detail_shows(drawn: list[Any]) -> None:
    given = images("CUT")
    slice_grid.gallery(given, Path("grid.png"))
    rows, columns = slice_grid.window(list(slice_grid.trimmed(given)["3 T"].values()))
    for ax in shown(drawn[0])[0]:
        (box,) = ax.patches
        assert (box.get_x(), box.get_y()) == (columns.start - 0.5, rows.start - 0.5)
        assert (box.get_width(), box.get_height()) == (columns.stop - columns.start, rows.stop - rows.start)


@pytest.mark.parametrize(("row", "column"), [(20, 14), (34, 26), (26, 20)])
def test_the_window_holds_the_detail(row: int, column: int) -> None:
    rows, columns = slice_grid.window([striped(slice(row, row + 8), slice(column, column + 8)), disc()])
    assert rows.start <= row and row + 8 <= rows.stop
    assert columns.start <= column and column + 8 <= columns.stop
    assert rows.stop - rows.start == columns.stop - columns.start == round(0.4 * 48)


def test_the_rim_of_the_brain_is_no_detail() -> None:
    """The rim's step of 0.5 has a hundred times the gradient of these stripes."""
    image = disc()
    image[30:34, 22:26] += 0.01 * np.sin(np.arange(4) * 1.5)
    rows, columns = slice_grid.window([image])
    assert rows.start <= 30 and rows.stop >= 34
    assert columns.start <= 22 and columns.stop >= 26


def test_only_a_margin_that_is_black_everywhere_is_cut() -> None:
    small, other = np.zeros((40, 50)), np.zeros((40, 50))
    small[10:20, 20:30], other[12:30, 22:25] = 1, 1
    cut = slice_grid.trimmed({"a": {"T1": small}, "b": {"T1": other}})
    assert {image.shape for column in cut.values() for image in column.values()} == {(20 + 6, 10 + 6)}
    assert cut["a"]["T1"].sum() == small.sum() and cut["b"]["T1"].sum() == other.sum()
    assert slice_grid.trimmed({"a": {"T1": np.zeros((8, 9))}})["a"]["T1"].shape == (8, 9)


DRAWS = tuple(np.linspace(0.9, 1.1, 401))


def system(name: str, fid: float, psnr: float, kind: str = "system", **more: float) -> SystemResult:
    values = {"fid": fid, "psnr": psnr, **more}
    return SystemResult(
        name, name, ({m: Score(v, tuple(v * d for d in DRAWS)) for m, v in values.items()},), kind=kind
    )


ROWS = [
    system("64 mT input", 2.0, 20.0, kind="input", ms_ssim=0.86),
    SystemResult("truth", "3 T", ({"fid": Score(0.05), "psnr": Score(float("inf"))},), kind="truth"),
    system("good", 0.10, 22.0, ms_ssim=0.90),
    system("better", 0.08, 21.5, ms_ssim=0.91),
    system("bad <b>", 0.50, 21.0, ms_ssim=0.80),
    SystemResult("gone", "gone", note="diverged"),
]


def crowd(seed: int) -> list[SystemResult]:
    """Ten systems, most in a heap."""
    rng = np.random.default_rng(seed)
    heap = [
        system(f"System number {n}", f, p)
        for n, (f, p) in enumerate(rng.normal((0.1, 22), (0.01, 0.1), (8, 2)))
    ]
    source = system("64 mT input", 2.0, 20.0, kind="input")
    return [source, ROWS[1], *heap, system("Far (full method)", 1.5, 18.0), system("b", 0.4, 20.0)]


def trace_list(page: Path) -> list[dict[str, Any]]:
    text = page.read_text()
    start = re.search(r'Plotly\.newPlot\(\s*"figure",\s*', text)
    assert start
    found, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    return list(found)


def test_the_plane_is_a_page_and_a_picture_without_network(tmp_path: Path) -> None:
    page, picture = realism_fidelity.plane(ROWS, tmp_path / "new" / "plane.v1")
    assert (page.name, picture.name) == ("plane.v1.html", "plane.v1.png")
    assert not re.search(r"<script[^>]*\ssrc=", page.read_text())
    with Image.open(picture) as image:
        assert image.format == "PNG" and min(image.size) > 600
    named = {t["name"]: (t["x"], t["y"]) for t in trace_list(page) if "name" in t and t["yaxis"] == "y"}
    assert named == {
        "64 mT input": ([2.0], [20.0]),
        "good": ([0.10], [22.0]),
        "better": ([0.08], [21.5]),
        "bad &lt;b&gt;": ([0.50], [21.0]),
    }
    hover = next(t["hovertext"] for t in trace_list(page) if t.get("name") == "good")
    assert (
        hover == "<b>good</b><br>FID <b>0.1000</b> [0.09050, 0.1095]<br>PSNR (dB) <b>22.00</b> [19.91, 24.09]"
    )


def test_a_view_marks_front_input_and_floor() -> None:
    psnr, ssim = realism_fidelity.views(ROWS)
    kinds = {spot.label: spot.kind for spot in psnr.spots}
    assert kinds == {"64 mT input": "input", "good": "front", "better": "front", "bad <b>": "system"}
    assert {s.label for s in ssim.spots if s.kind == "front"} == {"better"}
    assert psnr.floor == ("3 T", 0.05)
    np.testing.assert_allclose(psnr.edge, [[0.08, 21.5], [0.10, 21.5], [0.10, 22.0]])


def test_intervals_are_drawn_within_the_limits() -> None:
    (view, _) = realism_fidelity.views(ROWS)
    good = [spot.label for spot in view.spots].index("good")
    expected = np.outer([0.10, 22.0], np.quantile(DRAWS, (0.025, 0.975)))
    np.testing.assert_allclose(view.bars[good], expected)
    assert (view.bars >= view.limits[:, :1]).all() and (view.bars <= view.limits[:, 1:]).all()
    unit = view.unit(view.means)
    assert ((unit > 0) & (unit < 1)).all()


def test_the_page_writes_each_name_at_its_point_on_its_axes() -> None:
    """On a logarithmic axis plotly counts annotations and ranges in decades; its offsets point downwards."""
    views = realism_fidelity.views(ROWS)
    layout = realism_fidelity.plane_page(views, "title").layout
    assert layout.xaxis.type == layout.xaxis2.type == "log"
    assert list(layout.xaxis.range) == pytest.approx(np.log10(views[0].limits[0]).tolist())
    notes = {note.text: note for note in layout.annotations if note.yref == "y"}
    assert set(notes) == {"64 mT input", "good", "better", "bad &lt;b&gt;", "floor: 3 T"}
    assert (notes["good"].x, notes["good"].y) == pytest.approx((-1.0, 22.0))
    assert notes["floor: 3 T"].x == pytest.approx(np.log10(0.05))
    (column, row), margin = (layout.xaxis.domain, layout.yaxis.domain), layout.margin
    wide = (layout.width - margin.l - margin.r) * (column[1] - column[0])
    high = (layout.height - margin.t - margin.b) * (row[1] - row[0])
    for label in realism_fidelity.labels(views[0], (wide, high), 12.5):
        note = notes[html.escape(label.text)]
        assert (note.ax, -note.ay) == pytest.approx(tuple(label.offset))


@pytest.mark.parametrize(("largest", "log"), [(0.3, False), (3.0, True)])
def test_fids_that_span_much_are_drawn_by_logarithm(largest: float, log: bool) -> None:
    (view,) = realism_fidelity.views([system("a", 0.1, 20.0), system("b", largest, 21.0)])
    assert view.log is log
    middle = np.sqrt(view.limits[0].prod()) if log else view.limits[0].mean()
    assert view.unit(np.array([[middle, view.limits[1].mean()]])) == pytest.approx(np.array([[0.5, 0.5]]))


def test_an_interval_that_reaches_zero_does_not_break_the_logarithm(tmp_path: Path) -> None:
    wide = {"fid": Score(0.05, tuple(np.linspace(-0.2, 0.3, 401))), "psnr": Score(20.0)}
    rows = [SystemResult("a", "A", (wide,)), system("b", 3.0, 21.0)]
    (view,) = realism_fidelity.views(rows)
    assert view.log and (view.bars > 0).all()
    assert len(realism_fidelity.plane(rows, tmp_path / "plane")) == 2


@pytest.mark.parametrize("rows", [[], [ROWS[1]], [SystemResult("a", "A", ({"fid": Score(1.0)},))]])
def test_without_fidelity_there_is_no_plane(rows: Sequence[SystemResult], tmp_path: Path) -> None:
    assert realism_fidelity.plane(rows, tmp_path / "plane") == ()


def test_the_input_alone_and_a_single_system_are_drawn(tmp_path: Path) -> None:
    for rows in (ROWS[:1], ROWS[2:3], [SystemResult("a", "A", ({"fid": Score(1.0), "psnr": Score(20.0)},))]):
        assert all(path.is_file() for path in realism_fidelity.plane(rows, tmp_path / "plane"))


@pytest.mark.parametrize("seed", range(4))
def test_no_label_overlaps_another_or_a_mark_or_leaves_the_frame(seed: int) -> None:
    views = realism_fidelity.views(crowd(seed))
    figure = realism_fidelity.plane_picture(views, "title")
    figure.canvas.draw()
    (ax,) = figure.axes
    frames = {text.get_text(): written(figure, text) for text in ax.texts}
    assert set(frames) == {spot.label for spot in views[0].spots} | {"floor: 3 T"}
    for name, box in frames.items():
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
        assert not any(box.overlaps(other) for key, other in frames.items() if key != name)
        assert not any(box.contains(*ax.transData.transform(mean)) for mean in views[0].means)


def written(figure: Any, annotation: Any) -> Any:
    """The box of an annotation's words, without its leader."""
    return Text.get_window_extent(annotation, figure.canvas.get_renderer())


def test_labels_keep_clear_of_a_heap_of_equal_anchors() -> None:
    anchors, sizes = np.full((9, 2), 150.0), np.tile([60.0, 12.0], (9, 1))
    centres = realism_fidelity.place(anchors, sizes, (300.0, 300.0), np.empty((0, 4)))
    gaps = np.abs(centres[:, None] - centres[None])
    apart = (gaps >= sizes).any(-1) | np.eye(9, dtype=bool)
    assert apart.all()
    assert (np.abs(centres - 150) < 150 - sizes / 2).all()


def test_no_leader_passes_through_another_mark() -> None:
    """All but the lane of both marks is walled up; behind the second mark the lane is free."""
    anchors = np.array([[100.0, 100.0], [112.0, 100.0]])
    wall = np.array([[0.0, 0, 97, 300], [97, 0, 300, 94], [97, 106, 300, 300]])
    first, _ = realism_fidelity.place(anchors, np.full((2, 2), 12.0), (300.0, 300.0), wall)
    way = first - anchors[0]
    along = np.clip((anchors[1] - anchors[0]) @ way / (way @ way), 0, 1)
    assert np.hypot(*(anchors[0] + along * way - anchors[1])) > 6
