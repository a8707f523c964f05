"""What is compared on which criteria: systems found, budgets read, differences refused."""

from pathlib import Path
from platform.comparison import systems
from platform.comparison.published_table import LABELS
from platform.comparison.systems import Budget, System, common_budget, criteria, find_entrants, require_common
from platform.orchestration.cost_estimate import Machine

import pytest

from trainers.errors import InputError

HERE = Machine(2, 0)
SPACE = "extends: {}/base/phantom.yaml\nmethod: unsb\nsearch: {{tau_m: {{uniform: [0.05, 0.2]}}}}\n"


def entrants(*names: str, profile: str | None = "smoke", source: str | None = None) -> list[System]:
    return find_entrants(names, profile, source, HERE, None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own space beside the shipped ones."""
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE.format(systems.FOLDER.resolve()))
    return path


def test_all_are_the_papers_ten_in_its_order_and_own_spaces_follow(own: Path) -> None:
    assert [e.name for e in entrants("all")] == list(LABELS)
    assert [e.name for e in entrants(str(own), "unsb", "all")] == [*LABELS, "mine"]
    assert [e.label for e in entrants("asp_dmd", str(own))] == [LABELS["asp_dmd"], "mine"]


def test_an_entrant_is_found_again_by_its_system(own: Path) -> None:
    first = entrants("cut", str(own))
    again = entrants(*(entrant.system for entrant in first))
    assert [e.study.to_json() for e in again] == [e.study.to_json() for e in first]


def test_a_system_trains_at_its_spaces_first_point() -> None:
    (entrant,) = entrants("asp_dmd")
    config = entrant.config(seed=3, steps=7)
    assert (config.seed, config.steps, config.lambda_DMD, config.refinement_steps) == (3, 7, 0.5, 5)


def test_another_cohort_takes_the_place_of_the_spaces() -> None:
    (entrant,) = entrants("cut", source="phantom")
    assert entrant.study.cohort.config.train == 3
    with pytest.raises(InputError, match="nowhere"):
        entrants("cut", source="nowhere")


@pytest.mark.parametrize(
    ("name", "told"),
    [("cutt", "did you mean cut?"), ("no/such.yaml", "allowed: all, cyclegan"), ("", "--systems: ''")],
)
def test_an_unknown_system_is_one_line_that_names_the_known(name: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        entrants(name)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_two_spaces_of_one_name_are_refused(own: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "mine.yaml"
    twin.parent.mkdir()
    twin.write_text(own.read_text())
    with pytest.raises(InputError, match="share a name"):
        entrants(str(own), str(twin))


def test_systems_on_other_terms_are_refused(own: Path) -> None:
    own.write_text(
        own.read_text() + "cohort: {source: phantom, train: 7}\nprofiles: {smoke: {cohort: {train: 9}}}\n"
    )
    with pytest.raises(InputError, match=r"mine.yaml: cohort: differs from .*cut.yaml's"):
        entrants("cut", str(own))
    require_common(entrants("cut", "unsb"))


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("400steps", Budget(steps=400)),
        ("400 steps", Budget(steps=400)),
        ("90s", Budget(seconds=90)),
        ("1.5min", Budget(seconds=90)),
        ("2h", Budget(seconds=7200)),
    ],
)
def test_a_budget_is_steps_or_time_and_reads_what_it_prints(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget == Budget.parse(str(budget))


@pytest.mark.parametrize("text", ["", "400", "0steps", "-1min", "2 days", "1e3steps", "min"])
def test_another_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--budget: .* is not allowed; allowed: a count of steps"):
        Budget.parse(text)


def test_the_budget_defaults_to_the_spaces_own_steps(own: Path) -> None:
    assert common_budget(entrants("cut", "unsb"), None) == Budget(steps=4)
    assert common_budget(entrants("cut", "unsb"), "2min") == Budget(seconds=120)
    own.write_text(own.read_text() + "profiles: {smoke: {fixed: {steps: 5}}}\n")
    with pytest.raises(InputError, match=r"--budget: the spaces train for different .*cut 4, mine 5"):
        common_budget(entrants("cut", str(own)), None)


def test_terms_do_not_depend_on_which_systems_take_part() -> None:
    budget = Budget(steps=4)
    assert criteria(entrants("cut"), budget) == criteria(entrants("unsb", "cyclegan"), budget)
    assert criteria(entrants("cut"), budget) != criteria(entrants("cut", profile="laptop"), budget)
