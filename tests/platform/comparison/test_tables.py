"""The tables show the rows' values in the agreed order and marks, for readers and for other tools."""

import csv
import io
from collections.abc import Mapping, Sequence
from platform.comparison import tables
from platform.comparison.published_table import PAIRED, TABLE, UNPAIRED
from platform.comparison.systems import LABELS
from platform.stats.scores import Score, SystemResult
from typing import Any

import numpy as np
import pytest

from tests.platform.reporting.reading import markdown_cells, screen
from tests.platform.stats.examples import result
from trainers.metrics.measures import MEASURES
from trainers.metrics.names import METRICS

NAN, INF = float("nan"), float("inf")
WAVE = np.sin(np.arange(200.0)) / 0.7  # of unit spread


def drawn(values: Mapping[str, float]) -> dict[str, Score]:
    return {m: Score(v, tuple(v * (1 + 0.01 * WAVE))) for m, v in values.items()}


def published(name: str, seeds: int = 1, **more: Any) -> SystemResult:
    """A system that scores as published, each seed a hundredth more than the one before."""
    scores = [drawn({m: v * (1 + s / 100) for m, v in TABLE[name].items()}) for s in range(seeds)]
    return result(name, *scores, label=LABELS[name], **more)


INPUT = result("input", drawn(dict.fromkeys(UNPAIRED + PAIRED, 15.0)), kind="input")
TRUTH = result("truth", {"fid": 1.0, "psnr_t1": INF}, kind="truth")
FACTS = {"parameters": 11_380_000, "train_seconds": 5400.0, "seconds_per_volume": 0.25, "steps": 400}


def markdown(rows: Sequence[SystemResult], radiology: str = "rad-fallback", **extended: str) -> str:
    return tables.markdown(rows, radiology=radiology, extended=extended)


def terminal(rows: Sequence[SystemResult], width: int = 120, **extended: str) -> str:
    return screen(tables.terminal(rows, radiology="rad-fallback", extended=extended), width)


def grid(text: str, title: str) -> list[list[str]]:
    """The cells of the table below a title, heads first."""
    return markdown_cells(text.split(f"### {title}")[1].split("###")[0])


def cell(text: str, title: str, label: str, head: str) -> str:
    heads, *body = grid(text, title)
    row = next(line for line in body if line[0] == label)
    return row[next(i for i, name in enumerate(heads) if name.startswith(head))]


def test_input_and_truth_come_first_and_systems_in_the_given_order() -> None:
    text = markdown([published("unsb"), TRUTH, published("cut"), INPUT])
    for title in ("A", "B"):
        heads, *body = grid(text, title)
        assert [line[0] for line in body] == ["input", "truth", "UNSB", "CUT"]
        assert {len(line) for line in body} == {len(heads)}
    assert grid(text, "A")[0] == [
        *("system", "FID ↓", "KID ↓", "Rad-FID (rad-fallback) ↓", "PIQE ↓"),
        *("steps", "parameters", "training", "per volume"),
    ]
    others = [result("cut", {m: 1.0 for m in UNPAIRED if m != "rad_fid"})]
    assert grid(markdown(others, radiology=""), "A")[0][:2] == ["system", "FID ↓"]
    assert grid(text, "B")[0][1:] == ["MS-SSIM T1 ↑", "PSNR T1 (dB) ↑", "MS-SSIM T2 ↑", "PSNR T2 (dB) ↑"]


def test_the_shifted_test_split_has_tables_of_its_own() -> None:
    other = result("cut", dict.fromkeys(("fid", "psnr_slice_t1"), 7.0))
    text = tables.markdown([published("cut")], radiology="rad-fallback", shifted=[other])
    assert cell(text, "D", "cut", "FID") == "**7.000**" and cell(text, "A", "CUT", "FID").startswith(
        "**23.07"
    )
    assert grid(text, "E")[0] == ["system", "PSNR of whole slices T1 ↑"]
    assert "### D" not in markdown([published("cut")])


def test_extended_measures_have_a_table_of_their_own_and_no_best_without_a_direction() -> None:
    rows = [result(n, dict.fromkeys(("dice", "slice_shift", "bias"), v)) for n, v in (("a", 0.8), ("b", 0.9))]
    text = markdown(rows, dice="maximize", slice_shift="none", bias="minimize")
    assert grid(text, "C") == [
        ["system", "Dice ↑", "slice flicker", "bias ↓"],
        ["a", "0.8000", "0.8000", "**0.8000**"],
        ["b", "**0.9000**", "0.9000", "0.9000"],
    ]
    legend = [line for line in text[text.index("### C") :].splitlines() if line.startswith("- ")]
    assert legend[0] == f"- Dice: {MEASURES['dice'].meaning}" and len(legend) == 2
    assert "### C" not in markdown(rows)


def test_the_head_says_on_how_many_subjects_where_some_have_no_value() -> None:
    rows = [result(n, {"dice": Score(0.8, (), 16, 16), "lesion_extent": Score(0.5, (), 5, 16)}) for n in "ab"]
    heads = grid(markdown(rows, dice="maximize", lesion_extent="maximize"), "C")[0]
    assert heads == ["system", "Dice ↑", "lesion extent (5 of 16 subjects) ↑"]


def test_a_cell_is_estimate_interval_and_spread() -> None:
    """Draws on an even grid have the deviation of the uniform distribution, .02 / sqrt(3)."""
    even = np.linspace(-0.02, 0.02, 2001)
    seeds = [{"fid": Score(e, tuple(e + even))} for e in (0.080, 0.084, 0.088)]
    cases = {
        "**0.0840** [0.061, 0.107] ± 0.0040": seeds,
        "**0.0800** [0.057, 0.103]": seeds[:1],
        "**0.08400**": [{"fid": Score(0.084)}],
    }
    for expected, given in cases.items():
        assert cell(markdown([result("cut", *given)]), "A", "cut", "FID") == expected


def test_the_best_is_bold_and_ties_have_a_dagger_that_the_caption_explains() -> None:
    rows = [published(name) for name in ("cut", "unsb", "unsb_dmd")]
    near = {m: Score(v.estimate + 1e-4, tuple(-d for d in v.draws)) for m, v in rows[2].seeds[0].items()}
    text = markdown([*rows, result("near", near), INPUT])
    assert cell(text, "A", "UNSB + DMD2", "FID").startswith("**19.29** [")
    assert cell(text, "A", "near", "FID").startswith("19.29† [")
    assert cell(text, "A", "CUT", "FID").startswith("23.07 [")
    assert "**" not in cell(text, "B", "input", "PSNR T1")
    assert "† not distinguishable from the best" in text and "†" not in markdown(rows[:2])


def test_without_pairs_table_b_is_one_line_and_the_fallback_is_not_called_radimagenet() -> None:
    unpaired = result("cut", {m: TABLE["cut"][m] for m in UNPAIRED})
    text = markdown([unpaired])
    assert "radimagenet" not in (text + terminal([unpaired])).lower()
    assert "Rad-FID (radimagenet) ↓" in markdown([unpaired], radiology="radimagenet")
    assert text.split("### B")[1].split("###")[0].split("\n", 1)[1].strip() == "no paired subjects"
    assert len(grid(text, "A")) == 2 and "no paired subjects" in terminal([unpaired])


def test_a_diverged_system_says_so_in_its_row_and_a_partly_diverged_one_in_a_footnote() -> None:
    cut = result("cut", note="diverged at step 120:\nG_GAN is |nan|", facts=FACTS)
    text = markdown([cut, published("unsb")])
    row = next(line for line in text.splitlines() if line.startswith("| cut |"))
    assert row == r"| cut | diverged at step 120: G_GAN is \|nan\| |  |  |  | 400 | 11.4 M | 1.5 h | 0.25 s |"
    assert "¹" not in text and "diverged at step 120" in terminal([cut], width=200)
    rows = [published("unsb"), published("cut", note="seed 2 diverged")]
    assert [line[0] for line in grid(markdown(rows), "A")[1:]] == ["UNSB", "CUT¹"]
    assert "¹ CUT: seed 2 diverged" in markdown(rows).splitlines()
    assert "¹ CUT: seed 2 diverged" in terminal(rows)


@pytest.mark.parametrize(
    ("fact", "head", "values"),
    [
        ("parameters", "parameters", {527_361: "527 k", 14_684_419: "14.7 M", 12: "12"}),
        ("train_seconds", "training", {42.3: "42 s", 90.0: "1.5 min", 9000.0: "2.5 h"}),
        ("seconds_per_volume", "per volume", {0.0312: "0.031 s", 1.0: "1.0 s"}),
    ],
)
def test_facts_have_fitting_units(fact: str, head: str, values: dict[float, str]) -> None:
    rows = [result(str(value), {"fid": 1.0}, facts={fact: value}) for value in values]
    text = markdown(rows)
    assert {value: cell(text, "A", str(value), head) for value in values} == values


def test_infinite_undefined_and_missing_values_are_written_differently() -> None:
    text = markdown([TRUTH, result("odd", {"fid": NAN, "psnr_t1": 20.0, "kid": -1e-9}), published("cut")])
    assert [cell(text, "B", "truth", head) for head in ("PSNR T1", "PSNR T2")] == ["∞", "—"]
    heads = ("FID", "KID", "parameters")
    assert [cell(text, "A", "odd", head) for head in heads] == ["undefined", "**0.00000**", "—"]


def test_the_published_table_is_beside_with_both_ranks_and_their_correlation_last() -> None:
    reverse = result("cut", {m: -v for m, v in TABLE["cut"].items()})
    text = markdown([reverse, published("unsb"), published("asp_dmd")])
    assert [line[0] for line in grid(text, "Published")[1:]] == list(LABELS.values())
    assert cell(text, "Published", "CUT", "FID") == "23.0661 (3 → 1)"
    assert cell(text, "Published", "CUT", "PSNR T1") == "22.4057 (3 → 3)"
    assert cell(text, "Published", "Ours (full method)", "FID") == "**18.9950** (1 → 2)"
    assert cell(text, "Published", "INR-based", "PSNR T2") == "**25.2925**"
    assert "the paper's figures, on its own cohorts: compare rankings, not values" in text
    rows = [published(name) for name in ("cut", "unsb", "inr", "asp_dmd")]
    correlation = "Rank correlation with the published order"
    start = f"{correlation} (Spearman, 4 systems): Rad-FID 1.00, FID 1.00"
    assert markdown(rows).splitlines()[-1].startswith(start)
    assert markdown(rows[:2]).splitlines()[-1] == f"{correlation}: too few systems in both"


def test_csv_holds_every_score_exactly() -> None:
    rows = [INPUT, published("cut", 3, facts={**FACTS, "extra": 1 / 3}), result("inr", note="diverged, alas")]
    lines = list(csv.DictReader(io.StringIO(tables.csv(rows, ["fid", "psnr_t1"]))))
    seeds = [("input", "0"), *(("cut", str(seed)) for seed in range(3))]
    expected = [(*seed, metric) for seed in seeds for metric in ("fid", "psnr_t1")]
    assert [(r["system"], r["seed"], r["metric"]) for r in lines] == [*expected, ("inr", "", "")]
    for line in lines[:-1]:
        source = next(row for row in rows if row.name == line["system"])
        score = source.seeds[int(line["seed"])][line["metric"]]
        assert float(line["estimate"]) == score.estimate
        assert float(line["low"]) < score.estimate < float(line["high"])
    bare = result("a", {"fid": float(np.float64(0.1)), "psnr": np.float64("inf")})
    without_bounds = ["a,a,system,0,fid,0.1,,,,,,,", "a,a,system,0,psnr,inf,,,,,,,"]
    assert tables.csv([bare], ["fid", "psnr"]).splitlines()[1:] == without_bounds
    third = lines[2]
    assert (third["parameters"], float(third["extra"]), third["steps"]) == ("11380000", 1 / 3, "400")
    assert (lines[0]["parameters"], lines[-1]["note"]) == ("", "diverged, alas")


def test_the_screen_shows_means_and_marks() -> None:
    values = {"cut": (0.25, 0.25), "unsb": (0.125, 0.25), "inr": (0.125, 0.5)}
    rows = [
        result(name, *([{"fid": Score(a, (a, a + 0.1)), "kid": b}] * 2), label=LABELS[name], facts=FACTS)
        for name, (a, b) in values.items()
    ]
    text = terminal(rows, fid=METRICS["fid"])
    lines = [line.split() for line in text.splitlines() if line.strip().startswith(("CUT", "UNSB", "INR"))]
    known = ["—", "400", "11.4", "M", "1.5", "h", "0.25", "s"]
    assert lines == [
        ["CUT", "0.2500", "0.2500", *known],
        ["UNSB", "0.1250", "0.2500†", *known],
        ["INR-based", "0.1250†", "0.5000", *known],
        ["CUT", "0.2500"],
        ["UNSB", "0.1250"],
        ["INR-based", "0.1250†"],
    ]
    assert "no paired subjects" in text
    assert "[" not in text and "±" not in text
