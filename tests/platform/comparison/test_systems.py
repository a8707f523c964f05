"""What is compared under which conditions: systems found, budgets read, differences refused."""

import dataclasses
from pathlib import Path
from platform.comparison.systems import (
    LABELS,
    System,
    TrainingBudget,
    as_started,
    common_budget,
    conditions,
    find_systems,
)
from platform.execution.machine import Machine
from platform.spaces.loader import FOLDER

import pytest

from trainers.config import canonical
from trainers.errors import InputError

SPACE = "extends: {}/base/phantom.yaml\nmethod: unsb\nsearch: {{tau_m: {{uniform: [0.05, 0.2]}}}}\n"


def find(*names: str, profile: str | None = "smoke", source: str | None = None) -> list[System]:
    return find_systems(names, profile, source, Machine(2, 0), None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own space beside the shipped ones."""
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE.format(FOLDER.resolve()))
    return path


def test_all_are_the_papers_ten_in_its_order_then_own_spaces_and_are_found_again(own: Path) -> None:
    found = find(str(own), "unsb", "all")
    assert [(s.name, s.label) for s in found] == [*LABELS.items(), ("mine", "mine")]
    again = find(*(system.space for system in found))
    assert [s.study.to_json() for s in again] == [s.study.to_json() for s in found]


def test_a_comparison_from_before_the_second_phantom_goes_on_with_the_first() -> None:
    systems, text = find("cut", "unsb", profile="laptop"), '"size":"2mm","test":4,"train":24,"val":4}'
    saved = f'{{"dtype":"float16","paired":true,"seed":0,{text}'  # comparison.json of then
    for system in as_started(systems, {"cohort": saved}):
        cohort = system.study.cohort.config
        assert (cohort.anatomy, cohort.val, cohort.shifted, canonical(cohort)) == ("first", 4, 0, saved)
    assert as_started(systems, {}) == systems


def test_a_comparison_from_before_the_linear_filter_goes_on_without_it() -> None:
    systems = find("cut", "unsb", profile="smoke")
    today = conditions(systems, TrainingBudget(9))["references"]
    then = [("crop", 32), ("encoder_batch", 4), ("encoder_steps", 4), ("encoder_width", 8)]
    teacher = {"attention": False, "batch": 2, "layers": 1, "patch": 2, "steps": 4, "widths": (16, 16)}
    saved = {"references": str([*then, *((f"teacher_{key}", value) for key, value in teacher.items())])}
    again = as_started(systems, saved)
    assert [system.study.references["teacher_linear"] for system in again] == [False, False]
    assert conditions(again, TrainingBudget(9))["references"] == saved["references"] != today
    assert as_started(systems, {"references": today}) == systems


def test_a_system_trains_at_its_spaces_first_point_on_the_requested_cohort() -> None:
    system = find("asp_dmd")[0]
    config = system.config(seed=3, steps=7)
    assert (config.seed, config.steps, config.lambda_DMD, config.refinement_steps) == (3, 7, 0.5, 2)
    seeded = dataclasses.replace(system.study, fixed={**system.study.fixed, "seed": 40})
    assert System(system.name, seeded).config(seed=3, steps=7) == dataclasses.replace(config, seed=43)
    assert find("cut", source="phantom")[0].study.cohort.config.train == 3
    with pytest.raises(InputError, match="nowhere"):
        find("cut", source="nowhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [("cutt", "did you mean cut?"), ("no/such.yaml", "allowed: all, cyclegan"), ("", "--systems: ''")],
)
def test_an_unknown_system_is_one_line_that_names_the_known(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find(name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_two_spaces_of_one_name_are_refused(own: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "mine.yaml"
    twin.parent.mkdir()
    twin.write_text(own.read_text())
    with pytest.raises(InputError, match="share a name"):
        find(str(own), str(twin))


def test_systems_of_other_conditions_are_refused(own: Path) -> None:
    cohorts = "cohort: {source: phantom, train: 7}\nprofiles: {smoke: {cohort: {train: 9}}}\n"
    own.write_text(own.read_text() + cohorts)
    with pytest.raises(InputError, match=r"mine.yaml: cohort: differs from .*cut.yaml's"):
        find("cut", str(own))


@pytest.mark.parametrize(
    ("text", "steps", "seconds"),
    [("400steps", 400, 0), ("400 steps", 400, 0), ("90s", 0, 90), ("1.5min", 0, 90), ("2h", 0, 7200)],
)
def test_a_budget_is_steps_or_time_and_reads_what_it_prints(text: str, steps: int, seconds: float) -> None:
    budget = TrainingBudget(steps, seconds)
    assert TrainingBudget.parse(text) == budget == TrainingBudget.parse(str(budget))


@pytest.mark.parametrize("text", ["", "400", "0steps", "-1min", "2 days", "1e3steps", "min"])
def test_another_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--budget: .* is not allowed; allowed: a count of steps"):
        TrainingBudget.parse(text)


def test_the_budget_defaults_to_the_spaces_own_steps(own: Path) -> None:
    assert common_budget(find("cut", "unsb"), None) == TrainingBudget(steps=4)
    assert common_budget(find("cut", "unsb"), "2min") == TrainingBudget(seconds=120)
    own.write_text(own.read_text() + "profiles: {smoke: {fixed: {steps: 5}}}\n")
    with pytest.raises(InputError, match=r"--budget: the spaces train for different .*cut 4, mine 5"):
        common_budget(find("cut", str(own)), None)


def test_conditions_do_not_depend_on_which_systems_take_part() -> None:
    budget = TrainingBudget(steps=4)
    assert conditions(find("cut"), budget) == conditions(find("unsb", "cyclegan"), budget)
    assert conditions(find("cut"), budget) != conditions(find("cut", profile="laptop"), budget)
