"""Results as pictures and tables: from values to files or text, objectives in their natural directions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.reporting import matplotlib_plots, plotly_plots
from platform.reporting.matplotlib_plots import Image
from platform.reporting.panels import PlottedCandidate, layers, number, panels
from platform.reporting.tables import heading, markdown_table, screen_table
from platform.storage.trials import Trial
from platform.study.settings import Objective
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers import weights
from trainers.metrics.names import BASELINES

if TYPE_CHECKING:
    from rich.table import Table


KNEE = "knee"
"""Mark of a row."""
NO_BASELINES: Mapping[str, Mapping[str, float]] = MappingProxyType({})


def pareto_figure(
    candidates: Sequence[PlottedCandidate],
    objectives: Sequence[Objective],
    baseline: Mapping[str, float] | None,
    path_stem: Path,
) -> tuple[Path, Path]:
    """Every pair of objectives: all candidates, the front, its knee, the untouched input as ``baseline``.

    The line is the edge of the region that the front dominates in that pair; no candidate lies between its
    corners. A single objective is drawn over the trials. Returns the HTML and the PNG.
    """
    title = f"Pareto front: {sum(c.on_front for c in candidates)} of {len(candidates)} candidates"
    drawn, stack = panels(candidates, objectives, baseline or {}), layers(candidates)
    texts = [plotly_plots.hover(candidate, objectives) for candidate in candidates]
    page = plotly_plots.pareto_page(drawn, stack, texts, title)
    return save(page, matplotlib_plots.pareto_picture(drawn, stack, title), path_stem)


def hypervolume_figure(curve: Sequence[float], path_stem: Path) -> tuple[Path, Path]:
    """The front's hypervolume after 1, 2, ... finished trials; returns the HTML and the PNG."""
    title = "Hypervolume of the front"
    page = plotly_plots.hypervolume_page(curve, title)
    return save(page, matplotlib_plots.hypervolume_picture(curve, title), path_stem)


def save(page: Any, picture: Any, path_stem: Path) -> tuple[Path, Path]:
    """Write plotly's page and matplotlib's picture under one name; returns the HTML and the PNG."""
    html, png = (path_stem.with_name(f"{path_stem.name}.{ending}") for ending in ("html", "png"))
    return plotly_plots.save(page, html), matplotlib_plots.save(picture, png)


def sample_figure(rows: Sequence[Mapping[str, Image]], path: Path, title: str) -> Path:
    """Slices side by side as a PNG; a row maps panel titles to images [H, W] in [0, 1].

    A row whose titles end in ``output`` and ``3 T`` gains their absolute difference, e.g.
    ``{"T1 input": a, "T1 output": b, "T1 3 T": c}``. Grey is [0, 1] throughout; the differences share a scale
    that ends at their 99.5th percentile.
    """
    picture = matplotlib_plots.sample_picture(rows, [_difference(row) for row in rows], title)
    return matplotlib_plots.save(picture, path)


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


def final_table(
    candidates: Sequence[PlottedCandidate],
    objectives: Sequence[Objective],
    baselines: Mapping[str, Mapping[str, float]] = NO_BASELINES,
) -> str:
    """All candidates as a Markdown table: the front first, each part from its best first objective on.

    Below them the ``baselines`` as in :func:`front_table`.
    """
    rows = [
        [f"**{mark}**" if mark == KNEE else mark, *cells] for mark, *cells in _rows(candidates, objectives)
    ]
    return markdown_table(_heads(objectives), rows + _baseline_rows(baselines, objectives))


def front_table(
    candidates: Sequence[PlottedCandidate],
    objectives: Sequence[Objective],
    baselines: Mapping[str, Mapping[str, float]] = NO_BASELINES,
) -> "Table":
    """The front for the terminal, below it those of the ``baselines`` (name to scores) that have a label."""
    table = screen_table("Pareto front", _heads(objectives))
    for mark, *cells in _rows([c for c in candidates if c.on_front], objectives):
        knee = mark == KNEE
        table.add_row(mark if knee else "", *cells, style="bold" if knee else None)
    for row in _baseline_rows(baselines, objectives):
        table.add_row(*row, style="dim")
    return table


def _baseline_rows(
    baselines: Mapping[str, Mapping[str, float]], objectives: Sequence[Objective]
) -> list[list[str]]:
    rows = []
    for name, label in BASELINES.items():
        if name in baselines:
            known = baselines[name]
            rows.append(
                [label, "", "", *(number(known[o.name]) if o.name in known else "" for o in objectives)]
            )
    return rows


def _difference(row: Mapping[str, Image]) -> Image | None:
    output = next((image for name, image in row.items() if name.endswith("output")), None)
    truth = next((image for name, image in row.items() if name.endswith("3 T")), None)
    return None if output is None or truth is None else np.abs(output - truth)


def _heads(objectives: Sequence[Objective]) -> list[str]:
    return ["", "trial", "steps", *(heading(o.name, o.direction) for o in objectives)]


def _rows(candidates: Sequence[PlottedCandidate], objectives: Sequence[Objective]) -> list[list[str]]:
    """Mark, trial, steps and values; a trial's candidates whose values are written alike are one row."""
    steps: dict[tuple[str, ...], list[int]] = {}
    for c in _ranked(candidates, objectives):
        steps.setdefault((_mark(c), str(c.trial), *_values(c, objectives)), []).append(c.steps)
    return [[mark, trial, _ranges(sorted(known)), *values] for (mark, trial, *values), known in steps.items()]


def _mark(candidate: PlottedCandidate) -> str:
    return KNEE if candidate.knee else "front" if candidate.on_front else ""


def _values(candidate: PlottedCandidate, objectives: Sequence[Objective]) -> list[str]:
    return [number(candidate.values[o.name]) for o in objectives]


def _ranges(numbers: Sequence[int]) -> str:
    """``1-3, 5`` of 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _ranked(
    candidates: Sequence[PlottedCandidate], objectives: Sequence[Objective]
) -> list[PlottedCandidate]:
    first = objectives[0]
    sign = 1 if first.direction == "minimize" else -1
    return sorted(candidates, key=lambda c: (not c.on_front, sign * c.values[first.name], c.trial, c.steps))
