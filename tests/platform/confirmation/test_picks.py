"""What ``--pick`` names, and which studies have something to pick."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from platform import confirm, evaluate, promote
from platform.confirmation.picks import CONFIRMED, confirmed_tags, confirmed_values, pick
from platform.confirmation.ranking import Finalist
from platform.pareto.selection import saved_front
from platform.study.criteria import Bound
from platform.study.settings import Constraint
from platform.study.study import Study

import pytest

from tests.platform.confirmation.examples import finalist, save_study
from trainers.errors import InputError

Main = Callable[[Sequence[str]], None]


def publish(folder: Path, *finalists: Finalist) -> None:
    """A confirmation's results."""
    path = folder / CONFIRMED
    path.parent.mkdir(parents=True)
    untouched = {"fid": {"estimate": 1.2, "low": None, "high": None}}
    values = {"finalists": [each.to_json() for each in finalists], "seeds": 2, "input": untouched}
    path.write_text(json.dumps(values))


def test_confirmed_is_the_first_of_the_confirmed_ranking(smoke: Study, tmp_path: Path) -> None:
    saved = save_study(tmp_path, smoke, "completed", "completed")
    front = saved_front(saved)
    with pytest.raises(InputError, match=r"'smoke' was never confirmed; allowed: after python -m platform"):
        pick("confirmed", front, saved.folder)
    publish(saved.folder, finalist(trial=1, steps=1), finalist(trial=0))
    chosen = pick("confirmed", front, saved.folder)
    assert (chosen.key, chosen.checkpoint) == ((1, 1), "/c/1")
    assert confirmed_tags(saved.folder, chosen) == {
        "confirmed.fid": "2 [1.5, 2.5]",
        "confirmed.psnr": "20",
        "confirmed.seeds": "1, 2",
        "confirmed.p_nondominated": "0.750",
    }
    assert confirmed_values(saved.folder, chosen) == {
        "fid": {"estimate": 2, "low": 1.5, "high": 2.5, "input": 1.2},
        "psnr": {"estimate": 20, "low": None, "high": None, "input": None},
    }
    other = replace(chosen, steps=2)
    assert confirmed_tags(saved.folder, other) == {} == confirmed_values(saved.folder, other)


def test_no_candidate_that_violates_a_constraint_is_picked(smoke: Study, tmp_path: Path) -> None:
    saved = save_study(tmp_path, smoke, "completed", "completed", bounds=(Bound("psnr", "max", 5.5),))
    front = saved_front(saved)
    best = pick("best-psnr", front, saved.folder)
    assert (best.trial, best.values["psnr"]) == (0, 5.0), "trial 1 has 6, more than is allowed"
    assert pick("best-fid", front, saved.folder).values["fid"] == min(
        c.values["fid"] for c in front.candidates if c.trial == 0
    )
    with pytest.raises(InputError, match=r"'best-ms_ssim', but ms_ssim was not measured; allowed: of fid"):
        pick("best-ms_ssim", front, saved.folder)
    publish(saved.folder, finalist(trial=0, broken={"psnr": 5.9}))
    with pytest.raises(InputError, match=r"every finalist of 'smoke' violates a constraint .* --top"):
        pick("confirmed", front, saved.folder)


@pytest.mark.parametrize("command", [confirm.main, evaluate.main, promote.main])
def test_a_study_without_a_front_is_refused(command: Main, smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, constraints=(Constraint("psnr", "min", 30.0),))
    saved = save_study(tmp_path, study, "completed", bounds=(Bound("psnr", "min", 30.0),))
    with pytest.raises(InputError, match=r"no completed trial of 'smoke' satisfies .*psnr >= 30\); allowed"):
        command(["smoke", "--storage", str(tmp_path)])
    with pytest.raises(InputError, match="'nobody' is not in"):
        command(["nobody", "--storage", str(tmp_path)])
    assert not (saved.folder / "confirm").exists()


@pytest.mark.parametrize("option", ["--top", "--seeds"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_no_candidate_and_no_seed_are_refused(option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{option}: {value} is not allowed; allowed: 1 or more"):
        confirm.main(["some", option, value])
