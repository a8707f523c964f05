"""The search command until Ray would start: what it refuses, what it prints, what it saves."""

import json
import os
from dataclasses import replace
from pathlib import Path
from platform import search
from platform.orchestration import cost_estimate, run
from platform.pareto.front import Front
from platform.reporting.console import console
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger, read_trials
from platform.storage.saved_study import StartFacts, load_saved, save_new
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Constraint
from platform.study.study import Study
from typing import Any

import pytest

from trainers.errors import InputError
from trainers.seal import sealed

BASELINE = {"fid": 2.0, "ms_ssim": 0.8, "psnr": 20.25}
FACTS = StartFacts(tracking="sqlite:////somewhere.db", cohort="a hash", slots=3)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of the searches that would have run."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(cost_estimate, "step_flops", lambda method, config, references: 1e9)
    monkeypatch.setattr(run, "run_search", lambda *arguments: calls.append(arguments))
    return calls


def start(study: Study, root: Path) -> Path:
    """The folder of a study that was started."""
    folder = Storage.open(root).study(study.name)
    folder.mkdir(parents=True)
    save_new(folder, study, Criteria({"fid": 0.1 + 0.2}), FACTS)
    return folder


def refusal(*words: object) -> str:
    """The one line with which the command refuses its options."""
    with pytest.raises(InputError) as error:
        search.main([str(word) for word in words])
    assert "\n" not in str(error.value)
    return str(error.value)


def edited(study: Study, **changes: str) -> Path:
    """The study's space file with parts of its text replaced, as ``a_part="new"`` for each ``{a_part}``."""
    text = Path(study.path).read_text()
    for old, new in changes.items():
        assert PARTS[old] in text
        text = text.replace(PARTS[old], new)
    Path(study.path).write_text(text)
    return Path(study.path)


PARTS = {
    "start_from": "start_from: [{refinement_steps: 2}]",
    "tau_m": "tau_m: {uniform: [0.03, 0.2]}",
    "rungs": "rungs: 2, ",
    "crop": "batch_size: 2, crop: 32",
}


def test_a_study_is_saved_with_its_criteria_in_numbers(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, constraints=(Constraint("psnr", "min", "input"), Constraint("fid", "max", 1.0)))
    storage = Storage.open(tmp_path)
    storage.study("smoke").mkdir(parents=True)
    assert run.save_started(study, storage, BASELINE, FACTS).study == study
    saved = load_saved(storage.study("smoke"))
    assert saved.study == study and saved.facts == FACTS
    assert saved.criteria.bounds == (Bound("psnr", "min", 20.25), Bound("fid", "max", 1.0))
    reference = Front.of(saved.criteria, study.objectives, []).reference
    assert reference == pytest.approx({"fid": 3.0, "ms_ssim": 0.7, "psnr": 17.25})
    assert (saved.criteria.known, saved.criteria.extended_at) == ((), 0)


def test_bounds_that_exclude_each_other_are_refused_before_anything_is_saved(
    smoke: Study, tmp_path: Path
) -> None:
    both = (Constraint("psnr", "min", "input"), Constraint("psnr", "max", 10.0))
    line = r"constraints: psnr: min 20.25, max 10 on this cohort; allowed: min at most max"
    with pytest.raises(InputError, match=line):
        run.save_started(replace(smoke, constraints=both), Storage.open(tmp_path), BASELINE, FACTS)
    assert not (tmp_path / "studies/smoke/study.json").exists()
    run.require_possible(smoke, (Bound("psnr", "min", 20.25), Bound("psnr", "max", 20.25)))


@pytest.mark.parametrize(
    "words", [[], ["--tracking", "sqlite:////other.db", "--confirm", "5", "--retry", "failed"]]
)
def test_a_study_is_resumed_as_it_was_started(
    smoke: Study, tmp_path: Path, searches: list[Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(smoke, tmp_path)
    confirmations: list[Any] = []
    monkeypatch.setattr(
        "platform.confirmation.run.run_confirmation", lambda *arguments: confirmations.append(arguments)
    )
    search.main(["--resume", "smoke", "--storage", str(tmp_path), *words])
    uri = words[1] if words else FACTS.tracking
    command = f"to resume: python -m platform.search --resume smoke --storage {tmp_path}"
    hint = command + f" --confirm 5 --tracking {uri}" * bool(words)
    assert searches == [(smoke, Storage.open(tmp_path), uri, None, hint, bool(words))]
    if words:
        command = f"to resume: python -m platform.confirm smoke --top 5 --seeds 2 --storage {tmp_path}"
        hint = f"{command} --tracking {uri}"
        assert confirmations == [(Storage.open(tmp_path), "smoke", uri, 5, 2, None, hint)]


def test_an_extended_study_runs_with_more(smoke: Study, tmp_path: Path, searches: list[Any]) -> None:
    start(smoke, tmp_path)
    words = ["--resume", "smoke", "--storage", str(tmp_path), "--extend", "trials=20"]
    search.main([*words, "--dry-run"])
    assert searches == []
    search.main(words)
    assert [study.budget.trials for study, *_ in searches] == [smoke.budget.trials + 20]


def test_an_extension_is_saved_by_the_driver_that_has_the_study(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second driver must not change the budget of a running one; each extension adds to what there is."""
    folder, storage = start(smoke, tmp_path), Storage.open(tmp_path)
    monkeypatch.setattr(run.store, "prepare", lambda *arguments: "0")
    longer = replace(smoke, budget=replace(smoke.budget, trials=24))
    ledger = Ledger(folder)

    def complete(number: int) -> None:
        ledger.proposed(number, {})
        ledger.ended(number, "completed")

    def extended_at(study: Study) -> int:
        saved = run.started_before(folder, study, ledger)
        assert saved is not None and saved.study == study and saved.facts == FACTS
        return saved.criteria.extended_at

    complete(0), complete(1)
    with pytest.raises(InputError, match="another process works on it"):
        run.run_search(longer, storage, f"sqlite:///{tmp_path / 'm.db'}", None, "")
    assert load_saved(folder).study == smoke
    assert extended_at(smoke) == 0
    assert extended_at(longer) == 2
    assert load_saved(folder).study == longer
    complete(2)
    assert extended_at(longer) == 2, "to resume is not to extend"
    ledger.close()


def test_failed_trials_are_tried_again_on_request(smoke: Study, tmp_path: Path) -> None:
    """Of the others none changes, and the study is as it was."""
    folder = start(smoke, tmp_path)
    ledger = Ledger(folder)
    for number, status in enumerate(("failed", "diverged", "failed")):
        ledger.proposed(number, {"n": number})
        ledger.ended(number, status, "a reason")
    for retry, statuses in ((False, "failed diverged failed"), (True, "open diverged open")):
        assert run.started_before(folder, smoke, ledger, retry) == load_saved(folder)
        assert [trial.status for trial in read_trials(folder).values()] == statuses.split()
    ledger.close()


def test_a_password_that_an_earlier_version_has_saved_leaves_the_file(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    folder = Storage.open(tmp_path).study("smoke")
    folder.mkdir(parents=True)
    facts = replace(FACTS, tracking="http://ann:hunter2@there:5000")
    save_new(folder, smoke, Criteria({"fid": 0.1 + 0.2}), facts)
    ledger = Ledger(folder)
    saved = run.started_before(folder, smoke, ledger)
    ledger.close()
    assert saved is not None and saved.facts.tracking == "http://there:5000"
    assert "hunter2" not in (folder / "study.json").read_text()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter2"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trails=2", "'trails=2' is not allowed; allowed: trials=N"),
        ("trials=none", "allowed: trials= a whole number above 0"),
        ("hours=2", "hours has no limit in this study; allowed: trials"),
        ("trials=1 trials=2", "trials is there twice"),
        ("trials=1 --extend trials=2", "trials is there twice"),
        ("trials=99999999", "trials: 10000"),
    ],
)
def test_a_wrong_extension_is_refused_and_changes_nothing(
    smoke: Study, tmp_path: Path, searches: list[Any], words: str, line: str
) -> None:
    folder = start(smoke, tmp_path)
    before = (folder / "study.json").read_bytes()
    message = refusal("--resume", "smoke", "--storage", tmp_path, "--extend", *words.split())
    assert message.startswith("--extend: ") and line in message and searches == []
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--trials 2000000", "--trials: 2000000 is not allowed; allowed: an integer in [1, 1e+06]"),
        ("--trials 0", "--trials: 0 is not allowed"),
        ("--seeds 5", "--seeds: 5 has no meaning here; allowed: with --confirm"),
        ("--confirm --seeds 0", "--seeds: 0 is not allowed; allowed: 1 or more"),
        ("--confirm 0", "--confirm: 0 is not allowed; allowed: 1 or more"),
        ("--retry failed", "--retry: there is nothing to try again; allowed: with --resume NAME"),
        ("--extend trials=2", "--extend: there is nothing to extend; allowed: with --resume NAME"),
        ("--name ../up", "--name: '../up' is not allowed"),
        ("--tracking ftp://x", "tracking uri 'ftp://x': unknown scheme 'ftp'"),
    ],
)
def test_wrong_options_are_refused_before_the_space_is_read(tmp_path: Path, words: str, line: str) -> None:
    root = tmp_path / "runs"
    assert refusal("--space", "nosuch.yaml", "--storage", root, *words.split()).startswith(line)
    assert not root.exists()


def test_a_study_or_space_without_a_name_is_refused(tmp_path: Path) -> None:
    """An empty name may be that of a shell variable that is not set."""
    assert "study: '' is not in" in refusal("--resume", "", "--storage", tmp_path)
    for name in ("", "a" * 300):
        assert refusal("--space", name, "--storage", tmp_path / "runs").startswith("--space: no file")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", [("--trials", "9"), ("--name", "other"), ("--profile", "laptop")])
def test_a_resumed_study_keeps_its_settings(
    smoke: Study, tmp_path: Path, searches: list[Any], option: tuple[str, str]
) -> None:
    start(smoke, tmp_path)
    message = refusal("--resume", "smoke", "--storage", tmp_path, *option)
    assert message.startswith(f"{option[0]}: ") and "is not allowed with --resume; allowed: " in message
    assert searches == []


def test_a_name_is_used_once(smoke: Study, tmp_path: Path, searches: list[Any]) -> None:
    start(smoke, tmp_path)
    words = ("--space", smoke.path, "--storage", str(tmp_path))
    for named in ((), ("--name", "smoke")):
        message = refusal(*words, *named)
        assert message.startswith("--name: study 'smoke' is in ")
        assert message.endswith(" already; allowed: --resume smoke, or another --name")
    search.main([*words, "--name", "second", "--trials", "2"])
    ((study, *_),) = searches
    assert (study.name, study.budget.trials) == ("second", 2)


def test_an_earlier_study_to_start_from_must_exist(smoke: Study, tmp_path: Path) -> None:
    space, root = edited(smoke, start_from="start_from: {study: nobody}"), tmp_path / "runs"
    line = f"{space}: start_from: study: 'nobody' is not in {root}; allowed: "
    assert refusal("--space", space, "--storage", root, "--dry-run") == f"{line}none yet"
    assert not root.exists()
    start(replace(smoke, name="other"), root)
    assert refusal("--space", space, "--storage", root) == f"{line}other"


@pytest.mark.parametrize("field", ["seed", "rungs"])
def test_fields_that_only_cost_are_not_searched(smoke: Study, tmp_path: Path, field: str) -> None:
    space = edited(smoke, tau_m=f"{field}: {{int: [1, 3]}}", rungs="")
    message = refusal("--space", space, "--storage", tmp_path)
    assert f"search.{field}: is not searched, as " in message and "; allowed: under fixed" in message


@pytest.mark.parametrize(
    ("changes", "crop"),
    [
        ({"crop": "batch_size: 2, crop: 64"}, "64"),
        ({"crop": "batch_size: 2"}, "128"),
        (
            {"crop": "batch_size: 2", "tau_m": "crop: {choice: [32, 64]}", "start_from": "start_from: none"},
            "32, 64",
        ),
    ],
)
def test_trials_must_crop_as_their_teacher(
    smoke: Study, tmp_path: Path, changes: dict[str, str], crop: str
) -> None:
    message = refusal("--space", edited(smoke, **changes), "--storage", tmp_path)
    assert message.endswith(f"crop: {crop} is not allowed; allowed: 32, the references' crop")


@pytest.mark.parametrize("option", ["--space", "--resume"])
def test_a_dry_run_prints_the_study_and_its_cost_and_runs_nothing(
    smoke: Study, tmp_path: Path, searches: list[Any], option: str
) -> None:
    root = tmp_path / "runs"
    if option == "--resume":
        start(smoke, root)
    name = {"--space": smoke.path, "--resume": "smoke"}[option]
    with console.capture() as captured:
        search.main([option, name, "--storage", str(root), "--dry-run"])
    assert "estimated cost: about" in captured.get() and "lambda_DMD" in captured.get()
    assert searches == [] and root.exists() == (option == "--resume")


def test_a_resumed_study_must_fit_on_the_machine(smoke: Study, tmp_path: Path, searches: list[Any]) -> None:
    path = start(smoke, tmp_path) / "study.json"
    saved = json.loads(path.read_text())
    study = json.loads(saved["study"])
    study["resources"]["cpus"] = 1024
    path.write_text(json.dumps(sealed(saved | {"study": json.dumps(study)})))
    words = ["--resume", "smoke", "--storage", str(tmp_path)]
    assert "resources: cpus: 1024 is more than there are" in refusal(*words)
    search.main([*words, "--address", "ray://head:10001"])
    assert len(searches) == 1
