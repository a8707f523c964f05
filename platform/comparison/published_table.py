"""Table 1 of the paper (arXiv 2603.03769): its ten systems on its own cohorts, and how ours compare."""

from collections.abc import Mapping, Sequence
from platform.reporting.panels import metric_label
from platform.stats.ranks import cells, spearman
from platform.stats.scores import SystemResult

import numpy as np

from trainers.metrics.names import METRICS

UNPAIRED = ("rad_fid", "fid", "kid", "piqe")
PAIRED = ("ms_ssim_t1", "psnr_t1", "ms_ssim_t2", "psnr_t2")
WHOLE_SLICES = ("ms_ssim_slice_t1", "psnr_slice_t1", "ms_ssim_slice_t2", "psnr_slice_t2")
"""Those of part (B) over whole slices, background included, as the paper may have them."""

_FIGURES = {
    "cyclegan": ((0.3551, 26.5839, 0.0073, 37.8657), (0.9204, 23.3010, 0.8926, 22.5735)),
    "cut": ((0.3011, 23.0661, 0.0070, 47.4585), (0.9046, 22.4057, 0.8870, 22.6232)),
    "sdedit": ((0.5276, 28.3546, 0.0120, 49.3573), (0.5478, 14.0735, 0.5297, 16.4094)),
    "syndiff": ((0.9415, 46.6598, 0.0261, 36.7951), (0.7712, 18.3572, 0.7166, 18.7577)),
    "reggan": ((0.6595, 25.2079, 0.0048, 34.3080), (0.7062, 16.7101, 0.7000, 18.8759)),
    "inr": ((1.2599, 69.3590, 0.0429, 52.5423), (0.8618, 19.9516, 0.8926, 25.2925)),
    "unsb": ((0.2688, 19.8965, 0.0029, 54.9813), (0.9223, 23.4586, 0.8952, 22.8230)),
    "unsb_asp": ((0.2596, 20.5324, 0.0048, 50.7232), (0.9231, 23.1991, 0.9037, 22.7681)),
    "unsb_dmd": ((0.2427, 19.2904, 0.0034, 47.1204), (0.9336, 23.8217, 0.9025, 23.1992)),
    "asp_dmd": ((0.2516, 18.9950, 0.0031, 48.4852), (0.9345, 24.0523, 0.9083, 23.0436)),
}

TABLE: Mapping[str, Mapping[str, float]] = {
    name: dict(zip(UNPAIRED + PAIRED, a + b, strict=True)) for name, (a, b) in _FIGURES.items()
}
"""Space to metric to value: part (A), unpaired, then part (B), paired."""


def correlations(rows: Sequence[SystemResult]) -> dict[str, float]:
    """Spearman's correlation of our order with the published one, by metric; NaN below three systems."""
    both = {metric: _both(rows, metric).values() for metric in UNPAIRED + PAIRED}
    return {
        metric: spearman(*zip(*pairs, strict=True)) if len(pairs) > 2 else np.nan
        for metric, pairs in both.items()
    }


def compared(rows: Sequence[SystemResult], metric: str, direction: str) -> dict[str, str]:
    """The published column by system, its best in bold, with both ranks."""
    from scipy.stats import rankdata

    sign = 1 if direction == "minimize" else -1
    both = _both(rows, metric)
    published, ours = (rankdata([sign * pair[side] for pair in both.values()]) for side in (1, 0))
    ranks = {name: f" ({a:g} → {b:g})" for name, a, b in zip(both, published, ours, strict=True)}
    values = {name: figures[metric] for name, figures in TABLE.items()}
    best = min(values, key=lambda name: sign * values[name])
    bold = {name: "**" if name == best else "" for name in values}
    return {n: f"{bold[n]}{value:.4f}{bold[n]}{ranks.get(n, '')}" for n, value in values.items()}


def agreement(rows: Sequence[SystemResult]) -> str:
    """The rank correlations as one line."""
    known = {metric: value for metric, value in correlations(rows).items() if not np.isnan(value)}
    counts = sorted({len(_both(rows, metric)) for metric in known})
    if not known:
        return "Rank correlation with the published order: too few systems in both"
    values = ", ".join(f"{metric_label(metric)} {value:.2f}" for metric, value in known.items())
    systems = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"Rank correlation with the published order (Spearman, {systems} systems): {values}"


def _both(rows: Sequence[SystemResult], metric: str) -> dict[str, tuple[float, float]]:
    """Our value and the published one of every system that has both."""
    rows = [row for row in rows if row.kind == "system" and row.name in TABLE]
    column = cells(rows, metric, METRICS[metric])
    return {
        row.name: (cell.mean, TABLE[row.name][metric])
        for row, cell in zip(rows, column, strict=True)
        if cell and not np.isnan(cell.mean)
    }
