"""Pictures and tables hold what they were given, in natural directions, and open without a network."""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from platform.reporting import figures, matplotlib_plots, panels
from platform.reporting.panels import PlottedCandidate
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console


@dataclass(frozen=True)
class Objective:
    name: str
    direction: str


FID, SSIM = Objective("fid", "minimize"), Objective("ms_ssim", "maximize")
TIME = Objective("seconds_per_volume", "minimize")
BASELINE = {"fid": 128.0, "ms_ssim": 0.791}


def point(trial: int, fid: float, ssim: float, front: bool = False, knee: bool = False) -> PlottedCandidate:
    values = {"fid": fid, "ms_ssim": ssim, "seconds_per_volume": 0.1 * trial}
    return PlottedCandidate(trial, 4, values, {"lr": 1.234e-4, "name": "<b>&"}, front, knee)


POINTS = [
    point(0, 90.0, 0.8),
    point(1, 70.125, 0.93, front=True),
    point(2, 50.5, 0.91, front=True, knee=True),
    point(3, 30.25, 0.82, front=True),
    point(4, 55.0, 0.85),
]


def traces(page: Path) -> list[dict[str, Any]]:
    """The traces that a page gives to plotly, read by the JSON decoder."""
    text = page.read_text()
    start = re.search(r'Plotly\.newPlot\(\s*"figure",\s*', text)
    assert start
    found, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    return list(found)


def drawn(traces: list[dict[str, Any]], kind: str) -> set[tuple[float, float]]:
    chosen = [trace for trace in traces if trace.get("legendgroup") == kind]
    return {pair for trace in chosen for pair in zip(trace["x"], trace["y"], strict=True)}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def test_the_page_draws_every_point_in_the_group_it_was_given(tmp_path: Path) -> None:
    page, picture = figures.pareto_figure(POINTS, [FID, SSIM], BASELINE, tmp_path / "new" / "front.v1")
    assert (page.name, picture.name) == ("front.v1.html", "front.v1.png")
    found = traces(page)
    assert drawn(found, "front") == {(70.125, 0.93), (30.25, 0.82)}
    assert drawn(found, "knee") == {(50.5, 0.91)}
    assert drawn(found, "candidates") == {(90.0, 0.8), (55.0, 0.85)}
    assert drawn(found, "untouched input") == {(128.0, 0.791)}
    assert min(size(picture)) > 400


def test_the_page_needs_no_network_and_escapes_what_the_user_wrote(tmp_path: Path) -> None:
    page, _ = figures.pareto_figure(POINTS, [FID, SSIM], None, tmp_path / "front")
    assert not re.search(r"<script[^>]*\ssrc=", page.read_text())
    hover = next(trace for trace in traces(page) if trace.get("legendgroup") == "knee")["hovertext"]
    assert hover == [
        "<b>trial 2, 4 steps</b><br>FID <b>50.50</b><br>MS-SSIM <b>0.9100</b>"
        "<br>lr = 0.0001234<br>name = &lt;b&gt;&amp;"
    ]
    assert not drawn(traces(page), "untouched input")


@pytest.mark.parametrize(("objectives", "pairs"), [([FID], 1), ([FID, SSIM], 1), ([FID, SSIM, TIME], 3)])
def test_every_pair_of_objectives_has_a_panel(
    objectives: list[Objective], pairs: int, tmp_path: Path
) -> None:
    page, picture = figures.pareto_figure(POINTS, objectives, BASELINE, tmp_path / "front")
    assert sum(trace.get("legendgroup") == "front" for trace in traces(page)) == pairs
    assert size(picture)[0] > 900 * min(pairs, 2)


def test_the_picture_marks_each_group_at_its_values() -> None:
    shown = panels.panels(POINTS, [FID, SSIM], BASELINE)
    figure = matplotlib_plots.pareto_picture(shown, panels.layers(POINTS), "title")
    marks = {
        mark.get_label(): mark.get_offsets().tolist()
        for mark in figure.axes[0].collections
        if len(mark.get_offsets())
    }
    assert marks == {
        "candidates": [[90.0, 0.8], [55.0, 0.85]],
        "Pareto front": [[70.125, 0.93], [30.25, 0.82]],
        "knee: trial 2, 4 steps": [[50.5, 0.91]],
        "untouched input": [[128.0, 0.791]],
    }
    assert figure.axes[0].get_xlabel() == "FID, lower is better"
    assert figure.axes[0].get_ylabel() == "MS-SSIM, higher is better"


def test_no_mark_and_no_legend_of_a_picture_is_cut_off() -> None:
    points = [*POINTS, PlottedCandidate(1234, 16, {"fid": 20.0, "ms_ssim": 0.99}, {}, True, True)]
    shown = panels.panels(points, [FID, SSIM], BASELINE)
    figure = matplotlib_plots.pareto_picture(shown, panels.layers(points[-1:] + POINTS[:2]), "title")
    figure.canvas.draw()
    frame, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert frame.x0 <= legend.x0
    assert legend.x1 <= frame.x1
    axes = figure.axes[0]
    for mark in axes.collections:
        for x, y in mark.get_offsets():
            assert axes.viewLim.contains(x, y)


@pytest.mark.parametrize(
    ("directions", "flip"), [(("minimize", "minimize"), (1, 1)), (("minimize", "maximize"), (1, -1))]
)
def test_the_edge_of_the_front_separates_what_is_dominated(
    directions: tuple[str, str], flip: tuple[int, int]
) -> None:
    x, y = np.array([3.0, 1.0, 2.0, 2.5]) * flip[0], np.array([1.0, 4.0, 2.0, 3.0]) * flip[1]
    edge = panels.staircase(x, y, directions)
    expected = np.array([[1, 4], [2, 4], [2, 2], [3, 2], [3, 1]]) * flip
    np.testing.assert_array_equal(edge, expected)


def test_a_study_without_points_still_has_its_pictures(tmp_path: Path) -> None:
    assert all(
        path.is_file() for path in figures.pareto_figure([], [FID, SSIM], BASELINE, tmp_path / "front")
    )
    assert all(path.is_file() for path in figures.hypervolume_figure([], tmp_path / "hypervolume"))


def test_the_hypervolume_curve_is_drawn_over_the_finished_trials(tmp_path: Path) -> None:
    page, picture = figures.hypervolume_figure([0.0, 0.25, 0.5, 0.625], tmp_path / "hypervolume")
    (trace,) = traces(page)
    assert (trace["x"], trace["y"]) == ([1, 2, 3, 4], [0.0, 0.25, 0.5, 0.625])
    assert trace["line"]["shape"] == "hv"
    assert size(picture) == (1024, 608)


def rows() -> list[dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    """Three squares: bright first rows (anterior), dark last (posterior); the output is off by 0.2."""
    truth = np.repeat(np.linspace(0.8, 0.0, 32)[:, None], 24, axis=1)
    images = {"T1 input": truth / 2, "T1 output": truth + 0.2, "T1 3 T": truth}
    return [images, {name.replace("T1", "T2", 1): image for name, image in images.items()}]


def test_a_sample_shows_input_output_truth_and_their_difference(tmp_path: Path) -> None:
    path = figures.sample_figure(rows(), tmp_path / "sample.slice.png", "sub-01")
    assert path == tmp_path / "sample.slice.png"
    assert min(size(path)) > 300
    darker = {"T2 output": np.zeros((32, 24)), "T2 3 T": np.full((32, 24), 0.2)}
    gaps = [figures._difference(row) for row in (rows()[0], darker)]
    figure = matplotlib_plots.sample_picture(rows(), gaps, "sub-01")
    shown = [ax for ax in figure.axes if ax.images]
    titles = ["T1 input", "T1 output", "T1 3 T", "|output − 3 T|"]
    assert [ax.get_title() for ax in shown[:4]] == titles
    assert [ax.get_title() for ax in shown[4:]] == [title.replace("T1", "T2") for title in titles]
    assert {ax.images[0].get_clim() for ax in shown[:3] + shown[4:7]} == {(0, 1)}
    for ax in (shown[3], shown[7]):
        assert ax.images[0].get_clim() == pytest.approx((0, 0.2))
        np.testing.assert_allclose(ax.images[0].get_array(), 0.2)


def test_anterior_is_up(tmp_path: Path) -> None:
    path = figures.sample_figure(rows(), tmp_path / "sample.png", "")
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"), float)
    height, width = grey.shape
    column = grey[: height // 2, width // 8]  # through the first panel, T1 input, 0 to 0.4 upwards
    inside = column[(column > 2) & (column < 110)]
    assert len(inside) > 100
    assert inside[:20].mean() > inside[-20:].mean() + 50


def test_a_row_without_truth_has_no_difference(tmp_path: Path) -> None:
    row = {name: image for name, image in rows()[0].items() if not name.endswith("3 T")}
    width = size(figures.sample_figure([row], tmp_path / "sample.png", "scan"))[0]
    assert width < size(figures.sample_figure(rows(), tmp_path / "more.png", "scan"))[0]


def test_the_final_table_is_in_natural_directions_and_marks_front_and_knee() -> None:
    assert figures.final_table(POINTS, [SSIM, FID]).splitlines() == [
        "|  | trial | steps | MS-SSIM ↑ | FID ↓ |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| front | 1 | 4 | 0.9300 | 70.12 |",
        "| **knee** | 2 | 4 | 0.9100 | 50.50 |",
        "| front | 3 | 4 | 0.8200 | 30.25 |",
        "|  | 4 | 4 | 0.8500 | 55.00 |",
        "|  | 0 | 4 | 0.8000 | 90.00 |",
    ]


def test_the_terminal_shows_the_front_best_first_and_the_untouched_input() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures.front_table(POINTS, [FID, SSIM], BASELINE))
    lines = [line.split() for line in console.export_text().splitlines() if re.search(r"\d", line)]
    assert lines == [
        ["3", "4", "30.25", "0.8200"],
        ["knee", "2", "4", "50.50", "0.9100"],
        ["1", "4", "70.12", "0.9300"],
        ["untouched", "input", "128.0", "0.7910"],
    ]
