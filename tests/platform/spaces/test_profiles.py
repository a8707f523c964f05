"""Spaces that extend another file: what is laid on what, and where a mistake is said to be."""

from pathlib import Path
from platform.spaces.loader import FOLDER, load_study, profile_choices
from platform.spaces.profiles import overlay, read
from typing import Any

import pytest

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


def test_sections_merge_and_the_file_wins(files: Any) -> None:
    study = load_study(files())
    assert study.fixed == {"steps": 200, "lr": 1e-3, "tau": 0.02}
    assert study.cohort.config.train == 5 and study.budget.trials == 3 and study.name == "child"


def test_profiles_merge_too_and_null_drops_what_stands_below(files: Any) -> None:
    assert profile_choices(files()) == ("small", "large")
    assert overlay(read(files()), "small").data["fixed"] == {"steps": 20, "tau": 0.02}
    assert load_study(files(), profile="large").budget.trials == 9


@pytest.mark.parametrize(
    ("base", "child", "place"),
    [
        (BASE.replace("train: 5", "train: x"), CHILD, "base.yaml:2: cohort.train"),
        (BASE, CHILD.replace("tau: 0.02", "tau: x"), "child.yaml:4: fixed.tau"),
        (BASE.replace("{crop: 32}", "{crop: x}"), CHILD, "base.yaml:8: references.crop"),
        (BASE, CHILD.replace("trials: 9", "trials: x"), "child.yaml:9: budget.trials"),
        (BASE, CHILD + "    seed: null\n", "child.yaml:10: profiles.large.seed: null drops nothing"),
    ],
)
def test_a_mistake_is_placed_in_the_file_that_holds_it(files: Any, base: str, child: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        load_study(files(base, child))
    assert place in str(caught.value)


def test_a_field_fixed_below_and_searched_above_names_both_places(files: Any) -> None:
    path = files(child=CHILD.replace("{tau_m:", "{lr: {log: [1e-4, 1e-2]}, tau_m:"))
    with pytest.raises(
        InputError, match=r"child.yaml:3: search.lr: both searched and fixed \(.*base.yaml:3\)"
    ):
        load_study(path)


@pytest.mark.parametrize("name", ["none.yaml", "3", "child.yaml", "[base.yaml]"])
def test_what_cannot_be_extended_is_refused(files: Any, name: str) -> None:
    with pytest.raises(InputError, match=r"child.yaml:1: extends: .* is not allowed"):
        load_study(files(child=CHILD.replace("base.yaml", name)))


def test_a_ring_of_files_is_refused(files: Any) -> None:
    with pytest.raises(InputError, match=r"base.yaml:1: extends: .* does not extend this one"):
        load_study(files(base="extends: child.yaml\n" + BASE))


def test_shipped_spaces_share_cohort_references_and_means_in_every_profile() -> None:
    paths = sorted(FOLDER.glob("*.yaml"))
    assert len(paths) == 10
    for profile in ("laptop", "cluster", "smoke"):
        studies = [load_study(path, profile=profile) for path in paths]
        for of in ("cohort", "references", "resources", "objectives"):
            assert len({str(getattr(study, of)) for study in studies}) == 1, (profile, of)
        points = [study.point(study.start[0]) for study in studies]
        assert len({(p.steps, p.batch_size, p.crop) for p in points}) == 1, profile
