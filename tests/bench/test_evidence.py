"""The evidence's tables against differences, correlations and deviations that are known."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from platform.comparison.systems import LABELS
from platform.spaces.loader import FOLDER, load_study
from platform.stats.scores import Score
from platform.study.dimensions import extremes

import numpy as np
import pytest
import torch

from tests.bench.evidence import (
    claims,
    effects,
    kept,
    pages,
    patients,
    plan,
    searches,
    summaries,
    variation,
)
from tests.bench.evidence.results import Trained

SUBJECTS = 16
NOISE = np.random.default_rng(0).standard_normal(200) / SUBJECTS**0.5


def score(value: float) -> Score:
    """The same subjects' noise in every score, so that differences have none."""
    return Score(value, tuple((value + NOISE).tolist()), SUBJECTS, SUBJECTS)


def trained(system: str, seed: int, value: float, step: float = 0.0) -> Trained:
    """Every measure is ``value``, and ``step`` more at each further refinement step; validation half."""
    scores = {k: dict.fromkeys(effects.METRICS, score(value + step * (k - 1))) for k in (1, 2, 3)}
    validation = {k: dict.fromkeys(effects.METRICS, (value + step * (k - 1)) / 2) for k in (1, 2, 3)}
    return Trained(system, seed, 1, validation, scores, scores, {"G_GAN": 0.25, "G_NCE": 0.75})


def cohort() -> list[Trained]:
    """Restoration adds 4, DMD2 1 without and 3 with it, ASP nothing; seeds add the same to all."""
    found = []
    for name, (restore, dmd, _) in plan.CELLS.items():
        value = 4.0 * restore + (1.0 + 2.0 * restore) * dmd
        found += [trained(name, seed, value + 0.1 * seed, step=-0.5) for seed in range(3)]
    return found


def test_each_factor_is_the_mean_difference_of_equal_seeds_and_contexts() -> None:
    found = {e.name: e for e in effects.effects(effects.ablation(cohort(), effects.chosen("test")))}
    means = {name: effect.values["psnr"][0] for name, effect in found.items()}
    assert means == pytest.approx(
        {
            "restoration": 5.0,
            "DMD2, without restoration": 1.0,
            "DMD2, with restoration": 3.0,
            "ASP, without restoration": 0.0,
            "ASP, with restoration": 0.0,
        }
    )
    assert found["restoration"].verdict("psnr") == "better"
    assert found["restoration"].verdict("patch_fd") == "worse"
    assert found["ASP, with restoration"].verdict("psnr") == "tie"


def test_intervals_grow_with_the_deviation_of_seeds() -> None:
    one = {k: [[({"psnr": score(0)}, {"psnr": score(x)})] for x in (1.0, 1.0 + k)] for k in (0.1, 2.0)}
    narrow, wide = (effects.effects({str(k): pairs})[0].values["psnr"] for k, pairs in one.items())
    # Student's t of one degree of freedom: 12.706 standard errors, k / 2 each.
    for (mean, low, high), k in zip((narrow, wide), one, strict=True):
        assert mean == pytest.approx(1 + k / 2) and high - low == pytest.approx(2 * 12.706 * k / 2, rel=1e-3)
    assert effects.Effect("", {"psnr": wide}).verdict("psnr") == "tie"


def test_steps_are_compared_with_the_first_of_the_same_training() -> None:
    found = {e.name: e.values["dice"][0] for e in effects.effects(effects.steps(cohort(), "test"))}
    for end in ("published", "with restoration"):
        assert found[f"{end}, k = 2"] == pytest.approx(-0.5) and found[f"{end}, k = 3"] == pytest.approx(-1)


def test_only_steps_that_every_training_has_are_compared() -> None:
    own = [trained(plan.FULL, seed, 1.0, step=-0.5) for seed in range(2)]
    del own[0].shifted[2]  # type: ignore[attr-defined]
    assert effects.steps(own, "shifted").keys() == {"published, k = 3"}
    assert effects.steps([], "test") == {}


def test_claims_are_judged_by_their_measures_direction() -> None:
    others = [
        trained(name, seed, -1.0 + 0.1 * seed)
        for name in LABELS.keys() - plan.CELLS.keys()
        for seed in range(3)
    ]
    page = claims.page([*cohort(), *others])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()[2:]]
    verdicts = {(row[0], row[2]): row[-1] for row in rows}
    assert verdicts["DMD2 strengthens target alignment", "patch distance"] == "refuted"
    assert verdicts["ASP preserves structure", "MS-SSIM"] == "a tie"
    assert verdicts["multi-step refinement aligns gradually", "patch distance"] == "supported"
    assert verdicts["best realism and fidelity of ten systems", "patch distance"] == "refuted"


def test_validation_predicts_the_test_split_here_and_deviations_are_their_definitions() -> None:
    groups = variation.validation_and_test(cohort(), "psnr")
    assert variation.correlation(groups) == pytest.approx((1, 1, 1))
    found = variation.deviations(cohort(), "psnr")
    assert found["seed"][0] == pytest.approx(0.1)
    means = [0, 4, 1, 7, 0, 4, 1, 7]
    assert found["configuration"][0] == pytest.approx((np.var(means, ddof=1) - 0.01 / 3) ** 0.5)
    expected = (np.var(NOISE) * SUBJECTS / (SUBJECTS - 1)) ** 0.5
    assert found["16 subjects"][0] == pytest.approx(expected)


def test_studies_are_kept_beside_their_page_which_shows_what_rungs_tell(tmp_path: Path) -> None:
    pages.write_search(tmp_path)
    assert "Difference" not in (tmp_path / "search.md").read_text()
    rungs = {m: [[1.0, 3.0], [2.0, 5.0]] for m in searches.OBJECTIVES}
    studies = {i: searches.Compared(10.0 + i, 9.0 + i / 2, rungs) for i in (1, 0)}
    for i, each in studies.items():
        kept.keep(tmp_path / pages.SEARCH, str(i), asdict(each))
    pages.write_search(tmp_path)
    text = (tmp_path / "search.md").read_text()
    assert "| 1 | 11.00 | 9.500 |" in text and "Difference: +13.51%" in text
    assert "| PSNR (dB) | 1.000 [1.000, 1.000] |" in text
    assert variation.rung_and_end([*studies.values()], "psnr") == [[(1, 3)], [(2, 5)]] * 2


def test_tuned_systems_are_kept_with_what_they_add_to_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "scores_of", lambda _: dict.fromkeys(effects.METRICS, score(1.0)))
    monkeypatch.setattr(summaries.weights, "verify", Path)
    for name, value in (("cut", 3.0), ("unsb", 1.5)):
        own = [trained(name, seed, value + 0.1 * seed) for seed in range(3)]
        kept.keep(tmp_path / pages.TUNED, name, summaries.tuned(own, tmp_path))
    pages.write_tuned(tmp_path)
    text = (tmp_path / "tuned.md").read_text()
    assert (
        text.count("| cut | **+2.1 ") == 2 == text.count("| unsb | +0.6 [") + text.count("| unsb | **+0.6 [")
    )


def test_the_difference_of_searches_is_welchs() -> None:
    from scipy.stats import ttest_ind

    a, b = [5.0, 6.0, 7.5, 6.5, 7.0], [4.0, 4.5, 5.5, 4.2, 5.0]
    mean, low, high = searches.difference(a, b)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval()
    scale = float(np.mean(b))
    assert (low * scale, high * scale) == pytest.approx((expected.low, expected.high))
    assert mean * scale == pytest.approx(np.mean(a) - np.mean(b))


def test_spaces_are_of_the_unused_phantom_and_restore_where_their_names_say_so(tmp_path: Path) -> None:
    paths = plan.systems(tmp_path)
    assert len(paths) == 17 and plan.CELLS.keys() <= {path.stem for path in paths}
    for path in [*paths, plan.search(tmp_path, 3)]:
        study = load_study(path, profile=plan.PROFILE)
        assert study.cohort.config.seed == plan.PHANTOM
        first = study.point(study.start[0] if study.start else {})
        assert first.restores == (path.stem.endswith(plan.RESTORED) or path.stem == "search-3")
    assert study.budget.trials == plan.TRIALS and study.seed == 3
    assert first.seed >= plan.FIRST_SEED and len(study.start) == 1
    reseeded = [load_study(plan.start_point(tmp_path, i), profile=plan.PROFILE) for i in (0, 3)]
    points = [each.point(each.start[0]) for each in reseeded]
    assert (
        points[1] == replace(points[0], seed=3 * plan.TRIALS) == replace(first, rungs=1, seed=3 * plan.TRIALS)
    )


def test_every_system_is_searched_as_shipped_and_trained_by_what_was_found(tmp_path: Path) -> None:
    for name in LABELS:
        study = load_study(plan.tuning(tmp_path, name), profile=plan.PROFILE)
        shipped = load_study(FOLDER / f"{name}.yaml", profile=plan.PROFILE)
        assert (study.search, study.start) == (shipped.search, shipped.start)
        assert study.budget.trials == plan.TRIALS and study.point({}).seed == plan.TUNING_SEED
        assert study.cohort.config.seed == plan.PHANTOM
        found = dict(study.start[-1]) | {study.search[0].name: extremes(study.search[0])[1]}
        tuned = load_study(plan.tuned(tmp_path, name, found), profile=plan.PROFILE)
        assert tuned.start == (found,) and tuned.point(found).seed == 0


def test_a_page_names_its_command_and_marks_what_excludes_zero(tmp_path: Path) -> None:
    pages._write(tmp_path / "page.md", "Title", "systems", pages._ablation(cohort()))
    text = (tmp_path / "page.md").read_text()
    assert 'make evidence ARGS="--only systems"' in text
    (row,) = [line for line in text.split("## shifted")[0].splitlines() if line.startswith("| restoration")]
    assert row.count("**+5 ") == len(effects.METRICS)


def test_a_fields_effect_is_from_its_low_end_to_its_high_one_and_counted_in_seeds(tmp_path: Path) -> None:
    spaces = plan.fields(tmp_path)
    assert {"lambda_restore", "restore_detail", "refinement_steps", "tau_m"} <= spaces.keys()
    for name, ends in spaces.items():
        low, high = (load_study(path, profile=plan.PROFILE) for path in ends)
        (dimension,) = [each for each in low.search if each.name == name]
        bottom, top = extremes(dimension)
        values = [study.start[0][name] for study in (low, high)]
        assert bottom <= values[0] < values[1] <= top
        assert values == [bottom, top] or name in ("tau_m", "T_m", "t_b")
        assert {k: v for k, v in low.start[0].items() if k != name}.items() <= high.start[0].items()
    both = [
        trained(f"tau_m_{end}", seed, value + 0.1 * seed)
        for end, value in (("low", 1), ("high", 3))
        for seed in range(3)
    ]
    kept.keep(tmp_path / pages.FIELDS, "tau_m", summaries.field(both, "tau_m"))
    pages.write_fields(tmp_path)
    row = (tmp_path / "fields.md").read_text().splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["tau_m", "+20.0", "+20.0", "+20.0"]


def test_a_brain_is_found_inside_a_dark_skull_and_bright_fat() -> None:
    y, x = np.mgrid[-100:100, -90:90]
    radius = np.hypot(y / 1.2, x)[..., None]
    t1 = np.select([radius < 55, radius < 62, radius < 70], [400.0, 20.0, 900.0], 5.0)
    t2 = np.select([radius < 52, radius < 55, radius < 62, radius < 70], [400.0, 900.0, 20.0, 300.0], 5.0)
    t1[60:70, 90:100], t2[60:70, 90:100] = 900.0, 950.0  # an enhancing lesion is brain
    found, true = patients.brain(t1, t2), radius < 55
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.97
    assert found[60:70, 90:100].all()


def test_a_patients_scores_are_perfect_for_the_3_t_itself() -> None:
    truth = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    truth[:, 2] = truth[:, :2].mean(1)
    mask = torch.zeros(2, 96, 96, dtype=torch.bool)
    mask[:, 16:80, 16:80] = True
    patient = patients.Patient("p", truth, truth, mask, 2.0)
    found = patients.scores(patient, truth)
    assert (
        found["ms_ssim"] == pytest.approx(1)
        and found["edges_missed"] == 0 == found["edges_unsupported_by_3t"]
    )
    shifted = patients.scores(patient, truth + 0.2)
    inside = (torch.stack((truth[:, 0], truth[:, 1]), 1) + 0.2).clamp(-1, 1) - truth[:, :2]
    errors = (inside / 2).square()[..., 16:80, 16:80].mean((2, 3))
    assert shifted["psnr"] == pytest.approx(float((-10 * errors.log10()).mean()), rel=1e-5)


def test_an_unknown_system_is_refused_by_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.evidence", "--only", "systems", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--systems", "pix2pix"], capture_output=True, text=True)
    assert done.returncode and "--systems: pix2pix: not known; allowed: cyclegan, " in done.stderr
