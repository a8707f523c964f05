"""Starting from an earlier study: what is known of it, what is tried first, what is told to be neither."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform import search
from platform.cli import console
from platform.pareto.front import Bound
from platform.samplers import warm_start
from platform.samplers.suggester import Sampler
from platform.samplers.warm_start import Warm
from platform.spaces.loader import load_study
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import freeze, load_saved
from platform.study.criteria import Criteria
from platform.study.dimensions import Choice, Int, Log, Uniform
from platform.study.observation import Observation
from platform.study.settings import Constraint, Objective
from platform.study.study import Study
from typing import Any

import pytest

from trainers.errors import InputError

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

    def make(scores: Any = SCORES, **changes: Any) -> Path:
        study = replace(smoke, name="first", **changes)
        folder = Storage.open(tmp_path / "runs").study("first")
        ledger = Ledger(folder)
        freeze(folder, study, Criteria(REFERENCE), tracking="sqlite:////db", cohort=COHORT, slots=1)
        for number, (params, row) in enumerate(zip(PARAMS, scores, strict=True)):
            ledger.proposed(number, {k: v for k, v in params.items() if k not in study.fixed})
            named = dict(zip(("fid", "ms_ssim", "psnr"), row, strict=False))
            ledger.reported(number, {"step": 6, "steps": 6, "scores": {"1": named}, "checkpoint": ""})
            ledger.ended(number, "completed")
        for number, status in ((3, "failed"), (4, "diverged"), (5, "")):
            ledger.proposed(number, PARAMS[0])
            if status:
                ledger.ended(number, status)  # type: ignore[arg-type]
        ledger.close()
        return folder

    return make


def test_finished_trials_of_the_same_terms_are_known(earlier: Earlier, smoke: Study) -> None:
    found = warm_start.read(earlier(), smoke, COHORT)
    assert [each["params"] for each in found.known] == PARAMS and found.points == ()
    assert [each["scores"]["1"]["fid"] for each in found.known] == [1.0, 3.0, 5.0]
    assert found.told == ["warm start: 3 of 3 finished trials of 'first' are known"]


def test_a_seed_and_rungs_change_no_result(earlier: Earlier, smoke: Study) -> None:
    fixed = {**smoke.fixed, "rungs": 1, "seed": 7}
    found = warm_start.read(
        earlier(fixed=fixed), replace(smoke, budget=replace(smoke.budget, trials=9)), COHORT
    )
    assert len(found.known) == 3


@pytest.mark.parametrize("what", ["cohort", "references"])
def test_of_another_cohort_the_front_is_tried_first(earlier: Earlier, smoke: Study, what: str) -> None:
    folder = earlier(references={**smoke.references, "encoder_steps": 5} if what == "references" else {})
    study = replace(smoke, references={}) if what == "cohort" else smoke
    found = warm_start.read(folder, study, "another hash" if what == "cohort" else COHORT)
    assert found.known == () and list(found.points) == PARAMS[:2]
    assert found.told == [
        "warm start: 0 of 3 finished trials of 'first' are known",
        f"warm start: 3 not: {'another cohort' if what == 'cohort' else 'other references'}",
        "warm start: 2 points of its front are tried first instead",
    ]


def test_references_that_only_name_a_default_are_the_same(earlier: Earlier, smoke: Study) -> None:
    from trainers.references.config import ReferenceConfig

    named = {**smoke.references, "encoder_steps": ReferenceConfig().encoder_steps}
    assert len(warm_start.read(earlier(references=named), smoke, COHORT).known) == 3


def test_other_fixed_values_are_told_with_both(earlier: Earlier, smoke: Study) -> None:
    study = replace(smoke, fixed={**smoke.fixed, "steps": 12, "latent": 16})
    found = warm_start.read(earlier(), study, COHORT)
    assert found.known == () and list(found.points) == PARAMS[:2]
    assert found.told[1] == "warm start: 3 not: steps 6 there, 12 here, latent 8 there, 16 here"


def test_what_is_held_there_and_searched_here_is_known(earlier: Earlier, smoke: Study) -> None:
    found = warm_start.read(earlier(), replace(smoke, search=(*smoke.search, Log("lr", 1e-5, 1.0))), COHORT)
    default = smoke.point({}).lr
    assert [each["params"] for each in found.known] == [{**params, "lr": default} for params in PARAMS]


def test_what_is_searched_there_and_held_here_is_known_where_it_agrees(
    earlier: Earlier, smoke: Study
) -> None:
    search_ = tuple(dimension for dimension in smoke.search if dimension.name != "refinement_steps")
    study = replace(smoke, search=search_, fixed={**smoke.fixed, "refinement_steps": 2})
    found = warm_start.read(earlier(), study, COHORT)
    assert [each["params"]["lambda_DMD"] for each in found.known] == [1.0]
    assert sorted(found.told[1:3]) == [
        "warm start: 1 not: refinement_steps 1 there, 2 here",
        "warm start: 1 not: refinement_steps 3 there, 2 here",
    ]
    assert list(found.points) == [{"lambda_DMD": 0.1, "tau_m": 0.08}]


def test_values_outside_a_domain_are_neither_known_nor_tried(earlier: Earlier, smoke: Study) -> None:
    narrow = (Log("lambda_DMD", 0.5, 4.0), Uniform("tau_m", 0.03, 0.2), Int("refinement_steps", 1, 2))
    found = warm_start.read(earlier(), replace(smoke, search=narrow), COHORT)
    assert [each["params"] for each in found.known] == [PARAMS[1]] and found.points == ()
    assert found.told[1:] == [
        "warm start: 1 not: lambda_DMD lies outside [0.5, 4.0]",
        "warm start: 1 not: refinement_steps lies outside [1, 2]",
    ]


def test_trials_that_miss_an_objective_are_told(earlier: Earlier, smoke: Study) -> None:
    objectives = (*smoke.objectives, Objective("kid", "minimize"))
    found = warm_start.read(earlier(), replace(smoke, objectives=objectives), COHORT)
    assert found.known == () and list(found.points) == PARAMS[:2]
    assert found.told[1] == "warm start: 3 not: kid not measured there"
    fewer = warm_start.read(earlier(), replace(smoke, objectives=smoke.objectives[:1]), COHORT)
    assert len(fewer.known) == 3, "what was measured for another end serves too"


def test_trials_that_miss_a_constrained_metric_are_told(earlier: Earlier, smoke: Study) -> None:
    study = replace(smoke, constraints=(Constraint("piqe", "max", 50.0),))
    assert warm_start.read(earlier(), study, COHORT).known == ()


def test_another_method_is_told(earlier: Earlier, smoke: Study, tmp_path: Path) -> None:
    space = tmp_path / "cut.yaml"
    text = Path(smoke.path).read_text().replace("method: unsb", "method: cut")
    lines = [
        line
        for line in text.splitlines()
        if not line.strip().startswith(("lambda_DMD", "tau_m", "refinement"))
    ]
    text = "\n".join(line for line in lines if not line.startswith("start_from")).replace(", latent: 8", "")
    space.write_text(text.replace("search:", "search:\n  lambda_NCE: {log: [0.5, 4]}"))
    found = warm_start.read(earlier(), load_study(space), COHORT)
    assert found.known == () and found.points == ()
    assert found.told[1:] == ["warm start: 3 not: method unsb is not searched here"]


def test_one_of_several_methods_is_known_under_its_name(earlier: Earlier, smoke: Study) -> None:
    search_ = (Choice("method", ("cut", "unsb")), *smoke.search)
    configs = (load_study(Path("search_spaces/cut.yaml")).config, smoke.config)
    study = replace(smoke, methods=("cut", "unsb"), configs=configs, search=search_)
    found = warm_start.read(earlier(), study, COHORT)
    assert [each["params"] for each in found.known] == [{"method": "unsb", **params} for params in PARAMS]


def test_a_study_without_finished_trials_teaches_nothing(earlier: Earlier, smoke: Study) -> None:
    folder = earlier()
    (folder / "ledger.jsonl").write_text("")
    found = warm_start.read(folder, smoke, COHORT)
    assert (found.known, found.points) == ((), ())
    assert found.told == ["warm start: 0 of 0 finished trials of 'first' are known"]


def test_only_what_keeps_its_bounds_is_on_the_earlier_front(earlier: Earlier, smoke: Study) -> None:
    folder = earlier()
    saved = Criteria(REFERENCE, (Bound("ms_ssim", "min", 0.7),))
    (folder / "study.json").unlink()
    freeze(folder, replace(smoke, name="first"), saved, tracking="", cohort=COHORT, slots=1)
    assert list(warm_start.read(folder, smoke, "another hash").points) == [PARAMS[1]]


def test_points_come_after_the_studys_own_and_once(smoke: Study) -> None:
    own = smoke.start[0]
    started = warm_start.started(smoke, Warm(points=(PARAMS[0], own, PARAMS[1])))
    assert started.start == (own, PARAMS[0], PARAMS[1])


def test_a_point_that_is_known_is_not_tried_first(earlier: Earlier, smoke: Study) -> None:
    fresh = {**PARAMS[0], "lambda_DMD": 0.3}
    study = replace(smoke, start=(PARAMS[1], fresh))
    found = warm_start.read(earlier(), study, COHORT)
    assert warm_start.started(study, found).start == (fresh,)
    assert found.told[-1] == "warm start: not tried first again, as known: 1 of 2 points"
    other = warm_start.read(earlier(), study, "another hash")
    assert warm_start.started(study, other).start == (PARAMS[1], fresh, PARAMS[0])


# A study that begins warm

BASELINE = {"fid": 2.0, "ms_ssim": 0.8, "psnr": 20.0}


def begun(study: Study, root: Path, cohort: str) -> tuple[Study, Criteria, str]:
    """The study as it begins, its criteria, and what was printed."""
    storage = Storage.open(root)
    facts = {"tracking": "sqlite:////db", "cohort": cohort, "slots": 1}
    storage.study("second").mkdir(parents=True)
    with console.capture() as printed:
        search.begin(replace(study, name="second", warm="first"), storage, BASELINE, facts)
    found, saved = load_saved(storage.study("second"))
    return found, Criteria.from_plain(saved), printed.get()


def test_known_trials_inform_the_sampler_and_are_told(earlier: Earlier, smoke: Study, tmp_path: Path) -> None:
    earlier()
    study, criteria, printed = begun(smoke, tmp_path / "runs", COHORT)
    assert "3 of 3 finished trials of 'first' are known" in printed
    assert len(criteria.known) == 3 and study.start == smoke.start
    seen = criteria.seen(study.objectives)
    assert [o.rungs[0].values for o in seen] == [(f, -s, -p) for f, s, p in SCORES]
    reference = [3.0, -0.7, -17.0]
    first = {0: Observation(smoke.start[0], "running")}
    informed, fresh = (Sampler(replace(study, sampler="gp"), reference, k).propose(first) for k in (seen, ()))
    assert informed and fresh and informed.params != fresh.params


def test_points_of_a_front_are_frozen_as_start_points(earlier: Earlier, smoke: Study, tmp_path: Path) -> None:
    earlier()
    study, criteria, printed = begun(smoke, tmp_path / "runs", "another hash")
    assert criteria.known == () and study.start == (*smoke.start, *PARAMS[:2])
    assert "3 not: another cohort" in printed and "2 points of its front are tried first" in printed


def test_a_resumed_study_does_not_read_the_earlier_one_again(
    earlier: Earlier, smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = earlier()
    study, criteria, _ = begun(smoke, tmp_path / "runs", COHORT)
    for path in (folder / "study.json", folder / "ledger.jsonl"):
        path.unlink()
    ran: list[Study] = []
    monkeypatch.setattr(search, "search", lambda found, *rest: ran.append(found))
    search.main(["--resume", "second", "--storage", str(tmp_path / "runs")])
    assert ran == [study]
    storage = Storage.open(tmp_path / "runs")
    ledger = Ledger(storage.study("second"))
    assert Criteria.from_plain(search.begun_as(storage.study("second"), study, ledger)) == criteria
    ledger.close()


def test_an_earlier_study_that_is_gone_is_one_clear_error(smoke: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'first' is not in .*; allowed: none yet"):
        begun(smoke, tmp_path / "runs", COHORT)
