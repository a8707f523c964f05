"""A search's pictures and tables hold the values that they are of, in natural directions."""

from dataclasses import replace
from pathlib import Path
from platform.reporting import figures, matplotlib_plots, panels
from platform.reporting.panels import PlottedCandidate
from platform.study.settings import Objective
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.platform.reporting.reading import screen, size, traces

FID, SSIM = Objective("fid", "minimize"), Objective("ms_ssim", "maximize")
TIME = Objective("seconds_per_volume", "minimize")
BASELINE = {"fid": 128.0, "ms_ssim": 0.791}


def candidate(
    trial: int, fid: float, ssim: float, front: bool = False, knee: bool = False
) -> PlottedCandidate:
    values = {"fid": fid, "ms_ssim": ssim, "seconds_per_volume": 0.1 * trial}
    return PlottedCandidate(trial, 4, values, {"lr": 1.234e-4, "name": "<b>&"}, front, knee)


CANDIDATES = [
    candidate(0, 90.0, 0.8),
    candidate(1, 70.125, 0.93, front=True),
    candidate(2, 50.5, 0.91, front=True, knee=True),
    candidate(3, 30.25, 0.82, front=True),
    candidate(4, 55.0, 0.85),
]
POSITIONS = {
    "candidates": {(90.0, 0.8), (55.0, 0.85)},
    "front": {(70.125, 0.93), (30.25, 0.82)},
    "knee": {(50.5, 0.91)},
    "untouched input": {(128.0, 0.791)},
}


def drawn(traces: list[dict[str, Any]], kind: str) -> set[tuple[float, float]]:
    chosen = [trace for trace in traces if trace.get("legendgroup") == kind]
    return {pair for trace in chosen for pair in zip(trace["x"], trace["y"], strict=True)}


def test_the_page_draws_every_candidate_by_its_kind_and_escapes_what_the_user_wrote(tmp_path: Path) -> None:
    page, picture = figures.pareto_figure(CANDIDATES, [FID, SSIM], BASELINE, tmp_path / "new" / "front.v1")
    assert (page.name, picture.name) == ("front.v1.html", "front.v1.png")
    shown = traces(page)
    assert {kind: drawn(shown, kind) for kind in POSITIONS} == POSITIONS
    assert min(size(picture)) > 400
    assert next(trace for trace in shown if trace.get("legendgroup") == "knee")["hovertext"] == [
        "<b>trial 2, 4 steps</b><br>FID <b>50.50</b><br>MS-SSIM <b>0.9100</b>"
        "<br>lr = 0.0001234<br>name = &lt;b&gt;&amp;"
    ]


@pytest.mark.parametrize(("objectives", "pairs"), [([FID], 1), ([FID, SSIM, TIME], 3)])
def test_every_pair_of_objectives_has_a_panel(
    objectives: list[Objective], pairs: int, tmp_path: Path
) -> None:
    page, picture = figures.pareto_figure(CANDIDATES, objectives, None, tmp_path / "front")
    assert sum(trace.get("legendgroup") == "front" for trace in traces(page)) == pairs
    assert not drawn(traces(page), "untouched input")
    assert size(picture)[0] > 900 * min(pairs, 2)


def test_the_picture_draws_each_kind_at_its_values_and_cuts_nothing_off() -> None:
    shown = panels.panels(CANDIDATES, [FID, SSIM], BASELINE)
    figure = matplotlib_plots.pareto_picture(shown, panels.layers(CANDIDATES), "title")
    axes = figure.axes[0]
    marks = {m.get_label(): {tuple(p) for p in m.get_offsets().tolist()} for m in axes.collections}
    labels = {"front": "Pareto front", "knee": "knee: trial 2, 4 steps"}
    assert marks == {labels.get(kind, kind): positions for kind, positions in POSITIONS.items()}
    assert axes.get_xlabel() == "FID, lower is better"
    assert axes.get_ylabel() == "MS-SSIM, higher is better"
    far = PlottedCandidate(1234, 16, {"fid": 20.0, "ms_ssim": 0.99}, {}, True, True)
    figure = matplotlib_plots.pareto_picture(
        panels.panels([far, *CANDIDATES], [FID, SSIM], BASELINE), panels.layers([far, *CANDIDATES[:2]]), ""
    )
    figure.canvas.draw()
    frame, legend, axes = figure.bbox, figure.legends[0].get_window_extent(), figure.axes[0]
    assert frame.x0 <= legend.x0 and legend.x1 <= frame.x1
    assert all(axes.viewLim.contains(*place) for mark in axes.collections for place in mark.get_offsets())


@pytest.mark.parametrize(
    ("directions", "flip"), [(("minimize", "minimize"), (1, 1)), (("minimize", "maximize"), (1, -1))]
)
def test_the_edge_of_the_front_bounds_the_dominated_region(
    directions: tuple[str, str], flip: tuple[int, int]
) -> None:
    x, y = np.array([3.0, 1.0, 2.0, 2.5]) * flip[0], np.array([1.0, 4.0, 2.0, 3.0]) * flip[1]
    expected = np.array([[1, 4], [2, 4], [2, 2], [3, 2], [3, 1]]) * flip
    np.testing.assert_array_equal(panels.staircase(x, y, directions), expected)


def test_the_hypervolume_curve_is_drawn_over_the_finished_trials(tmp_path: Path) -> None:
    page, picture = figures.hypervolume_figure([0.0, 0.25, 0.5, 0.625], tmp_path / "hypervolume")
    (trace,) = traces(page)
    assert (trace["x"], trace["y"]) == ([1, 2, 3, 4], [0.0, 0.25, 0.5, 0.625])
    assert trace["line"]["shape"] == "hv" and size(picture) == (1024, 608)


def test_a_study_without_candidates_still_has_its_pictures(tmp_path: Path) -> None:
    paths = figures.pareto_figure([], [FID, SSIM], BASELINE, tmp_path / "front")
    assert all(path.is_file() for path in paths + figures.hypervolume_figure([], tmp_path / "hypervolume"))


def rows() -> list[dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    """Three squares: bright first rows (anterior), dark last (posterior); the output is off by 0.2."""
    truth = np.repeat(np.linspace(0.8, 0.0, 32)[:, None], 24, axis=1)
    images = {"T1 input": truth / 2, "T1 output": truth + 0.2, "T1 3 T": truth}
    return [images, {name.replace("T1", "T2", 1): image for name, image in images.items()}]


def test_a_sample_shows_input_output_truth_and_their_difference() -> None:
    darker = {"T2 output": np.zeros((32, 24)), "T2 3 T": np.full((32, 24), 0.2)}
    gaps = [figures._difference(row) for row in (rows()[0], darker)]
    figure = matplotlib_plots.sample_picture(rows(), gaps, "sub-01")
    shown = [ax for ax in figure.axes if ax.images]
    titles = ["T1 input", "T1 output", "T1 3 T", "|output − 3 T|"]
    assert [ax.get_title() for ax in shown] == titles + [title.replace("T1", "T2") for title in titles]
    assert {ax.images[0].get_clim() for ax in shown[:3] + shown[4:7]} == {(0, 1)}
    for ax in (shown[3], shown[7]):
        assert ax.images[0].get_clim() == pytest.approx((0, 0.2))
        np.testing.assert_allclose(ax.images[0].get_array(), 0.2)


def test_a_sample_has_anterior_up_and_without_truth_no_difference(tmp_path: Path) -> None:
    path = figures.sample_figure(rows(), tmp_path / "sample.slice.png", "sub-01")
    assert path == tmp_path / "sample.slice.png" and min(size(path)) > 300
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"), float)
    height, width = grey.shape
    column = grey[: height // 2, width // 8]  # through the first panel, T1 input, 0 to 0.4 upwards
    inside = column[(column > 2) & (column < 110)]
    assert len(inside) > 100
    assert inside[:20].mean() > inside[-20:].mean() + 50
    row = {name: image for name, image in rows()[0].items() if not name.endswith("3 T")}
    assert size(figures.sample_figure([row], tmp_path / "sample.png", "scan"))[0] < width


def test_the_final_table_is_in_natural_directions_and_marks_front_and_knee() -> None:
    assert figures.final_table(CANDIDATES, [SSIM, FID]).splitlines() == [
        "|  | trial | steps | MS-SSIM ↑ | FID ↓ |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| front | 1 | 4 | 0.9300 | 70.12 |",
        "| **knee** | 2 | 4 | 0.9100 | 50.50 |",
        "| front | 3 | 4 | 0.8200 | 30.25 |",
        "|  | 4 | 4 | 0.8500 | 55.00 |",
        "|  | 0 | 4 | 0.8000 | 90.00 |",
    ]


def test_step_counts_whose_values_are_written_alike_share_a_row() -> None:
    values = {1: 70.1201, 2: 70.1202, 3: 70.1199, 5: 70.1200, 4: 71.0}
    several = [replace(CANDIDATES[1], steps=k, values={"fid": fid}) for k, fid in values.items()]
    known = [replace(several[0], steps=6, knee=True)]
    assert figures.final_table([*several, *known], [FID]).splitlines()[2:] == [
        "| front | 1 | 1-3, 5 | 70.12 |",
        "| **knee** | 1 | 6 | 70.12 |",
        "| front | 1 | 4 | 71.00 |",
    ]


def test_the_terminal_shows_the_front_best_first_and_the_baselines() -> None:
    rows = {"matched": {"fid": 64.0}, "input": BASELINE, "floor": {"fid": 1.0}}
    text = screen(figures.front_table(CANDIDATES, [FID, SSIM], rows), width=80)
    lines = [line.split() for line in text.splitlines() if any(letter.isdigit() for letter in line)]
    assert lines == [
        ["3", "4", "30.25", "0.8200"],
        ["knee", "2", "4", "50.50", "0.9100"],
        ["1", "4", "70.12", "0.9300"],
        ["untouched", "input", "128.0", "0.7910"],
        ["histogram-matched", "input", "64.00"],
    ]
