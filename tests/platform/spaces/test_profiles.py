"""Spaces with profiles and spaces that extend another file: how they merge, and where an error is located."""

from pathlib import Path
from platform.spaces.loader import load_study
from platform.spaces.profiles import overlay, profile_names, read
from typing import Any

import pytest

from tests.platform.spaces.toy_spaces import ONE, Case, require_refused
from trainers.errors import InputError

BASE = """\
objectives: {fid: minimize}
cohort: {source: phantom, train: 5}
fixed: {steps: 100, lr: 1e-3}
budget: {trials: 3}
profiles:
  small:
    fixed: {steps: 10, crop: 32}
    references: {crop: 32}
"""
CHILD = """\
extends: base.yaml
method: unsb
search: {tau_m: {uniform: [0.05, 0.2]}}
fixed: {steps: 200, tau: 0.02}
profiles:
  small:
    fixed: {crop: null, lr: null, steps: 20}
  large:
    budget: {trials: 9}
"""


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Writes the two files, varied, and returns the child's path."""

    def write(base: str = BASE, child: str = CHILD) -> Path:
        (tmp_path / "base.yaml").write_text(base)
        (tmp_path / "child.yaml").write_text(child)
        return tmp_path / "child.yaml"

    return write


def test_sections_and_profiles_merge_the_extending_file_decides_and_null_removes(files: Any) -> None:
    study = load_study(files())
    assert study.fixed == {"steps": 200, "lr": 1e-3, "tau": 0.02}
    assert study.cohort.config.train == 5 and study.budget.trials == 3 and study.name == "child"
    keys = ("fixed", "references", "budget")
    assert profile_names(read(files()), keys) == ("small", "large")
    assert overlay(read(files()), "small").data["fixed"] == {"steps": 20, "tau": 0.02}
    assert load_study(files(), profile="large").budget.trials == 9


def test_a_profile_is_like_another_of_either_file_and_its_own_keys_decide(files: Any) -> None:
    child = CHILD.replace("  large:", "  large:\n    like: small\n    fixed: {tau: null, steps: 30}")
    document = overlay(read(files(child=child)), "large")
    assert document.data["fixed"] == {"steps": 30} and document.data["references"] == {"crop": 32}
    assert "like" not in document.data and document.data["budget"] == {"trials": 9}
    places = {where: document.location(where) for where in (("fixed", "steps"), ("references", "crop"))}
    assert [(p.name, line) for p, line in places.values()] == [("child.yaml", 10), ("base.yaml", 8)]


@pytest.mark.parametrize("name", ["large", "huge", "3", "[small]"])
def test_a_profile_is_like_another_known_one_alone(files: Any, name: str) -> None:
    child = CHILD.replace("  large:", f"  large:\n    like: {name}")
    with pytest.raises(InputError, match=r"child.yaml:9: profiles.large.like: .* allowed: small"):
        load_study(files(child=child))


@pytest.mark.parametrize(
    ("base", "child", "place"),
    [
        (BASE.replace("train: 5", "train: x"), CHILD, "base.yaml:2: cohort.train"),
        (BASE, CHILD.replace("tau: 0.02", "tau: x"), "child.yaml:4: fixed.tau"),
        (BASE.replace("{crop: 32}", "{crop: x}"), CHILD, "base.yaml:8: references.crop"),
        (BASE, CHILD.replace("trials: 9", "trials: x"), "child.yaml:9: budget.trials"),
        (BASE, CHILD + "    seed: null\n", "child.yaml:10: profiles.large.seed: null removes nothing"),
        (
            BASE,
            CHILD.replace("{tau_m:", "{lr: {log: [1, 2]}, tau_m:"),
            r"child.yaml:3: search.lr: .*base.yaml:3\)",
        ),
    ],
)
def test_an_error_is_located_in_the_file_that_has_it(files: Any, base: str, child: str, place: str) -> None:
    with pytest.raises(InputError, match=place):
        load_study(files(base, child))


@pytest.mark.parametrize("name", ["none.yaml", "3", "child.yaml", "[base.yaml]"])
def test_what_cannot_be_extended_is_refused(files: Any, name: str) -> None:
    with pytest.raises(InputError, match=r"child.yaml:1: extends: .* is not allowed"):
        load_study(files(child=CHILD.replace("base.yaml", name)))
    with pytest.raises(InputError, match=r"base.yaml:1: extends: .* does not extend this one"):
        load_study(files(base="extends: child.yaml\n" + BASE))


CASES: list[Case] = [
    (("    cohort: {train", 31), "    cohorts: {train", "profiles.laptop.cohorts ... did you mean cohort?"),
    (("{train: 2}", 31), "{trian: 2}", "cohort.trian ... did you mean train?"),
    (("{weight: null", 28), "{wight: null", "profiles.laptop.search.wight ... did you mean weight?"),
    (("fixed: {weight: 2}", 9), "fixed: {edge: 0.1}", "search.edge ... both searched and fixed (line 29)"),
    (("    fixed: {weight: 2}", 29), "    fixed: {weight: 2000}", "fixed.weight ... 2000 ... [0.01, 1000]"),
    (("fixed: {weight: 2}", 29), "fixed: {weight: 0.05}", "fixed ... edge 0.1 must be below weight 0.05"),
    (("{choice: [1, 2]}", 28), "{choice: [1, 99]}", "search.steps.choice[1] ... 99 ... [1, 64]"),
    (("  laptop:", 27), "  laptop: 3\n  desk:", "profiles.laptop ... 3 ... a mapping"),
    (("    start_from: none", 30), "    profiles: {}", "profiles.laptop.profiles ... unknown key"),
    (("fid: null}", 34), "kid: null}", "objectives.kid: null removes nothing"),
    (("{source: scans, folder: data}", 33), "{source: scans, size: 1mm}", "cohort.size ... folder"),
]


@pytest.mark.parametrize("case", CASES)
def test_an_error_in_a_profile_has_the_profiles_line(tmp_path: Path, case: Case) -> None:
    require_refused(tmp_path, ONE, case)
