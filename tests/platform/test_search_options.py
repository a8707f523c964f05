"""The search command up to where Ray would start: what it refuses, what it prints, what it freezes."""

import json
from pathlib import Path
from platform import search
from platform.cli import console
from platform.storage import Storage
from platform.study import Study
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
    search.freeze(folder, study, "sqlite:////somewhere.db", {"fid": 0.1 + 0.2}, "a hash")
    return folder


def test_a_frozen_study_keeps_its_copy_and_its_reference_point(smoke: Study, tmp_path: Path) -> None:
    folder = begin(smoke, tmp_path)
    before = (folder / "study.json").read_bytes()
    assert search.freeze(folder, smoke, "sqlite:////elsewhere.db", {"fid": 99.0}, "another") == {
        "fid": 0.1 + 0.2
    }
    assert (folder / "study.json").read_bytes() == before
    study, saved = search.load_saved(folder)
    assert study == smoke and (saved["tracking"], saved["cohort"]) == ("sqlite:////somewhere.db", "a hash")
    assert [path.name for path in folder.iterdir()] == ["study.json"]


def test_a_resumed_study_goes_on_as_it_was_begun(
    smoke: Study, tmp_path: Path, ran: list[tuple[Any, ...]]
) -> None:
    begin(smoke, tmp_path)
    search.main(["--resume", "smoke", "--storage", str(tmp_path)])
    assert ran == [(smoke, Storage.open(tmp_path), "sqlite:////somewhere.db", None)]


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
