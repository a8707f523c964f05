"""Which supervised bound a study and a comparison have."""

from dataclasses import asdict, replace
from platform.cohorts.bound import bound_config
from platform.comparison.run import chosen_bound
from platform.comparison.systems import System, TrainingBudget, conditions, find_systems
from platform.execution.machine import Machine
from platform.study.study import Study


def find(*names: str, profile: str = "laptop") -> list[System]:
    return find_systems(names, profile, None, Machine(2, 0), None)


def test_a_study_has_that_of_its_first_point(smoke: Study) -> None:
    config = bound_config(smoke)
    assert config is not None and (config.width, config.blocks, config.crop, config.batch_size) == (
        4,
        1,
        32,
        2,
    )
    longer = bound_config(replace(smoke, fixed={**smoke.fixed, "steps": 600}))
    assert longer is not None and config.steps == round(longer.steps / 100) > 6
    assert bound_config(replace(smoke, references={**smoke.references, "bound": 0.0})) is None
    methods = {system.name: bound_config(system.study) for system in find("all")}
    assert [name for name, bound in methods.items() if not bound] == ["sdedit", "syndiff", "inr"]
    assert len({replace(bound, steps=1) for bound in methods.values() if bound}) == 1, "one network"
    steps = {name: bound.steps for name, bound in methods.items() if bound}
    assert steps["unsb"] == steps["unsb_asp"] and steps["unsb_dmd"] == steps["asp_dmd"]
    assert steps["cyclegan"] > steps["asp_dmd"] > steps["cut"] > steps["reggan"]


def test_a_comparison_keeps_that_of_its_first_system_with_such_a_network() -> None:
    cut, inr = find("cut")[0], find("inr")[0]
    assert chosen_bound([inr, cut], {}) == bound_config(cut.study)
    assert chosen_bound([inr], {}) is None and chosen_bound([cut], {"measures": 1}) is None
    own = bound_config(cut.study)
    assert own is not None
    other = replace(own, share=2 * own.share)
    assert chosen_bound([cut], {"bound": asdict(other)}) == other
    assert chosen_bound([cut], {"bound": None}) == bound_config(cut.study)


def test_the_bounds_budget_is_no_condition_of_a_comparison() -> None:
    """One that was started before there was a bound goes on."""
    system = find("cut")[0]
    references = {key: value for key, value in system.study.references.items() if key != "bound"}
    assert "bound" in system.study.references
    earlier = System("cut", replace(system.study, references=references))
    budget = TrainingBudget(steps=4)
    assert conditions([earlier], budget) == conditions([system], budget)
