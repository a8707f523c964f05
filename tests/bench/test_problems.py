"""The benchmark's problems: fronts against closed forms and pymoo, noise, curves, recorded trials."""

import json
from collections.abc import Callable
from pathlib import Path
from platform.pareto.dominance import hypervolume, nondominated
from typing import Any

import moocore  # type: ignore[import-untyped]
import numpy as np
import pytest
from pymoo.problems import get_problem  # type: ignore[import-untyped]
from scipy.stats import spearmanr

from tests.bench.cube import cube_of, draw
from tests.bench.landscapes import Landscape, landscapes
from tests.bench.problems import LEVELS, NOISE, Curved, Full, fidelity_problems, full_problems
from tests.bench.recorded import Recording, Surrogate, recorded_problems, with_learning_rate

LANDSCAPES = {landscape.name: landscape for landscape in landscapes()}
LOW = 0.2807753191  # where ZDT6's front begins

VOLUMES: dict[str, Callable[..., float]] = {
    "zdt1": lambda x, y: 0.1 * y + y - 1 + 2 / 3,
    "zdt2": lambda x, y: 0.1 * y + y - 1 + 1 / 3,
    "zdt6": lambda x, y: 0.1 * y + (y - 1) * (1 - LOW) + (1 - LOW**3) / 3,
    "dtlz1": lambda x, y, z: x * y * z - 0.5**3 / 6,
    "dtlz2": lambda x, y, z: x * y * z - np.pi / 6,
    "dtlz4": lambda x, y, z: x * y * z - np.pi / 6,
    "wfg4": lambda x, y, z: x * y * z - 2 * 4 * 6 * np.pi / 6,
    "wfg5": lambda x, y, z: x * y * z - 2 * 4 * 6 * np.pi / 6,
    "wfg9": lambda x, y, z: x * y * z - 2 * 4 * 6 * np.pi / 6,
}


def random_points(landscape: Any, count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [draw(landscape.search, rng) for _ in range(count)]


@pytest.mark.parametrize("name", VOLUMES)
def test_the_fronts_volume_has_a_closed_form(name: str) -> None:
    landscape = LANDSCAPES[name]
    assert landscape.front_volume == pytest.approx(VOLUMES[name](*landscape.reference), rel=1e-5)


def test_pymoos_fronts_approach_the_volume_of_those_without_a_closed_form() -> None:
    zdt3, wfg1 = LANDSCAPES["zdt3"], LANDSCAPES["wfg1"]
    pieces = get_problem("zdt3").pareto_front(n_points=2000, flatten=True)
    assert 0.999 < moocore.hypervolume(pieces, ref=zdt3.reference) / zdt3.front_volume < 1
    problem = get_problem("wfg1", n_var=8, n_obj=3, k=4, l=4)
    positions = np.random.default_rng(0).random((8000, 4)) ** 50  # WFG1 crowds its positions at one end
    values = problem.evaluate(problem._positional_to_optimal(positions), return_values_of=["F"])
    values -= values.min()  # where the exact front is 0, rounding errors to the power 0.02 put pymoo at 0.17
    assert 0.98 < moocore.hypervolume(values, ref=wfg1.reference) / wfg1.front_volume < 1


def test_dtlz7_and_the_translator_reach_their_fronts_where_they_are_tuned() -> None:
    rng = np.random.default_rng(0)
    dtlz7, hpo = LANDSCAPES["dtlz7"], LANDSCAPES["hpo"]
    rows = [{d.name: rng.random() if i < 2 else 0.0 for i, d in enumerate(dtlz7.search)} for _ in range(1500)]
    values = np.concatenate([dtlz7.true(row) for row in rows])
    assert 0.97 < moocore.hypervolume(values, ref=dtlz7.reference) / dtlz7.front_volume < 1
    tuned = np.concatenate([hpo.true(tune(rng)) for _ in range(2000)])
    assert 0.96 < moocore.hypervolume(tuned, ref=hpo.reference) / hpo.front_volume < 1


def tune(rng: np.random.Generator) -> dict[str, Any]:
    """A point of the translator's proxy where nothing is mistuned."""
    search = {d.name: d for d in LANDSCAPES["hpo"].search}
    realism, structure, sb = rng.random(), rng.random(), rng.random()
    realism, sb = (1.0, 0.0) if rng.random() < 0.2 else (realism, sb)
    a = 0.7 * realism + 0.3 * (1 - sb)
    cube = {"lambda_gan": realism, "lambda_dmd": realism, "lambda_sb": sb, "lambda_nce": structure}
    cube |= {
        "lr": 0.3 + 0.3 * a,
        "tau": 0.25 + 0.5 * structure,
        "refinement_steps": rng.random(),
        "norm": 0.0,
    }
    return {name: search[name].at(u) for name, u in cube.items()}


@pytest.mark.parametrize("landscape", LANDSCAPES.values(), ids=LANDSCAPES)
def test_nothing_lies_beyond_the_front(landscape: Landscape) -> None:
    values = np.concatenate([landscape.true(params) for params in random_points(landscape, 300)])
    front = landscape.front(61 if len(landscape.reference) > 2 else 4000)
    together = np.concatenate([values, front[nondominated(front)]])
    assert hypervolume(together, landscape.reference) <= landscape.front_volume * (1 + 1e-9)
    assert (
        hypervolume(values, landscape.reference) < 0.97 * landscape.front_volume
    )  # and it is not found at once


@pytest.mark.parametrize("problem", full_problems(), ids=lambda problem: problem.name)
def test_noise_has_its_size_and_no_bias(problem: Full) -> None:
    params = random_points(problem, 1, seed=3)[0]
    errors = np.array([(problem.measure(params, 1, seed) - problem.true(params))[0] for seed in range(200)])
    ideal, nadir = problem.landscape.extent
    np.testing.assert_allclose(errors.std(axis=0), NOISE * (nadir - ideal), rtol=0.2)
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * NOISE * (nadir - ideal) / 200**0.5)


def test_a_measurement_depends_on_its_arguments_alone() -> None:
    for problem in (*full_problems()[-1:], *fidelity_problems()):
        params, other = random_points(problem, 2)
        again = dict(reversed([(name, np.array(value)[()]) for name, value in params.items()]))
        first, last = problem.levels[0], problem.levels[-1]
        np.testing.assert_array_equal(problem.measure(params, last, 1), problem.measure(again, last, 1))
        seeded = [problem.measure(point, last, seed)[0, 0] for point in (params, other) for seed in (1, 2)]
        assert len(set(seeded)) == 4
        if first != last:
            assert problem.measure(params, first, 1)[0, 0] != seeded[0]


def test_a_translator_has_a_candidate_a_refinement_step() -> None:
    hpo = LANDSCAPES["hpo"]
    points = random_points(hpo, 30)
    assert {len(hpo.true(params)) for params in points} == {1, 2, 3, 4, 5}
    for params in points:
        fid, dssim, psnr = hpo.true(params).T
        assert len(fid) == params["refinement_steps"]
        assert np.all(np.diff(fid) < 0) and np.all(np.diff(dssim) > 0) and np.all(np.diff(psnr) > 0)


@pytest.mark.parametrize("problem", fidelity_problems(), ids=lambda problem: problem.name)
def test_early_levels_inform_without_being_perfect(problem: Curved) -> None:
    points = [params for params in random_points(problem, 300) if not problem.diverges_at(params)]
    curves = np.array([[problem.measure(params, step, 0)[-1] for step in LEVELS] for params in points])
    first = [spearmanr(curves[:, 0, j], curves[:, -1, j])[0] for j in range(curves.shape[2])]
    middle = [spearmanr(curves[:, 2, j], curves[:, -1, j])[0] for j in range(curves.shape[2])]
    assert min(first) > 0.5 and max(first) < 0.8 and min(middle) > 0.9
    i, j = np.triu_indices(len(points), 1)
    crossing = (curves[i, 0] < curves[j, 0]) != (curves[i, -1] < curves[j, -1])
    assert np.all(crossing.mean(axis=0) > 0.1)
    for params in points[:20]:
        np.testing.assert_array_equal(problem.transient(params, LEVELS[-1]), 0)
        sizes = [problem.transient(params, step) for step in LEVELS]
        assert np.all(np.diff(sizes, axis=0) < 0)


@pytest.mark.parametrize("problem", fidelity_problems(), ids=lambda problem: problem.name)
def test_a_few_trainings_diverge_at_a_middle_level_for_good(problem: Curved) -> None:
    points = random_points(problem, 2000, seed=1)
    levels = [problem.diverges_at(params) for params in points]
    assert set(levels) == {0, *LEVELS[1:-1]}
    assert 0.015 < np.mean(np.array(levels) > 0) < 0.045
    for params, level in [pair for pair in zip(points, levels, strict=True) if pair[1]][:5]:
        for step in LEVELS:
            values = problem.measure(params, step, 0) - problem.errors(params, step, 0, 1)
            curve = problem.landscape.true(params) + problem.transient(params, step)
            if step < level:
                np.testing.assert_allclose(values[0], curve[0])
            else:
                assert np.all(values[0] > problem.reference)
        assert np.all(problem.true(params) > problem.reference)


def recording(path: Path, trials: int) -> Path:
    """Trainings whose ends are smooth functions of two parameters and the count, halfway there at step 10."""
    rng = np.random.default_rng(0)
    search = [{"kind": "Uniform", "name": "x", "low": 0.0, "high": 2.0}]
    search += [{"kind": "Int", "name": "refinement_steps", "low": 1, "high": 3}]
    rows = []
    for trial in range(trials):
        params = {"x": 2 * rng.random(), "refinement_steps": int(rng.integers(1, 4))}
        ends = [smooth(params, count) for count in range(1, params["refinement_steps"] + 1)]
        half = [[(a + b) / 2 for a, b in zip(end, (2.0, 0.9, 20.0), strict=True)] for end in ends]
        rows.append({"params": params, "reports": {"10": half, "40": ends} if trial else {"10": half}})
    plain = {"metrics": ["fid", "ms_ssim", "psnr"], "levels": [10, 40], "input": [2.0, 0.9, 20.0]}
    path.write_text(json.dumps({**plain, "search": search, "trials": rows}))
    return path


def smooth(params: dict[str, Any], count: int) -> tuple[float, float, float]:
    x = params["x"]
    return 0.3 + (x - 1) ** 2 + 0.1 * count, 0.9 - 0.02 * x, 21 - x - 0.2 * count


def test_a_recording_gives_its_recorded_values(tmp_path: Path) -> None:
    problem, _ = recorded_problems(recording(tmp_path / "r.json", 12))
    assert problem.reference == pytest.approx((3.0, 1 - 0.85, -17.0))
    for params in problem.pool[1:]:
        ends = [smooth(dict(params), count) for count in range(1, params["refinement_steps"] + 1)]
        expected = np.array([[fid, 1 - ms_ssim, -psnr] for fid, ms_ssim, psnr in ends])
        np.testing.assert_allclose(problem.true(params), expected)
        np.testing.assert_array_equal(problem.measure(params, 40, 0), problem.measure(params, 40, 7))
    diverged = problem.pool[0]
    assert np.all(problem.measure(diverged, 40, 0) > problem.reference)
    assert np.all(problem.measure(diverged, 10, 0) < problem.reference)
    finished = np.concatenate([problem.true(params) for params in problem.pool[1:]])
    assert problem.front_volume == pytest.approx(moocore.hypervolume(finished, ref=problem.reference))
    with pytest.raises(KeyError):
        problem.measure({"x": 0.123, "refinement_steps": 1}, 40, 0)


def test_a_surrogate_predicts_what_was_left_out(tmp_path: Path) -> None:
    _, surrogate = recorded_problems(recording(tmp_path / "r.json", 40))
    for x in (0.2, 0.9, 1.6):
        params = {"x": x, "refinement_steps": 3}
        ends = np.array([smooth(params, count) for count in (1, 2, 3)])
        expected = np.column_stack([ends[:, 0], 1 - ends[:, 1], -ends[:, 2]])
        np.testing.assert_allclose(surrogate.true(params), expected, rtol=0.03)
        halfway = surrogate.measure(params, 10, 0)
        np.testing.assert_allclose(halfway, (expected + np.array([2.0, 0.1, -20.0])) / 2, rtol=0.05)
    grid = [smooth({"x": x}, count) for x in np.linspace(0, 2, 400) for count in (1, 2, 3)]
    front = np.array([[fid, 1 - ms_ssim, -psnr] for fid, ms_ssim, psnr in grid])
    assert surrogate.front_volume == pytest.approx(
        moocore.hypervolume(front, ref=surrogate.reference), rel=0.03
    )


def test_a_surrogates_noise_is_one_trainings_at_all_levels(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.json", 40)
    plain = json.loads(path.read_text())
    rng = np.random.default_rng(1)
    for trial in plain["trials"]:
        shift = 0.5 * rng.normal()  # of PSNR, at every level and count
        for rows in trial["reports"].values():
            for row in rows:
                row[2] += shift
    path.write_text(json.dumps(plain))
    surrogate = Surrogate(Recording.read(path))
    params = {"x": 1.0, "refinement_steps": 1}
    early, late = (
        np.array([surrogate.measure(params, s, seed)[0, 2] for seed in range(200)]) for s in (10, 40)
    )
    assert np.corrcoef(early, late)[0, 1] > 0.9
    assert 0.3 < late.std() < 0.6 and abs(late.mean() - surrogate.true(params)[0, 2]) < 0.1


def test_the_committed_recording_is_of_the_full_method() -> None:
    recorded, surrogate = recorded_problems()
    assert len(recorded.search) == 12 and recorded.levels == (15, 45, 133, 400)
    for params in recorded.pool:
        assert recorded.measure(params, 15, 0).shape == (params["refinement_steps"], 3)
        assert np.all((cube_of(recorded.search, params) >= 0) & (cube_of(recorded.search, params) <= 1))
    assert surrogate.true(recorded.pool[0]).shape == (recorded.pool[0]["refinement_steps"], 3)
    other = with_learning_rate()
    assert {d.name for d in other.search} - {d.name for d in recorded.search} == {"lr"}
    assert other.levels == (15, 44, 133, 400) and len(other.recording.finished) == len(other.pool) == 27
    assert other.reference == pytest.approx(recorded.reference, rel=1e-3)
    for params in other.pool:
        assert other.true(params).shape == (params["refinement_steps"], 3)
        assert np.all((cube_of(other.search, params) >= 0) & (cube_of(other.search, params) <= 1))
