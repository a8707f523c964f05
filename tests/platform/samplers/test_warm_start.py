"""Starting from an earlier study: which trials are known, which points are tried first, and the messages."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform import search
from platform.orchestration import run
from platform.pareto.observations import earlier_observations
from platform.reporting.console import console
from platform.samplers import warm_start
from platform.samplers.suggester import Suggester
from platform.samplers.warm_start import WarmStart
from platform.spaces.loader import load_study
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import FILE, SavedStudy, StartFacts, save_new
from platform.storage.trials import TrialStatus
from platform.study.criteria import Bound, Criteria
from platform.study.dimensions import Choice, Int, Log, Uniform
from platform.study.observation import Observation
from platform.study.settings import Constraint, Objective
from platform.study.study import Study
from typing import Any

import pytest

from trainers.errors import InputError
from trainers.references.config import ReferenceConfig
from trainers.report import Report
from trainers.seal import sealed

REFERENCE = {"fid": 10.0, "ms_ssim": 0.0, "psnr": 10.0}
PARAMS = [
    {"lambda_DMD": 0.1, "tau_m": 0.08, "refinement_steps": 1},  # on the front by FID
    {"lambda_DMD": 1.0, "tau_m": 0.10, "refinement_steps": 2},  # on the front by MS-SSIM
    {"lambda_DMD": 3.0, "tau_m": 0.15, "refinement_steps": 3},  # dominated by both
]
SCORES = [(1.0, 0.5, 15.0), (3.0, 0.8, 15.0), (5.0, 0.4, 14.0)]
COHORT = "a hash"

Earlier = Callable[..., Path]


@pytest.fixture
def earlier(smoke: Study, tmp_path: Path) -> Earlier:
    """``earlier(seed=3)``: the folder of a study of three completed trials and others."""

    def make(bounds: tuple[Bound, ...] = (), **changes: Any) -> Path:
        study = replace(smoke, name="first", **changes)
        folder = Storage.open(tmp_path / "runs").study("first")
        ledger = Ledger(folder)
        save_new(folder, study, Criteria(REFERENCE, bounds), StartFacts("sqlite:////db", COHORT, 1))
        for number, (params, row) in enumerate(zip(PARAMS, SCORES, strict=True)):
            ledger.proposed(number, {k: v for k, v in params.items() if k not in study.fixed})
            scores = {1: dict(zip(REFERENCE, row, strict=True))}
            ledger.reported(number, Report(6, 6, scores, {}, 1.0, ""))
            ledger.ended(number, "completed")
        others: list[TrialStatus] = ["failed", "diverged", "open"]
        for number, status in enumerate(others, len(PARAMS)):
            ledger.proposed(number, PARAMS[0])
            if status != "open":
                ledger.ended(number, status)
        ledger.close()
        return folder

    return make


def params_of(found: WarmStart) -> list[Any]:
    return [trial.params for trial in found.known]


def test_completed_trials_of_a_comparable_study_are_known(earlier: Earlier, smoke: Study) -> None:
    """Seed, rungs and budget change no result, nor do references that name a default, nor more metrics."""
    fixed = {**smoke.fixed, "rungs": 1, "seed": 7}
    references = {**smoke.references, "encoder_steps": ReferenceConfig().encoder_steps}
    study = replace(smoke, budget=replace(smoke.budget, trials=9), objectives=smoke.objectives[:2])
    found = warm_start.read(earlier(fixed=fixed, references=references), study, COHORT)
    assert params_of(found) == PARAMS and found.points == ()
    assert [trial.scores[1]["fid"] for trial in found.known] == [1.0, 3.0, 5.0]
    assert found.messages == ["warm start: 3 of 3 finished trials of 'first' are known"]


@pytest.mark.parametrize(
    ("changes", "cohort", "reason"),
    [
        ({}, "another hash", "another cohort"),
        ({"references": {"encoder_steps": 5}}, COHORT, "other references"),
        ({"fixed": {"steps": 12, "latent": 16}}, COHORT, "steps 6 there, 12 here, latent 8 there, 16 here"),
        ({"objectives": (Objective("kid", "minimize"),)}, COHORT, "kid not measured there"),
        ({"constraints": (Constraint("piqe", "max", 50.0),)}, COHORT, "piqe not measured there"),
    ],
)
def test_where_scores_cannot_be_compared_the_front_is_tried_first(
    earlier: Earlier, smoke: Study, changes: dict[str, Any], cohort: str, reason: str
) -> None:
    nested = {k: {**getattr(smoke, k), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    found = warm_start.read(earlier(), replace(smoke, **nested), cohort)
    assert found.known == () and list(found.points) == PARAMS[:2]
    assert found.messages == [
        "warm start: 0 of 3 finished trials of 'first' are known",
        f"warm start: 3 not: {reason}",
        "warm start: 2 points of its front are tried first instead",
    ]


def test_scores_of_another_version_of_the_measures_are_not_known(earlier: Earlier, smoke: Study) -> None:
    folder = earlier()
    values = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(sealed({**values, "measures": 1})))
    found = warm_start.read(folder, smoke, COHORT)
    assert not found.known and list(found.points) == PARAMS[:2]
    assert "3 not: scored by version 1 of the measures, here by version" in found.messages[1]


def test_a_field_fixed_there_and_searched_here_is_known(earlier: Earlier, smoke: Study) -> None:
    found = warm_start.read(earlier(), replace(smoke, search=(*smoke.search, Log("lr", 1e-5, 1.0))), COHORT)
    assert params_of(found) == [{**params, "lr": smoke.point({}).lr} for params in PARAMS]


def test_a_field_searched_there_and_fixed_here_is_known_where_it_agrees(
    earlier: Earlier, smoke: Study
) -> None:
    dimensions = tuple(dimension for dimension in smoke.search if dimension.name != "refinement_steps")
    study = replace(smoke, search=dimensions, fixed={**smoke.fixed, "refinement_steps": 2})
    found = warm_start.read(earlier(), study, COHORT)
    assert [params["lambda_DMD"] for params in params_of(found)] == [1.0]
    assert sorted(found.messages[1:3]) == [
        "warm start: 1 not: refinement_steps 1 there, 2 here",
        "warm start: 1 not: refinement_steps 3 there, 2 here",
    ]
    assert list(found.points) == [{"lambda_DMD": 0.1, "tau_m": 0.08}]


def test_values_outside_a_domain_are_neither_known_nor_tried(earlier: Earlier, smoke: Study) -> None:
    narrow = (Log("lambda_DMD", 0.5, 4.0), Uniform("tau_m", 0.03, 0.2), Int("refinement_steps", 1, 2))
    found = warm_start.read(earlier(), replace(smoke, search=narrow), COHORT)
    assert params_of(found) == [PARAMS[1]] and found.points == ()
    assert found.messages[1:] == [
        "warm start: 1 not: lambda_DMD is outside [0.5, 4.0]",
        "warm start: 1 not: refinement_steps is outside [1, 2]",
    ]


def test_trials_of_another_method_are_neither(earlier: Earlier, smoke: Study) -> None:
    config = load_study(Path("search_spaces/cut.yaml")).config
    study = replace(smoke, methods=("cut",), configs=(config,), search=(Log("lambda_NCE", 0.5, 4.0),))
    found = warm_start.read(earlier(), study, COHORT)
    assert found.known == () and found.points == ()
    assert found.messages[1:] == ["warm start: 3 not: method unsb is not searched here"]
    search_both = (Choice("method", ("cut", "unsb")), *smoke.search)
    both = replace(smoke, methods=("cut", "unsb"), configs=(config, smoke.config), search=search_both)
    found = warm_start.read(earlier(), both, COHORT)
    assert params_of(found) == [{"method": "unsb", **params} for params in PARAMS], "one of several methods"


def test_a_study_without_completed_trials_gives_nothing(earlier: Earlier, smoke: Study) -> None:
    folder = earlier()
    (folder / "ledger.jsonl").write_text("")
    message = "warm start: 0 of 0 finished trials of 'first' are known"
    assert warm_start.read(folder, smoke, COHORT) == WarmStart(messages=[message])


def test_only_feasible_trials_are_on_the_earlier_front(earlier: Earlier, smoke: Study) -> None:
    folder = earlier(bounds=(Bound("ms_ssim", "min", 0.7),))
    assert list(warm_start.read(folder, smoke, "another hash").points) == [PARAMS[1]]


def test_points_come_after_the_studys_own_once_and_unless_they_are_known(
    earlier: Earlier, smoke: Study
) -> None:
    own, fresh = smoke.start[0], {**PARAMS[0], "lambda_DMD": 0.3}
    points = WarmStart(points=(PARAMS[0], own, PARAMS[1]))
    assert warm_start.apply(smoke, points).start == (own, PARAMS[0], PARAMS[1])
    study = replace(smoke, start=(PARAMS[1], fresh))
    known, other = (warm_start.read(earlier(), study, cohort) for cohort in (COHORT, "another hash"))
    assert warm_start.apply(study, known).start == (fresh,)
    assert known.messages[-1] == "warm start: not tried again, as known: 1 of 2 start points"
    assert warm_start.apply(study, other).start == (PARAMS[1], fresh, PARAMS[0])


# A study that starts from an earlier one


def started(study: Study, root: Path, cohort: str) -> tuple[SavedStudy, str]:
    """The study as it starts, and what was printed."""
    storage, baseline = Storage.open(root), {"fid": 2.0, "ms_ssim": 0.8, "psnr": 20.0}
    storage.study("second").mkdir(parents=True)
    second = replace(study, name="second", warm="first")
    with console.capture() as printed:
        saved = run.save_started(second, storage, baseline, StartFacts("sqlite:////db", cohort, 1))
    return saved, printed.get()


def test_known_trials_are_saved_and_inform_the_sampler(
    earlier: Earlier, smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, the study does not read the earlier one again."""
    folder = earlier()
    saved, printed = started(smoke, tmp_path / "runs", COHORT)
    study = saved.study
    assert "3 of 3 finished trials of 'first' are known" in printed
    assert len(saved.criteria.known) == 3 and study.start == smoke.start
    observed = earlier_observations(saved.criteria, study.objectives)
    assert [o.rungs[0].values for o in observed] == [(f, -s, -p) for f, s, p in SCORES]
    reference, first = [3.0, -0.7, -17.0], {0: Observation(smoke.start[0], "running")}
    informed, fresh = (
        Suggester(replace(study, sampler="gp"), reference, known).propose(first) for known in (observed, ())
    )
    assert informed and fresh and informed.params != fresh.params
    for path in (folder / "study.json", folder / "ledger.jsonl"):
        path.unlink()
    ran: list[Study] = []
    monkeypatch.setattr(run, "run_search", lambda found, *rest: ran.append(found))
    search.main(["--resume", "second", "--storage", str(tmp_path / "runs")])
    assert ran == [study]
    ledger = Ledger(saved.folder)
    assert run.started_before(saved.folder, study, ledger) == saved
    ledger.close()


def test_points_of_a_front_are_saved_as_start_points(earlier: Earlier, smoke: Study, tmp_path: Path) -> None:
    earlier()
    saved, printed = started(smoke, tmp_path / "runs", "another hash")
    assert saved.criteria.known == () and saved.study.start == (*smoke.start, *PARAMS[:2])
    assert "3 not: another cohort" in printed and "2 points of its front are tried first" in printed


def test_a_missing_earlier_study_is_an_error(smoke: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'first' is not in .*; allowed: none yet"):
        started(smoke, tmp_path / "runs", COHORT)
