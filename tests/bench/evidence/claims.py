"""The paper's claims, each with the difference that supports it, ties with none, or refutes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from platform.comparison.systems import LABELS
from platform.reporting.panels import metric_label
from platform.reporting.tables import bounds_text, markdown_table

from tests.bench.evidence import effects
from tests.bench.evidence.effects import Effect, Pair
from tests.bench.evidence.plan import FULL
from tests.bench.evidence.results import Trained

VERDICTS = {"better": "supported", "tie": "a tie", "worse": "refuted"}


@dataclass(frozen=True)
class Claim:
    """Words of the paper, the comparison that tests them, and by which measures."""

    text: str
    compared: str
    metrics: tuple[str, ...]


ABLATED = "without restoration, mean over the other factor"
CLAIMS = {
    "DMD2, without restoration": Claim("DMD2 strengthens target alignment", ABLATED, ("patch_fd", "fid")),
    "ASP, without restoration": Claim(
        "ASP preserves structure", ABLATED, ("ms_ssim", "edges_unsupported_by_3t", "dice")
    ),
    "published, k = 3": Claim(
        "multi-step refinement aligns gradually", "k = 3 against k = 1", ("patch_fd", "ms_ssim", "psnr")
    ),
    "UNSB": Claim(
        "the full model has the best trade-off", "full against UNSB", ("patch_fd", "ms_ssim", "psnr")
    ),
    "best other": Claim(
        "best realism and fidelity of ten systems",
        "full against the best other in each measure",
        ("patch_fd", "ms_ssim", "psnr"),
    ),
    "restoration": Claim(
        "(ours) restoration of degraded 3 T",
        "with against without (and drift)",
        ("patch_fd", "ms_ssim", "psnr", "dice"),
    ),
}


def page(trained: Sequence[Trained]) -> str:
    """A row a claim and measure, on the ordinary test split."""
    of = effects.chosen("test")
    pairs = effects.ablation(trained, of) | effects.steps(trained, "test")
    pairs |= {"UNSB": _paired(trained, "unsb")}
    known = {effect.name: effect for effect in effects.effects(pairs)}
    rows = []
    for name, claim in CLAIMS.items():
        for metric in claim.metrics:
            effect = _against_best(trained, metric) if name == "best other" else known.get(name)
            if effect and metric in effect.values:
                rows.append([claim.text, claim.compared, *_found(effect, metric)])
    heads = ["claim", "compared", "measure", "difference", "verdict"]
    return markdown_table(heads, rows, left=3)


def _found(effect: Effect, metric: str) -> list[str]:
    mean, low, high = effect.values[metric]
    difference = f"{mean:+.3g} {bounds_text(low, high)}"
    return [metric_label(metric), difference, VERDICTS[effect.verdict(metric)]]


def _against_best(trained: Sequence[Trained], metric: str) -> Effect:
    """The full method, as published, against the best other published system by the mean over its seeds."""
    of, means = effects.chosen("test"), {}
    for name in LABELS.keys() - {FULL}:
        own = [of(each)[metric].estimate for each in trained if each.system == name]
        if own:
            means[name] = sum(own) / len(own)
    if len(means) < len(LABELS) - 1:
        return Effect("", {})
    better = max if effects.METRICS[metric] == "maximize" else min
    best = better(means, key=means.__getitem__)
    return effects.effects({best: _paired(trained, best)})[0]


def _paired(trained: Sequence[Trained], other: str) -> list[list[Pair]]:
    """Scores of another system and of the full method as published, seed by seed."""
    of, by = effects.chosen("test"), {(each.system, each.seed): each for each in trained}
    seeds = sorted({seed for _, seed in by})
    both = [(by.get((other, seed)), by.get((FULL, seed))) for seed in seeds]
    return [[(of(a), of(b))] for a, b in both if a and b]
