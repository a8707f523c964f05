"""The tables show what the rows hold, in the agreed order and marks, for readers and for other tools."""

import csv
import io
from collections.abc import Mapping, Sequence
from platform.comparison import tables
from platform.comparison.published_table import LABELS, PAIRED, TABLE, UNPAIRED
from platform.stats.scores import Score, SystemResult
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from trainers.metrics.extended import MEASURES
from trainers.metrics.names import METRICS

WAVE = np.sin(np.arange(200.0)) / 0.7  # of unit spread


def scores(values: Mapping[str, float], spread: float = 0.01) -> dict[str, Score]:
    return {m: Score(v, tuple(v * (1 + spread * WAVE))) for m, v in values.items()}


def like_the_paper(name: str, seeds: int = 1, **changes: Any) -> SystemResult:
    """A system that scores as published, each seed a hundredth more than the one before."""
    found = tuple(scores({m: v * (1 + s / 100) for m, v in TABLE[name].items()}) for s in range(seeds))
    return SystemResult(name, LABELS[name], **{"seeds": found, **changes})


INPUT = SystemResult("input", "64 mT input", (scores(dict.fromkeys(UNPAIRED + PAIRED, 15.0)),), kind="input")
TRUTH = SystemResult("truth", "3 T", ({"fid": Score(1.0), "psnr_t1": Score(float("inf"))},), kind="truth")
FACTS = {"parameters": 11_380_000, "train_seconds": 5400.0, "seconds_per_volume": 0.25, "steps": 400}


def grid(text: str, title: str) -> list[list[str]]:
    """The cells of the Markdown table below a title, heads first."""
    lines = text.split(f"### {title}")[1].split("###")[0].splitlines()
    found = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in found if "---" not in line[0]]


def cell(text: str, title: str, label: str, head: str) -> str:
    heads, *body = grid(text, title)
    row = next(line for line in body if line[0] == label)
    return row[next(i for i, name in enumerate(heads) if name.startswith(head))]


def plain(rows: Sequence[SystemResult], width: int = 120, **options: Any) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables.terminal(rows, radiology="rad-fallback", **options))
    return console.export_text()


def test_the_bounds_come_first_and_systems_in_the_given_order() -> None:
    rows = [like_the_paper("unsb"), TRUTH, like_the_paper("cut"), INPUT]
    text = tables.markdown(rows, radiology="rad-fallback")
    for title in ("A", "B"):
        heads, *body = grid(text, title)
        assert [line[0] for line in body] == ["64 mT input", "3 T", "UNSB", "CUT"]
        assert {len(line) for line in body} == {len(heads)}
    assert grid(text, "A")[0] == [
        *("system", "Rad-FID (rad-fallback) ↓", "FID ↓", "KID ↓", "PIQE ↓"),
        *("steps", "parameters", "training", "per volume"),
    ]
    assert grid(text, "B")[0][1:] == ["MS-SSIM T1 ↑", "PSNR T1 (dB) ↑", "MS-SSIM T2 ↑", "PSNR T2 (dB) ↑"]


def test_a_measure_without_a_better_direction_has_no_winner() -> None:
    rows = [
        SystemResult(n, n.upper(), ({"dice": Score(v), "slice_shift": Score(v)},))
        for n, v in (("a", 1.0), ("b", 2.0))
    ]
    text = tables.markdown(
        rows, radiology="rad-fallback", extended={"dice": "maximize", "slice_shift": "none"}
    )
    heads, *body = grid(text, "C")
    assert heads[1:] == ["Dice ↑", "slice flicker"]
    assert "**" in body[1][1] and not any("**" in line[2] or "†" in line[2] for line in body)


def test_a_cell_reads_estimate_interval_and_spread() -> None:
    """Draws on an even grid have the quantiles of the uniform distribution."""
    even = np.linspace(-0.02, 0.02, 2001)
    seeds = tuple({"fid": Score(e, tuple(e + even))} for e in (0.080, 0.084, 0.088))
    text = tables.markdown([SystemResult("cut", "CUT", seeds)], radiology="rad-fallback")
    assert cell(text, "A", "CUT", "FID") == "**0.0840** [0.065, 0.103] ± 0.0040"
    single = tables.markdown([SystemResult("cut", "CUT", seeds[:1])], radiology="rad-fallback")
    assert cell(single, "A", "CUT", "FID") == "**0.0800** [0.061, 0.099]"
    bare = SystemResult("cut", "CUT", ({"fid": Score(0.084)},))
    assert cell(tables.markdown([bare], radiology="rad-fallback"), "A", "CUT", "FID") == "**0.08400**"


def test_the_best_is_bold_and_ties_carry_a_dagger_that_the_caption_explains() -> None:
    rows = [like_the_paper(name) for name in ("cut", "unsb", "unsb_dmd")]
    near = {m: Score(v.estimate + 1e-4, tuple(-d for d in v.draws)) for m, v in rows[2].seeds[0].items()}
    rows.append(SystemResult("near", "Near", (near,)))
    text = tables.markdown([*rows, INPUT], radiology="rad-fallback")
    assert cell(text, "A", "UNSB + DMD2", "FID").startswith("**19.29** [")
    assert cell(text, "A", "Near", "FID").startswith("19.29† [")
    assert cell(text, "A", "CUT", "FID").startswith("23.07 [")
    assert "**" not in cell(text, "B", "64 mT input", "PSNR T1")
    assert "† not told apart from the best" in text
    assert "†" not in tables.markdown(rows[:2], radiology="rad-fallback")


def test_the_fallback_is_never_called_radimagenet() -> None:
    rows = [like_the_paper("cut")]
    assert "radimagenet" not in tables.markdown(rows, radiology="rad-fallback").lower()
    assert "radimagenet" not in plain(rows).lower()
    assert "Rad-FID (radimagenet) ↓" in tables.markdown(rows, radiology="radimagenet")


def test_without_pairs_table_b_is_one_line() -> None:
    unpaired = SystemResult("cut", "CUT", ({m: Score(TABLE["cut"][m]) for m in UNPAIRED},))
    text = tables.markdown([unpaired], radiology="rad-fallback")
    part = text.split("### B")[1].split("###")[0].splitlines()[1:]
    assert [line for line in part if line] == ["no paired subjects"]
    assert len(grid(text, "A")) == 2
    assert "no paired subjects" in plain([unpaired])


def test_a_diverged_system_says_so_in_its_row() -> None:
    note = "diverged at step 120:\nG_GAN is |nan|"
    text = tables.markdown(
        [SystemResult("cut", "CUT", note=note, facts=FACTS), like_the_paper("unsb")], radiology="x"
    )
    row = next(line for line in text.splitlines() if line.startswith("| CUT |"))
    assert row == r"| CUT | diverged at step 120: G_GAN is \|nan\| |  |  |  | 400 | 11.4 M | 1.5 h | 0.25 s |"
    assert "¹" not in text
    assert "diverged at step 120" in plain(
        [SystemResult("cut", "CUT", note="diverged at step 120")], width=200
    )


def test_a_partly_diverged_system_has_a_footnote() -> None:
    rows = [like_the_paper("unsb"), like_the_paper("cut", note="seed 2 diverged")]
    text = tables.markdown(rows, radiology="rad-fallback")
    assert [line[0] for line in grid(text, "A")[1:]] == ["UNSB", "CUT¹"]
    assert "¹ CUT: seed 2 diverged" in text.splitlines()
    assert "¹ CUT: seed 2 diverged" in plain(rows)


@pytest.mark.parametrize(
    ("fact", "value", "text"),
    [
        ("parameters", 527_361, "527 k"),
        ("parameters", 14_684_419, "14.7 M"),
        ("parameters", 12, "12"),
        ("train_seconds", 42.3, "42 s"),
        ("train_seconds", 90.0, "1.5 min"),
        ("train_seconds", 9000.0, "2.5 h"),
        ("seconds_per_volume", 0.0312, "0.031 s"),
        ("seconds_per_volume", 1.0, "1.0 s"),
    ],
)
def test_facts_read_in_fitting_units(fact: str, value: float, text: str) -> None:
    heads = {"parameters": "parameters", "train_seconds": "training", "seconds_per_volume": "per volume"}
    written = tables.markdown([like_the_paper("cut", facts={fact: value})], radiology="rad-fallback")
    assert cell(written, "A", "CUT", heads[fact]) == text


def test_infinite_undefined_and_missing_values_are_told_apart() -> None:
    odd = SystemResult(
        "odd", "Odd", ({"fid": Score(float("nan")), "psnr_t1": Score(20.0), "kid": Score(-1e-9)},)
    )
    text = tables.markdown([TRUTH, odd, like_the_paper("cut")], radiology="rad-fallback")
    assert cell(text, "B", "3 T", "PSNR T1") == "∞"
    assert cell(text, "B", "3 T", "PSNR T2") == "—"
    assert cell(text, "A", "Odd", "FID") == "undefined"
    assert cell(text, "A", "Odd", "KID") == "**0.00000**"
    assert cell(text, "A", "Odd", "parameters") == "—"


def test_extended_measures_get_a_table_of_their_own() -> None:
    rows = [SystemResult(n, n, ({"dice": Score(v), "bias": Score(v)},)) for n, v in (("a", 0.8), ("b", 0.9))]
    text = tables.markdown(rows, radiology="x", extended={"dice": "maximize", "bias": "minimize"})
    assert grid(text, "C") == [
        ["system", "Dice ↑", "bias ↓"],
        ["a", "0.8000", "**0.8000**"],
        ["b", "**0.9000**", "0.9000"],
    ]
    below = text[text.index("### C") :]
    assert f"- Dice: {MEASURES['dice'].meaning}\n" in below and "slice flicker" not in below
    assert "### C" not in tables.markdown(rows, radiology="x")


def test_the_published_table_stands_beside_with_both_ranks() -> None:
    reverse = {m: Score(-v) for m, v in TABLE["cut"].items()}
    rows = [SystemResult("cut", "CUT", (reverse,)), like_the_paper("unsb"), like_the_paper("asp_dmd")]
    text = tables.markdown(rows, radiology="rad-fallback")
    published = grid(text, "Published")
    assert [line[0] for line in published[1:]] == list(LABELS.values())
    assert cell(text, "Published", "CUT", "FID") == "23.0661 (3 → 1)"
    assert cell(text, "Published", "CUT", "PSNR T1") == "22.4057 (3 → 3)"
    assert cell(text, "Published", "Ours (full method)", "FID") == "**18.9950** (1 → 2)"
    assert cell(text, "Published", "INR-based", "PSNR T2") == "**25.2925**"
    assert "the paper's figures, on its own cohorts: compare rankings, not values" in text


def test_rank_correlation_with_the_paper_is_scipys() -> None:
    rng = np.random.default_rng(0)
    ours = {
        name: {m: float(v) for m, v in zip(UNPAIRED + PAIRED, rng.random(8), strict=True)} for name in TABLE
    }
    rows = [INPUT, *(SystemResult(name, name, (scores(values),)) for name, values in ours.items())]
    found = tables.ranks(rows)
    assert list(found) == list(UNPAIRED + PAIRED)
    for metric, value in found.items():
        columns = [[table[name][metric] for name in TABLE] for table in (ours, TABLE)]
        expected: Any = stats.spearmanr(*columns)
        assert value == pytest.approx(expected.statistic)
    assert all(value == pytest.approx(1) for value in tables.ranks([*map(like_the_paper, TABLE)]).values())
    assert np.isnan(list(tables.ranks(rows[:3]).values())).all()


def test_the_last_line_is_the_agreement_with_the_paper() -> None:
    rows = [like_the_paper(name) for name in ("cut", "unsb", "inr", "asp_dmd")]
    last = tables.markdown(rows, radiology="rad-fallback").splitlines()[-1]
    assert last.startswith(
        "Rank correlation with the published order (Spearman, 4 systems): Rad-FID 1.00, FID 1.00"
    )
    few = tables.markdown(rows[:2], radiology="rad-fallback").splitlines()[-1]
    assert few == "Rank correlation with the published order: too few systems in both"


def test_csv_holds_every_score_exactly() -> None:
    rows = [
        INPUT,
        like_the_paper("cut", 3, facts={**FACTS, "extra": 1 / 3}),
        SystemResult("inr", "INR", note="diverged, alas"),
    ]
    text = tables.csv(rows, ["fid", "psnr_t1"])
    read = list(csv.DictReader(io.StringIO(text)))
    assert [(r["system"], r["seed"], r["metric"]) for r in read] == [
        ("input", "0", "fid"),
        ("input", "0", "psnr_t1"),
        *(("cut", str(seed), metric) for seed in range(3) for metric in ("fid", "psnr_t1")),
        ("inr", "", ""),
    ]
    for line in read[:-1]:
        source = next(row for row in rows if row.name == line["system"])
        score = source.seeds[int(line["seed"])][line["metric"]]
        assert float(line["estimate"]) == score.estimate
        assert float(line["low"]) < score.estimate < float(line["high"])
    assert (read[2]["parameters"], float(read[2]["extra"]), read[2]["steps"]) == ("11380000", 1 / 3, "400")
    assert (read[0]["parameters"], read[-1]["note"]) == ("", "diverged, alas")


def test_csv_leaves_unknown_bounds_empty_and_numpy_unnamed() -> None:
    row = SystemResult("a", "A", ({"fid": Score(float(np.float64(0.1))), "psnr": Score(np.float64("inf"))},))
    lines = tables.csv([row], ["fid", "psnr"]).splitlines()
    assert lines[1].startswith("a,A,system,0,fid,0.1,,,")
    assert lines[2].startswith("a,A,system,0,psnr,inf,,,")


def test_the_screen_shows_means_and_marks() -> None:
    values = {"cut": (0.25, 0.25), "unsb": (0.125, 0.25), "inr": (0.125, 0.5)}
    rows = [
        SystemResult(name, LABELS[name], ({"fid": Score(a, (a, a + 0.1)), "kid": Score(b)},) * 2, facts=FACTS)
        for name, (a, b) in values.items()
    ]
    text = plain(rows, extended={"fid": METRICS["fid"]})
    lines = [line.split() for line in text.splitlines() if line.strip().startswith(("CUT", "UNSB", "INR"))]
    known = ["—", "400", "11.4", "M", "1.5", "h", "0.25", "s"]
    assert lines == [
        ["CUT", "—", "0.2500", "0.2500", *known],
        ["UNSB", "—", "0.1250", "0.2500†", *known],
        ["INR-based", "—", "0.1250†", "0.5000", *known],
        ["CUT", "0.2500"],
        ["UNSB", "0.1250"],
        ["INR-based", "0.1250†"],
    ]
    assert "no paired subjects" in text
    assert "[" not in text and "±" not in text
