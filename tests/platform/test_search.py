"""The search command up to where Ray would start: what it refuses, what it prints, what it freezes."""

import json
from dataclasses import replace
from pathlib import Path
from platform import cli, search
from platform.cli import console
from platform.orchestration import cost_estimate
from platform.pareto.front import Bound
from platform.spaces.loader import load_study
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import freeze, load_saved
from platform.study.criteria import Criteria
from platform.study.settings import Constraint, Objective
from platform.study.study import Study
from types import SimpleNamespace
from typing import Any

import pytest

from trainers.errors import InputError


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The searches that would have been run."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(search, "search", lambda *arguments: found.append(arguments))
    return found


def begin(study: Study, root: Path) -> Path:
    folder = Storage.open(root).study(study.name)
    folder.mkdir(parents=True)
    freeze(
        folder,
        study,
        Criteria({"fid": 0.1 + 0.2}),
        tracking="sqlite:////somewhere.db",
        cohort="a hash",
        slots=2,
    )
    return folder


BASELINE = {"fid": 2.0, "ms_ssim": 0.8, "psnr": 20.25}


def cohort_of(pairs: int) -> Any:
    """As much of a cohort as tells whether its validation subjects were scanned at 3 T too."""
    return SimpleNamespace(split=lambda name: SimpleNamespace(mask=lambda domain: [0] * pairs))


FACTS = {"tracking": "sqlite:////somewhere.db", "cohort": "a hash", "slots": 3}


def test_a_study_begins_with_its_terms_in_numbers(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, constraints=(Constraint("psnr", "min", "input"), Constraint("fid", "max", 1.0)))
    storage = Storage.open(tmp_path)
    storage.study("smoke").mkdir(parents=True)
    assert search.begin(study, storage, BASELINE, FACTS) == study
    found, saved = load_saved(storage.study("smoke"))
    assert found == study and {key: saved[key] for key in FACTS} == FACTS
    criteria = Criteria.from_plain(saved)
    assert criteria.bounds == (Bound("psnr", "min", 20.25), Bound("fid", "max", 1.0))
    assert criteria.reference_point == pytest.approx({"fid": 3.0, "ms_ssim": 0.7, "psnr": 17.25})
    assert (criteria.known, criteria.extended_at) == ((), 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objectives": (Objective("psnr", "maximize"),)}, "objectives: psnr needs paired"),
        ({"constraints": (Constraint("ms_ssim", "min", 0.5),)}, "constraints: ms_ssim needs paired"),
    ],
)
@pytest.mark.parametrize(("split", "named"), [("val", "validation"), ("test", "test")])
def test_what_the_cohort_cannot_measure_is_refused_before_anything_is_frozen(
    smoke: Study, split: str, named: str, changes: Any, told: str
) -> None:
    study = replace(smoke, **{"objectives": (Objective("fid", "minimize"),)} | changes)
    with pytest.raises(InputError) as refused:
        cost_estimate.require_measurable(study, cohort_of(pairs=0), split, study.metrics)
    assert f"{told} {named} subjects" in str(refused.value)
    assert "allowed: fid, kid, piqe, rad_fid, seconds" in str(refused.value)
    cost_estimate.require_measurable(study, cohort_of(pairs=3), split, study.metrics)
    cost_estimate.require_measurable(study, cohort_of(pairs=0), split, {"fid": "objectives"})
    alone = replace(smoke, objectives=(Objective("psnr_t1", "maximize"),), references={"channels": "t2"})
    with pytest.raises(
        InputError, match="objectives: psnr_t1 is of a contrast that references: channels: t2"
    ):
        cost_estimate.require_measurable(alone, cohort_of(pairs=3), split, alone.metrics)


def test_bounds_that_exclude_each_other_on_the_cohort_are_refused_before_anything_is_frozen(
    smoke: Study, tmp_path: Path
) -> None:
    both = (Constraint("psnr", "min", "input"), Constraint("psnr", "max", 10.0))
    told = r"constraints: psnr: min 20.25, max 10 on this cohort; allowed: min at most max"
    with pytest.raises(InputError, match=told):
        search.begin(replace(smoke, constraints=both), Storage.open(tmp_path), BASELINE, FACTS)
    assert not (tmp_path / "studies/smoke/study.json").exists()
    search.require_possible(smoke, (Bound("psnr", "min", 20.25), Bound("psnr", "max", 20.25)))


def test_a_resumed_study_goes_on_as_it_was_begun(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]
) -> None:
    begin(smoke, tmp_path)
    search.main(["--resume", "smoke", "--storage", str(tmp_path)])
    wish = {"confirm": None, "seeds": None}
    assert ran == [(smoke, Storage.open(tmp_path), "sqlite:////somewhere.db", None, wish)]


def test_an_empty_name_is_no_study(tmp_path: Path) -> None:
    """As of a shell variable that is not set."""
    with pytest.raises(InputError, match=r"study: '' is not in .*; allowed: none yet"):
        search.main(["--resume", "", "--storage", str(tmp_path)])
    for name in ("", "a" * 300):
        with pytest.raises(InputError, match="--space: no file"):
            search.main(["--space", name, "--storage", str(tmp_path)])


def test_how_to_go_on_is_a_command_with_what_was_given() -> None:
    given = {"resume": "a", "storage": Path("my runs"), "address": None, "confirm": 5}
    assert cli.options(given) == "--resume a --storage 'my runs' --confirm 5"


def test_an_extended_study_runs_with_more(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(smoke, tmp_path)
    monkeypatch.setattr(search.cost_estimate, "estimated_seconds", lambda *arguments: 3600.0)
    words = ["--resume", "smoke", "--storage", str(tmp_path), "--extend", "trials=20"]
    search.main([*words, "--dry-run"])
    assert ran == []
    search.main(words)
    assert [study.budget.trials for study, *_ in ran] == [smoke.budget.trials + 20]


def test_an_extension_is_kept_by_the_driver_that_has_the_study(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another that came while it ran must not change its budget; the next adds to what there is."""
    folder = begin(smoke, tmp_path)
    monkeypatch.setattr(search.store, "prepare", lambda *arguments: "0")
    longer = replace(smoke, budget=replace(smoke.budget, trials=24))
    ledger = Ledger(folder)
    for number in range(2):
        ledger.proposed(number, {})
        ledger.ended(number, "completed")
    with pytest.raises(InputError, match="another process works on it"):
        search.search(longer, Storage.open(tmp_path), f"sqlite:///{tmp_path / 'm.db'}", None, {})
    assert load_saved(folder)[0] == smoke
    assert search.begun_as(folder, smoke, ledger)["extended_at"] == 0
    begun = search.begun_as(folder, longer, ledger)
    assert (begun["extended_at"], begun["cohort"]) == (2, "a hash")
    assert load_saved(folder)[0] == longer
    ledger.ended(1, "completed")
    ledger.proposed(2, {})
    ledger.ended(2, "completed")
    assert search.begun_as(folder, longer, ledger)["extended_at"] == 2, "a resumption is no extension"
    ledger.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--extend", "trails=2"], "'trails=2' is not allowed; allowed: trials=N"),
        (["--extend", "trials=none"], "allowed: trials= a whole number above 0"),
        (["--extend", "hours=2"], "hours has no limit in this study; allowed: trials"),
        (["--extend", "trials=1", "trials=2"], "trials is there twice"),
        (["--extend", "trials=1", "--extend", "trials=2"], "trials is there twice"),
        (["--extend", "trials=99999999"], "trials: 10000"),
    ],
)
def test_an_extension_that_means_nothing_is_refused_in_one_line(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]], words: list[str], told: str
) -> None:
    folder = begin(smoke, tmp_path)
    before = (folder / "study.json").read_bytes()
    with pytest.raises(InputError) as refused:
        search.main(["--resume", "smoke", "--storage", str(tmp_path), *words])
    assert str(refused.value).startswith("--extend: ") and told in str(refused.value)
    assert "\n" not in str(refused.value) and ran == []
    assert (folder / "study.json").read_bytes() == before


def test_a_new_study_has_nothing_to_extend(smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InputError, match="--extend: there is nothing to extend; allowed: with --resume NAME"):
        search.main(["--space", smoke.path, "--storage", str(tmp_path), "--extend", "trials=2"])
    assert ran == []


def test_an_earlier_study_that_is_not_there_is_told_at_once(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]
) -> None:
    space = tmp_path / "warm.yaml"
    text = (
        Path(smoke.path)
        .read_text()
        .replace("start_from: [{refinement_steps: 2}]", "start_from: {study: nobody}")
    )
    space.write_text(text)
    begin(smoke, tmp_path / "runs")
    with pytest.raises(
        InputError, match=r"warm.yaml: start_from: study: 'nobody' is not in .*; allowed: smoke"
    ):
        search.main(["--space", str(space), "--storage", str(tmp_path / "runs")])
    assert ran == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trials", "2000000"], r"--trials: 2000000 is not allowed; allowed: .*\[1, 1e\+06\]"),
        (["--trials", "0"], "--trials: 0 is not allowed"),
        (["--seeds", "5"], "--seeds: 5 has no meaning here; allowed: with --confirm"),
        (["--confirm", "--seeds", "0"], "--seeds: 0 is not allowed; allowed: 1 or more"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]], words: list[str], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        search.main(["--space", smoke.path, "--storage", str(tmp_path / "runs"), *words])
    assert ran == [] and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("field", ["seed", "rungs"])
def test_fields_that_a_search_wins_nothing_by_are_not_searched(smoke: Study, field: str) -> None:
    path = Path(smoke.path)
    text = (
        path.read_text()
        .replace("rungs: 2, ", "")
        .replace("tau_m: {uniform: [0.03, 0.2]}", f"{field}: {{int: [1, 3]}}")
    )
    path.write_text(text)
    with pytest.raises(InputError, match=f"search.{field}: is not searched, as .*; allowed: under fixed"):
        load_study(path)


@pytest.mark.parametrize("option", [("--trials", "9"), ("--name", "other"), ("--profile", "laptop")])
def test_what_would_change_a_resumed_study_is_refused(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]], option: tuple[str, str]
) -> None:
    begin(smoke, tmp_path)
    with pytest.raises(InputError, match=f"{option[0]}: .* is not allowed with --resume; allowed: "):
        search.main(["--resume", "smoke", "--storage", str(tmp_path), *option])
    assert ran == []


def test_a_begun_study_is_not_begun_again(smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    begin(smoke, tmp_path)
    words = ["--space", smoke.path, "--storage", str(tmp_path)]
    with pytest.raises(InputError, match=r"--name: study 'smoke' is in .* already; allowed: --resume smoke"):
        search.main(words)
    search.main([*words, "--name", "second", "--trials", "2"])
    ((study, *_),) = ran
    assert (study.name, study.budget.trials) == ("second", 2)


@pytest.mark.parametrize("what", ["--space", "--resume"])
def test_a_dry_run_prints_the_study_and_its_cost_and_runs_nothing(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]], what: str
) -> None:
    root = tmp_path / "runs"
    if what == "--resume":
        begin(smoke, root)
    named = {"--space": smoke.path, "--resume": "smoke"}[what]
    with console.capture() as captured:
        search.main([what, named, "--storage", str(root), "--dry-run"])
    assert "estimated cost: about" in captured.get() and "lambda_DMD" in captured.get()
    assert ran == [] and root.exists() == (what == "--resume")


def test_a_dry_run_knows_that_the_earlier_study_is_not_there(smoke: Study, tmp_path: Path) -> None:
    space, root = tmp_path / "warm.yaml", tmp_path / "runs"
    space.write_text(f"extends: {smoke.path}\nstart_from: {{study: nowhere}}\n")
    with pytest.raises(InputError, match=r"start_from: study: 'nowhere' is not in .*; allowed: none yet"):
        search.main(["--space", str(space), "--storage", str(root), "--dry-run"])
    assert not root.exists()


def test_a_resumed_study_must_fit_the_machine_too(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]
) -> None:
    path = begin(smoke, tmp_path) / "study.json"
    saved = json.loads(path.read_text())
    plain = json.loads(saved["study"])
    plain["resources"]["cpus"] = 1024
    path.write_text(json.dumps(saved | {"study": json.dumps(plain)}))
    with pytest.raises(InputError, match="resources: cpus: 1024 is more than there are"):
        search.main(["--resume", "smoke", "--storage", str(tmp_path)])
    search.main(["--resume", "smoke", "--storage", str(tmp_path), "--address", "ray://head:10001"])
    assert len(ran) == 1
