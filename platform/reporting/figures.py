"""Results as pictures and tables: from values to files or text, objectives in their natural directions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.reporting import matplotlib_plots, plotly_plots
from platform.reporting.matplotlib_plots import Image
from platform.reporting.panels import UNTOUCHED, PlottedCandidate, layers, metric_label, number, panels
from platform.storage.ledger import Trial
from platform.study.settings import Objective
from typing import TYPE_CHECKING

import numpy as np

from trainers import weights

if TYPE_CHECKING:
    from rich.table import Table


def pareto_figure(
    points: Sequence[PlottedCandidate],
    objectives: Sequence[Objective],
    baseline: Mapping[str, float] | None,
    path_stem: Path,
) -> tuple[Path, Path]:
    """Every pair of objectives: all candidates, the front, its knee, the untouched input as ``baseline``.

    The line is the edge of what the front attains in that pair; nothing was seen between its points.
    A single objective is drawn over the trials. Returns the HTML and the PNG.
    """
    title = f"Pareto front: {sum(p.on_front for p in points)} of {len(points)} candidates"
    drawn, stack = panels(points, objectives, baseline or {}), layers(points)
    texts = [plotly_plots.hover(point, objectives) for point in points]
    page = plotly_plots.save(plotly_plots.pareto_page(drawn, stack, texts, title), _named(path_stem, "html"))
    return page, matplotlib_plots.save(
        matplotlib_plots.pareto_picture(drawn, stack, title), _named(path_stem, "png")
    )


def hypervolume_figure(curve: Sequence[float], path_stem: Path) -> tuple[Path, Path]:
    """The front's hypervolume after 1, 2, ... finished trials; returns the HTML and the PNG."""
    title = "Hypervolume of the front"
    page = plotly_plots.save(plotly_plots.hypervolume_page(curve, title), _named(path_stem, "html"))
    return page, matplotlib_plots.save(
        matplotlib_plots.hypervolume_picture(curve, title), _named(path_stem, "png")
    )


def sample_figure(rows: Sequence[Mapping[str, Image]], path: Path, title: str) -> Path:
    """Slices side by side as a PNG; a row maps panel titles to images [H, W] in [0, 1].

    A row whose titles end in ``output`` and ``3 T`` gains their absolute difference, e.g.
    ``{"T1 input": a, "T1 output": b, "T1 3 T": c}``. Grey is [0, 1] throughout; the differences share a scale
    that ends at their 99.5th percentile.
    """
    return matplotlib_plots.save(
        matplotlib_plots.sample_picture(rows, [_difference(row) for row in rows], title), path
    )


def draw_samples(trial: Trial, path: Path) -> Path:
    """The slices of a trial's newest checkpoint: input, output, 3 T and difference of each contrast."""
    assert trial.last is not None
    slices = weights.read_tensors(Path(trial.last.checkpoint), "samples")
    path.parent.mkdir(parents=True, exist_ok=True)
    contrasts = sorted({title.partition(" ")[0] for title in slices})
    kinds = ("input", "output", "3 T")
    titles = [
        [title for kind in kinds if (title := f"{contrast} {kind}") in slices] for contrast in contrasts
    ]
    subjects = range(len(slices[titles[0][0]]))
    rows = [{title: slices[title][s].numpy() for title in row} for s in subjects for row in titles]
    return sample_figure(rows, path, f"trial {trial.number}, {max(trial.scores)} refinement steps")


def final_table(points: Sequence[PlottedCandidate], objectives: Sequence[Objective]) -> str:
    """All candidates as a Markdown table: the front first, each part from its best first objective on."""
    heads = ["", "trial", "steps", *(_heading(objective) for objective in objectives)]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    lines += [[_mark(p), *_cells(p, objectives)] for p in _ranked(points, objectives)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def front_table(
    points: Sequence[PlottedCandidate],
    objectives: Sequence[Objective],
    baseline: Mapping[str, float] | None = None,
) -> "Table":
    """The front for the terminal, with the untouched input as ``baseline`` below it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title="Pareto front", title_justify="left", title_style="bold")
    table.add_column("")
    for head in ("trial", "steps", *(_heading(objective) for objective in objectives)):
        table.add_column(head, justify="right")
    for point in _ranked([p for p in points if p.on_front], objectives):
        style = "bold" if point.knee else None
        table.add_row("knee" if point.knee else "", *_cells(point, objectives), style=style)
    if baseline is not None:
        values = [number(baseline[o.name]) if o.name in baseline else "" for o in objectives]
        table.add_row(UNTOUCHED, "", "", *values, style="dim")
    return table


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")


def _difference(row: Mapping[str, Image]) -> Image | None:
    output = next((image for name, image in row.items() if name.endswith("output")), None)
    truth = next((image for name, image in row.items() if name.endswith("3 T")), None)
    return None if output is None or truth is None else np.abs(output - truth)


def _heading(objective: Objective) -> str:
    return f"{metric_label(objective.name)} {'↓' if objective.direction == 'minimize' else '↑'}"


def _mark(point: PlottedCandidate) -> str:
    return "**knee**" if point.knee else "front" if point.on_front else ""


def _cells(point: PlottedCandidate, objectives: Sequence[Objective]) -> list[str]:
    return [str(point.trial), str(point.steps), *(number(point.values[o.name]) for o in objectives)]


def _ranked(points: Sequence[PlottedCandidate], objectives: Sequence[Objective]) -> list[PlottedCandidate]:
    first = objectives[0]
    sign = 1 if first.direction == "minimize" else -1
    return sorted(points, key=lambda p: (not p.on_front, sign * p.values[first.name], p.trial, p.steps))
