"""The pages of docs/evidence, each with the command that made it."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.reporting.panels import metric_label, number
from platform.reporting.tables import bounds_text, heading, markdown_table

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from torch import Tensor

from tests.bench.evidence import claims, effects, kept, lesions, patients, summaries, variation
from tests.bench.evidence.effects import METRICS, Effect
from tests.bench.evidence.patients import Patient
from tests.bench.evidence.plan import FULL, PHANTOM, RESTORED, TRIALS
from tests.bench.evidence.results import Trained
from tests.bench.evidence.searches import OBJECTIVES, Compared, difference
from tests.bench.evidence.summaries import SPLITS, Values
from trainers.data.store import Cohort
from trainers.metrics.judge import clamp_and_mask
from trainers.references.store import References

DRIFT = "Systems with restoration start as in their spaces: their generators also predict the bridge's drift."
CONDITIONS = (
    f"Laptop profile, phantom seed {PHANTOM}, on which nothing was chosen; 16 subjects a split; minutes of "
    "training on two cores."
)
LESION_SYSTEMS = ("unsb", FULL)
SEARCH, FIELDS, TUNED = "search.jsonl", "fields.jsonl", "tuned.jsonl"
"""What these parts have found, in the folder of the pages."""
PICTURES = {"gallery.png": "slices.png", "plane.png": "plane.png"}


def write_systems(trained: Sequence[Trained], comparison: Path, pages: Path) -> None:
    """Every page that the comparison of systems gives."""
    report = comparison / "report"
    pages.mkdir(parents=True, exist_ok=True)
    for source, name in PICTURES.items():
        shutil.copy(report / source, pages / name)
    _write(pages / "systems.md", "Ten systems, and restoration", "systems", _systems(trained, comparison))
    _write(pages / "ablation.md", "Restoration, DMD2 and ASP", "systems", _ablation(trained))
    _write(pages / "steps.md", "Refinement steps", "systems", _steps(trained))
    _write(
        pages / "variation.md",
        "Where scores vary",
        "systems",
        _variation(trained, [*_searches(pages).values()]),
    )
    _write(pages / "claims.md", "The paper's claims on the phantom", "systems", claims.page(trained))


def write_search(pages: Path) -> None:
    """The page of the searches that are kept against seeds; the difference once there are two of each."""
    studies = _searches(pages)
    rows = [[str(i), number(each.searched), number(each.reseeded)] for i, each in studies.items()]
    text = markdown_table(["study", "searched", "reseeded"], rows)
    if len(rows) > 1:
        both = [(each.searched, each.reseeded) for each in studies.values()]
        mean, low, high = difference(*zip(*both, strict=True))
        text += f"\n\nDifference: {mean:+.2%} [{low:+.2%}, {high:+.2%}] of the reseeded mean: "
        text += "the interval excludes zero." if low > 0 or high < 0 else "a tie."
    intro = (
        f"Hypervolume on validation of {TRIALS} searched trials of the full method, and of its start point "
        f"with restoration trained with {TRIALS} seeds.\n\n"
    )
    told = [[metric_label(m), _triple(each)] for m, each in _rungs([*studies.values()]).items()]
    if told:
        table = markdown_table(["objective", "rank correlation"], told)
        text += f"\n\nOf the searched trials, after half of their steps and at their end:\n\n{table}"
    _write(pages / "search.md", "Search against other seeds", "search", intro + text)


def write_fields(pages: Path) -> None:
    """What each kept field changes over its range, in the measures' units and in those of seed noise."""
    known = kept.known(pages / FIELDS)
    found = [Effect(name, each["values"]) for name, each in known.items() if each["values"]]
    seeds = ", ".join(sorted({str(each["seeds"]) for each in known.values()}))
    totals = {m: np.sum([each["squares"][m] for each in known.values()], 0) for m in OBJECTIVES}
    noise = {m: float(total / degrees) ** 0.5 for m, (total, degrees) in totals.items()}
    rows = [[e.name, *(f"{e.values[m][0] / noise[m]:+.1f}" for m in OBJECTIVES)] for e in found]
    deviations = ", ".join(f"{metric_label(m)} {number(x)}" for m, x in noise.items())
    text = (
        f"From the low end of each field's range, as searched, to the high one; the rest at the start point "
        f"with restoration; {seeds} seeds of each end.\n\n{_effects_table('field', found)}\n\n"
        f"In standard deviations of a seed ({deviations}):\n\n"
        f"{markdown_table(['field', *map(metric_label, OBJECTIVES)], rows)}"
    )
    _write(pages / "fields.md", "What the searched fields do", "fields", text)


def write_tuned(pages: Path) -> None:
    """The kept systems with the settings that their searches have chosen."""
    known = kept.known(pages / TUNED)
    seeds = sorted({str(each["seeds"]) for each in known.values()})
    intro = (
        f"Each system by the best candidate of its own search of {TRIALS} trials on validation, trained anew "
        f"with {', '.join(seeds)} seeds that no search has used."
    )
    inputs = next(iter(known.values()))["input"]
    parts = [
        _against({name: each["added"][split] for name, each in known.items()}, inputs[split], split)
        for split in SPLITS
    ]
    _write(pages / "tuned.md", "Ten systems, each searched", "tuned", "\n\n".join([intro, *parts]))


def write_patients(trained: Sequence[Trained], cohort: Cohort, references: References, pages: Path) -> None:
    """Scores of real patients and a picture of them."""
    stroke = patients.stroke(cohort, references) if references.degradation else []
    people = [*patients.low_field(cohort), *stroke]
    if not people:
        return
    names = [
        name for name in (FULL, f"unsb{RESTORED}", FULL + RESTORED) if name in {t.system for t in trained}
    ]
    found = patients.outputs(people, trained, names, references)
    rows = []
    for name, seeds in found.items():
        scores = [[patients.scores(p, x) for p, x in zip(people, seed, strict=True)] for seed in seeds]
        for i, person in enumerate(people):
            means = [sum(seed[i][m] for seed in scores) / len(scores) for m in patients.MEASURES]
            rows.append([person.name, name, str(len(scores)), *map(number, means)])
    rows.sort(key=lambda row: [p.name for p in people].index(row[0]))
    heads = [metric_label(m) for m in patients.MEASURES]
    draw_patients(people, {name: seeds[0] for name, seeds in found.items()}, pages / "patients.png")
    doc = " ".join((patients.__doc__ or "").split("\n\n")[1].split()).replace(" (:func:`brain`)", "")
    table = markdown_table(["patient", "output", "seeds", *heads], rows, left=2)
    text = f"{doc}\n\n{table}\n\n![Patients](patients.png)"
    _write(pages / "patients.md", "Real patients at 55 mT, and a stroke", "patients", text)


def write_lesions(trained: Sequence[Trained], cohort: Cohort, references: References, pages: Path) -> None:
    """The page of lesions one by one."""
    names = list(
        dict.fromkeys(t.system for t in trained if t.system.removesuffix(RESTORED) in LESION_SYSTEMS)
    )
    table = markdown_table(["output", *lesions.COLUMNS], lesions.table(cohort, references, trained, names))
    text = (
        f"Test split. Contrast: a lesion's mean less the white matter's around it, of parts and contrasts in "
        f"which the 3 T shows {lesions.SHOWN:g} or more. Vanished: below {lesions.LOST:.0%} of the 3 T's. "
        f"False: T2 patches of 40 mm\u00b2 or more, {lesions.DEVIATIONS:g} robust deviations above white "
        f"matter, deep in it and {lesions.MARGIN:g} mm from every true lesion and from what the 3 T shows so."
    )
    _write(pages / "lesions.md", "Lesions", "patients", f"{text}\n\n{table}")


def draw_patients(people: Sequence[Patient], outputs: Mapping[str, Sequence[Tensor]], path: Path) -> None:
    """T1 and T2 of each patient's middle slice: a column an output, the 3 T last."""
    columns = {**outputs, "3 T": [person.truth for person in people]}
    figure, axes = plt.subplots(
        2 * len(people), len(columns), figsize=(2 * len(columns), 4.4 * len(people)), layout="constrained"
    )
    for j, (name, images) in enumerate(columns.items()):
        for i, person in enumerate(people):
            middle = clamp_and_mask(images[i], person.mask)[len(images[i]) // 2]
            for contrast in (0, 1):
                axis = axes[2 * i + contrast, j]
                axis.imshow(middle[contrast], cmap="gray", vmin=-1, vmax=1)
                axis.set_axis_off()
                if not j:
                    axis.set_title(f"{person.name}, T{contrast + 1}", fontsize=8)
        axes[0, j].set_title(name if j else f"{name}: {people[0].name}, T1", fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _systems(trained: Sequence[Trained], comparison: Path) -> str:
    inputs, found = summaries.inputs(comparison), summaries.added(trained, comparison)
    return "\n\n".join(
        [
            *(_against(found[split], inputs[split], split) for split in SPLITS),
            "![Slices of the first test subject](slices.png)\n\n![Realism and fidelity](plane.png)",
            "## The comparison's own report",
            (comparison / "report/tables.md").read_text(),
        ]
    )


def _against(found: Mapping[str, Values], untouched: Mapping[str, float], split: str) -> str:
    """A table of systems against the untouched input."""
    table = _effects_table("system", [Effect(name, values) for name, values in found.items()])
    text = ", ".join(f"{metric_label(m)} {number(untouched[m])}" for m in METRICS)
    return f"## {split}: what each adds to the untouched input\n\nThe input: {text}.\n\n{table}"


def _ablation(trained: Sequence[Trained]) -> str:
    parts = [DRIFT]
    for split in ("test", "shifted"):
        found = effects.effects(effects.ablation(trained, effects.chosen(split)))
        parts.append(f"## {split}\n\n{_effects_table('factor', found)}")
    shares: dict[str, list[Trained]] = {}
    for each in trained:
        if each.shares:
            shares.setdefault(each.system, []).append(each)
    terms = sorted({term for own in shares.values() for each in own for term in each.shares})
    rows = [
        [name, *(f"{100 * sum(e.shares.get(t, 0) for e in own) / len(own):.2g}" for t in terms)]
        for name, own in shares.items()
    ]
    table = markdown_table(["system", *(term.removeprefix("G_") for term in terms)], rows)
    return "\n\n".join([*parts, f"## Shares of the gradient at the output (%)\n\n{table}"])


def _steps(trained: Sequence[Trained]) -> str:
    table = _effects_table("against k = 1", effects.effects(effects.steps(trained, "test")))
    return f"{DRIFT}\n\n{table}"


def _searches(pages: Path) -> dict[int, Compared]:
    """The studies that are kept, in order."""
    found = kept.known(pages / SEARCH)
    return {number: Compared(**found[str(number)]) for number in sorted(map(int, found))}


def _rungs(studies: Sequence[Compared]) -> dict[str, variation.Interval]:
    """By objective, the rank correlation of the first rung with the end; empty without three trials."""
    pairs = {m: variation.rung_and_end(studies, m) for m in OBJECTIVES}
    return {m: variation.correlation(found) for m, found in pairs.items() if len(found) > 2}


def _variation(trained: Sequence[Trained], studies: Sequence[Compared]) -> str:
    groups = {
        "validation and test, all systems": list(trained),
        "validation and test, with restoration": [t for t in trained if t.system.endswith(RESTORED)],
    }
    rows = [
        [name, *(_triple(variation.correlation(variation.validation_and_test(own, m))) for m in OBJECTIVES)]
        for name, own in groups.items()
    ]
    if told := _rungs(studies):
        rows.append(["first rung and end", *map(_triple, told.values())])
    heads = [metric_label(m) for m in OBJECTIVES]
    restored = groups["validation and test, with restoration"]
    if not restored:
        return f"## Rank correlations (Spearman)\n\n{markdown_table(['', *heads], rows)}"
    spread = {m: variation.deviations(restored, m) for m in OBJECTIVES}
    names = list(next(iter(spread.values())))
    deviations = [[name, *(_triple(spread[m][name]) for m in OBJECTIVES)] for name in names]
    return (
        f"## Rank correlations (Spearman)\n\n{markdown_table(['', *heads], rows)}\n\n"
        f"## Standard deviations on the test split, systems with restoration\n\n"
        f"{markdown_table(['of', *heads], deviations)}"
    )


def _effects_table(first: str, found: Sequence[Effect]) -> str:
    rows = [[e.name, *(_cell(e, metric) for metric in METRICS)] for e in found if e.values]
    return markdown_table([first, *(heading(m, d) for m, d in METRICS.items())], rows)


def _cell(effect: Effect, metric: str) -> str:
    if metric not in effect.values:
        return ""
    mean, low, high = effect.values[metric]
    text = f"{mean:+.3g} {bounds_text(low, high)}"
    return text if effect.verdict(metric) == "tie" else f"**{text}**"


def _triple(interval: tuple[float, float, float]) -> str:
    value, low, high = interval
    return f"{number(value)} {bounds_text(low, high)}"


def _write(path: Path, title: str, part: str, text: str) -> None:
    made = f'`make evidence ARGS="--only {part}"` computes this page.'
    if re.search(r"\[[-+]?\d", text):
        made += " Intervals are 95 %, over seeds and subjects; bold: the interval excludes zero."
    path.write_text(f"# {title}\n\n{CONDITIONS}\n{made}\n\n{text}\n", "utf-8")
