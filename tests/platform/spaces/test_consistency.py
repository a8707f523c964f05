"""What must agree between a space's sections, and the crop of trials and references."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from platform.spaces.consistency import require_same_crop
from platform.study.dimensions import Choice, Dimension
from platform.study.study import Study
from typing import Any

import pytest

from tests.platform.spaces.toy_spaces import ONE, START, TWO, Case, load, require_refused
from trainers.errors import InputError


def test_a_grid_needs_finitely_many_values_in_every_profile(tmp_path: Path) -> None:
    grid = ONE.replace("sampler: tpe", "sampler: grid").replace("{log: [0.1, 100]}", "{choice: [1, 10]}")
    with pytest.raises(InputError, match=r"yaml:9: search.edge: \[0.03, 0.2\] is continuous.* a step, as in"):
        load(tmp_path, grid)
    stepped = grid.replace("{uniform: [0.03, 0.2]}", "{uniform: [0.03, 0.2], step: 0.01}")
    assert load(tmp_path, stepped.replace("- {}", "- {edge: 0.2}")).sampler == "grid"
    conditional = TWO.replace("{log: [0.1, 10]}", "{choice: [1, 2]}").replace("[0, 1],", "[0, 1], step: 0.1,")
    sizes = [dimension.size for dimension in load(tmp_path, conditional + "sampler: grid\n").search]
    assert sizes == [2, 2, 2, 3, 5, 249, 11, 2]


def test_a_space_whose_points_are_all_refused_is_an_error_with_the_refusal(tmp_path: Path) -> None:
    """Edges from .5 on are above every weight; the refusals differ only in their numbers."""
    text = ONE.replace("{log: [0.1, 100]}", "{log: [0.1, 0.4]}").replace("[0.03, 0.2]", "[0.5, 0.9]")
    text = text[: text.index("profiles")].replace(START, "start_from: none\n")
    message = r":7: search: Config refuses every point: 'edge 0\.7 must be .* weight 0\.2' \(1000 of 1000\)"
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)
    assert load(tmp_path, text.replace("[0.1, 0.4]", "[0.1, 0.6]")).search  # a hundredth is enough
    text = TWO.replace("limit: 20", "limit: 2.5").replace("log: [0.1, 10]", "log: [3, 10]")
    text = text[: text.index("start_from")] + "start_from: none\n"
    message = r":6: search: patch's Config refuses every point: 'weight 5\.47\d* must .* \(1000 of 1000\)"
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)
    assert load(tmp_path, text.replace("limit: 2.5", "limit: 3.1")).search  # a fortieth of its points


def test_the_grace_is_below_the_steps_of_every_method(tmp_path: Path) -> None:
    defaults = TWO.replace("steps: 200, ", "") + "scheduler: {name: asha, grace: 300}\n"
    searched = defaults.replace("  weight:", "  steps: {choice: [900, 100]}\n  weight:")
    searched = searched.replace("[{}, ", "[").replace("{method: p", "{steps: 100, method: p")
    searched = searched.replace("{generator: image, ", "{steps: 900, generator: image, ")
    for text, line, least in ((defaults, 15, 300), (searched, 16, 100)):
        with pytest.raises(
            InputError, match=rf"yaml:{line}: scheduler.grace: 300 .* below {least}, the steps"
        ):
            load(tmp_path, text)
        assert load(tmp_path, text.replace("grace: 300", f"grace: {least - 1}")).scheduler.grace == least - 1
    with pytest.raises(InputError, match=r"yaml:15: scheduler.grace: 200 .* below 200"):
        load(tmp_path, TWO + "scheduler: {name: asha, grace: 200}\n")


SEED = "seed: 7", 25
GPUS = "0.5, concurrent: 2, workers: 1}\nbudget: {trials: 8, hours: 1.5}\n", 24
TIMED = "deterministic: true\nconstraints: {seconds_per_volume: {max: 9}}"
CASES: list[Case] = [
    (GPUS, "0}\nbudget: {trials: 1, gpu_hours: 5}\n", "budget.gpu_hours: 5 is ... gpus: 0"),
    (GPUS, "0}\nbudget: {trials: 1, cost: 5, cost_per_gpu_hour: 2}\n", "budget.cost ... gpus: 0"),
    (SEED, "scheduler: {name: asha, grace: 1}", "scheduler.grace: 1 is ... below 1, the steps"),
    (SEED, TIMED, "deterministic: true is not allowed ... seconds_per_volume"),
    (
        SEED,
        "constraints: {rad_fid: {max: 9}}",
        "constraints.rad_fid ... radimagenet: its file",
    ),
    (("fid: minimize", 4), "rad_fid: minimize", "objectives.rad_fid ... references: {radimagenet"),
]


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line(tmp_path: Path, case: Case) -> None:
    require_refused(tmp_path, ONE, case)


@pytest.mark.parametrize(
    ("fixed", "searched", "crop"),
    [({"crop": 64}, (), "64"), ({}, (), "128"), ({}, (Choice("crop", (32, 64)),), "32, 64")],
)
def test_trials_have_the_crop_of_their_teacher(
    smoke: Study, fixed: Mapping[str, Any], searched: tuple[Dimension, ...], crop: str
) -> None:
    require_same_crop(smoke)
    other = {key: value for key, value in smoke.fixed.items() if key != "crop"} | dict(fixed)
    with pytest.raises(InputError, match=f"crop: {crop} is not allowed; allowed: 32, the references' crop"):
        require_same_crop(replace(smoke, fixed=other, search=(*smoke.search, *searched)))
