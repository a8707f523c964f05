"""Which candidates are retrained with which seeds, how they are ranked, told and drawn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from platform import confirm, promote
from platform.confirmation.ranking import Finalist, Scoring, flat, optimism, plain, single
from platform.confirmation.ranking import confirm as confirmed
from platform.confirmation.retraining import FOLDER, Checkpoint, Outcome, entries, new_seeds, outcome
from platform.confirmation.seed_report import bounded, closing, figure, markdown, overlay, terminal
from platform.pareto.front import Candidate, Front
from platform.pareto.selection import choose, kept_volume, saved_front
from platform.reporting.panels import Point
from platform.stats.ranks import Score
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.study.criteria import Criteria
from platform.study.settings import Objective
from platform.study.study import Study
from typing import Annotated, Any

import numpy as np
import pytest
from rich.console import Console

from trainers.config import Range
from trainers.errors import InputError
from trainers.metrics.frechet import Interval

OBJECTIVES = (Objective("fid", "minimize"), Objective("psnr", "maximize"))
CORNER = {"fid": 10.0, "psnr": 0.0}


@dataclass(frozen=True, kw_only=True)
class SeededConfig:
    """As much of a trial's configuration as a retraining changes."""

    weight: Annotated[float, Range(0, 100)] = 1.0
    steps: Annotated[int, Range(1, 100)] = 5
    seed: Annotated[int, Range(0, 100)] = 0


@pytest.fixture
def seeded(toy: Callable[..., Study]) -> Study:
    """A study whose configuration has a seed."""
    return toy(configs=(SeededConfig,), search=(), start=(), objectives=OBJECTIVES)


def front(*points: tuple[int, int, float, float], params: Mapping[str, Any] | None = None) -> Front:
    """Candidates (trial, steps, FID, PSNR)."""
    found = [
        Candidate(trial, steps, {"fid": fid, "psnr": psnr}, dict(params or {}), f"/trials/{trial}")
        for trial, steps, fid, psnr in points
    ]
    return Front(OBJECTIVES, CORNER, found)


STAIRS = front(
    (0, 1, 1.0, 1.0), (1, 1, 2.0, 5.0), (2, 1, 4.0, 7.0), (2, 2, 5.0, 8.0), (3, 1, 9.0, 8.5), (4, 1, 9, 1)
)
"""The knee is trial 2's at 2 steps; trial 4 is dominated."""


def test_the_knee_comes_first_then_what_adds_most_hypervolume() -> None:
    assert STAIRS.knee is not None and (STAIRS.knee.trial, STAIRS.knee.steps) == (2, 2)
    assert choose(STAIRS, 1) == [(2, 1), (2, 2)], "all of a trial's counts on the front are candidates"
    # Of 10 x 8 the knee's trial keeps 6 x 7 and 5 x 1; trial 0 adds 3 x 1, trial 1 2 x 5, trial 3 .5 x 1
    assert choose(STAIRS, 2) == [(2, 1), (2, 2), (1, 1)]
    order = list(dict.fromkeys(trial for trial, _ in choose(STAIRS, 9)))
    gains = [kept_volume(STAIRS, order[: i + 1]) for i in range(len(order))]
    for i in range(1, len(order)):
        others = [kept_volume(STAIRS, [*order[:i], t]) for t in (0, 1, 3) if t not in order[:i]]
        assert gains[i] == max(others)
    assert sorted(order) == [0, 1, 2, 3], "a dominated trial is no candidate, however many are asked for"


def test_the_greedy_choice_keeps_most_of_what_the_best_would_keep() -> None:
    rng = np.random.default_rng(0)
    fids = np.sort(rng.uniform(1, 9, 10))
    stairs = front(
        *(
            (i, 1, fid, psnr)
            for i, (fid, psnr) in enumerate(zip(fids, np.sort(rng.uniform(1, 9, 10)), strict=True))
        )
    )
    assert stairs.knee is not None
    best = max(kept_volume(stairs, [stairs.knee.trial, *pair]) for pair in combinations(range(10), 2))
    kept = kept_volume(stairs, [trial for trial, _ in choose(stairs, 3)])
    assert kept >= (1 - 1 / np.e) * best


def test_a_knee_that_keeps_nothing_takes_no_place() -> None:
    """Trial 1, though the front's knee, lies beyond the reference point: it is not the one to retrain."""
    beyond = front((0, 1, 1.0, 2.0), (1, 1, 10.5, 80.0), (2, 1, 40.0, 81.0))
    assert beyond.knee is not None and beyond.knee.trial == 1
    assert choose(beyond, 1) == [(0, 1)]
    more = front((0, 1, 1.0, 2.0), (1, 1, 10.5, 80.0), (3, 1, 2.0, 2.5), (2, 1, 40.0, 81.0))
    assert more.knee is not None and more.knee.trial == 1
    assert choose(more, 2) == [(3, 1), (0, 1)] and choose(more, 2, [(0, 1)]) == [(0, 1), (3, 1)]
    assert choose(more, 3) == [(3, 1), (0, 1), (1, 1)], "then the knee"
    nothing = front((0, 1, 11.0, 2.0), (1, 1, 12.0, 80.0), (2, 1, 40.0, 81.0))
    assert nothing.knee is not None and choose(nothing, 1) == [(nothing.knee.trial, 1)]


def test_asked_again_for_more_only_adds() -> None:
    few = choose(STAIRS, 2)
    many = choose(STAIRS, 3, few)
    assert many[: len(few)] == few and len(many) == len(few) + 1
    assert choose(STAIRS, 1, few) == few
    moved = front((7, 1, 0.5, 9.0))
    assert choose(moved, 2, [(1, 1)]) == [(1, 1), (7, 1)], (
        "what was begun stays, though the front has moved on"
    )
    assert choose(moved, 1, [(1, 1)]) == [(1, 1), (7, 1)], "but it takes no place of those on it"


def test_new_seeds_are_never_the_trials_own() -> None:
    assert new_seeds(0, 3) == [1, 2, 3] and new_seeds(1, 3) == [0, 2, 3] and new_seeds(9, 2) == [0, 1]


def test_every_trial_is_trained_with_its_first_new_seed_before_any_with_its_second(seeded: Study) -> None:
    searched = front((0, 1, 1.0, 1.0), (1, 1, 2.0, 2.0), (1, 2, 3.0, 3.0), params={"weight": 7.0})
    found = entries(seeded, searched, [(0, 1), (1, 1), (1, 2)], 2)
    assert [(e.entrant.name, e.seed) for e in found] == [
        ("confirm trial 0", 1),
        ("confirm trial 1", 1),
        ("confirm trial 0", 2),
        ("confirm trial 1", 2),
    ]
    assert {e.config.weight for e in found} == {7.0} and [e.config.seed for e in found] == [1, 1, 2, 2]
    assert found[0].method == seeded.methods[0] and found[0].entrant.label == "trial 0"


def test_an_outcome_names_what_finished_diverged_and_failed(seeded: Study, tmp_path: Path) -> None:
    searched = front((0, 1, 1.0, 1.0))
    keys, ledger = [(0, 1)], Ledger(tmp_path / FOLDER)
    for number, (entry, status) in enumerate(
        zip(entries(seeded, searched, keys, 4), ("completed", "diverged", "failed", "open"), strict=True)
    ):
        ledger.proposed(number, entry.params)
        report = {"step": 5, "steps": 5, "checkpoint": f"/confirm/{number}", "scores": {"1": {"fid": 1.0}}}
        ledger.reported(number, {**report, "losses": {}, "seconds": 1.0})
        if status != "open":
            ledger.ended(number, status, "why")  # type: ignore[arg-type]
    ledger.close()
    found = outcome(tmp_path, seeded, searched, keys, 4)
    assert found.checkpoints == (
        Checkpoint(0, 0, "/trials/0", True),
        Checkpoint(0, 1, "/confirm/0", False),
    )
    assert found.diverged == {0: 1} and found.failed == ("confirm trial 0, seed 3: why",)
    assert outcome(tmp_path, seeded, searched, keys, 0).checkpoints == (Checkpoint(0, 0, "/trials/0", True),)


def scoring(
    values: Mapping[tuple[int, int, int], tuple[float, float]], diverged: Mapping[int, int] | None = None
) -> Scoring:
    """Of FID and PSNR by (trial, seed, steps); seed 0 is the search's."""
    keys = sorted({(trial, steps) for trial, _, steps in values})
    checkpoints = sorted({(trial, seed) for trial, seed, _ in values})
    found = tuple(Checkpoint(trial, seed, "", seed == 0) for trial, seed in checkpoints)
    lost = dict.fromkeys((trial for trial, _ in keys), 0) | dict(diverged or {})
    scores = {
        key: {"fid": Score(fid, (fid - 0.1, fid + 0.1)), "psnr": Score(psnr, (psnr - 1, psnr + 1), 4)}
        for key, (fid, psnr) in values.items()
    }
    return Scoring(OBJECTIVES, keys, Outcome(found, lost, ()), scores)


LUCKY = {
    **{(0, 0, 1): (1.0, 8.0), (0, 1, 1): (5.0, 4.0), (0, 2, 1): (5.2, 4.2)},
    **{(1, 0, 1): (2.0, 7.0), (1, 1, 1): (2.1, 7.1), (1, 2, 1): (1.9, 6.9)},
}
"""Trial 0 was the search's best by the luck of its seed."""


def test_the_lucky_one_of_the_search_is_ranked_by_its_new_seeds() -> None:
    first, second = confirmed(scoring(LUCKY), front((0, 1, 1.0, 8.0), (1, 1, 2.0, 7.0)))
    assert (first.trial, first.rank, second.trial, second.rank) == (1, 1, 0, 2)
    assert first.seeds == second.seeds == (1, 2)
    assert second.searched == {"fid": 1.0, "psnr": 8.0}
    assert second.values["fid"].estimate == pytest.approx(5.1) == second.fresh["fid"]
    assert first.nondominated > 0.9 > 0.1 > second.nondominated
    gaps = optimism([first, second], OBJECTIVES)
    assert gaps == pytest.approx({"fid": (4.1 + 0.0) / 2, "psnr": (3.9 + 0.0) / 2})


def test_a_single_new_seed_is_averaged_with_the_searchs_own() -> None:
    one = {key: value for key, value in LUCKY.items() if key[1] < 2}
    found = {f.trial: f for f in confirmed(scoring(one), front((0, 1, 1.0, 8.0), (1, 1, 2.0, 7.0)))}
    assert found[0].seeds == (0, 1) and found[0].values["fid"].estimate == pytest.approx(3.0)
    assert found[0].fresh["fid"] == 5.0


def test_trainings_that_diverge_cost_the_rank_but_not_the_probability() -> None:
    values = {(t, s, 1): (2.0 + 0.1 * s + 0.02 * t, 5.0) for t in (0, 1) for s in (0, 1, 2)}
    steady = confirmed(scoring(values), front((0, 1, 2.0, 5.0), (1, 1, 2.02, 5.0)))
    shaky = confirmed(scoring(values, {0: 8}), front((0, 1, 2.0, 5.0), (1, 1, 2.02, 5.0)))
    assert [f.trial for f in steady] == [0, 1] and [f.trial for f in shaky] == [1, 0]
    assert shaky[1].nondominated == steady[0].nondominated and shaky[1].diverged == 8


def test_candidates_of_one_trial_are_told_apart_by_steps_in_whatever_order_they_come() -> None:
    values = {(t, s, k): (t + k + 0.01 * s, 5.0 + k) for t in (3, 1) for s in (0, 1, 2) for k in (1, 2)}
    made = scoring(values)
    turned = replace(made, keys=[(3, 2), (1, 1), (3, 1), (1, 2)])
    judged = front(*((t, k, values[t, 0, k][0], 5.0 + k) for t in (1, 3) for k in (1, 2)))
    for case in (made, turned):
        for finalist in confirmed(case, judged):
            expected = finalist.trial + finalist.steps + 0.015
            assert finalist.values["fid"].estimate == pytest.approx(expected)
            assert finalist.searched["fid"] == finalist.trial + finalist.steps


def test_an_intervals_bounds_stay_where_the_metric_can_be() -> None:
    objectives = (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
    wide = {"fid": [0.1, [-5.0, 5.0]], "ms_ssim": [0.9, [0.1, 1.7]]}
    facts = {"scores": wide, "extended": {}, "costs": {}, "subjects": 2}
    found = single(facts, objectives)
    assert found["fid"].low == 0.0 and found["ms_ssim"].high == 1.0


def test_the_cost_is_an_objective_like_the_others_where_it_was_measured() -> None:
    objectives = (Objective("seconds_per_volume", "minimize"),)
    facts = {"scores": {}, "extended": {}, "costs": {"seconds_per_volume": 3.0}, "subjects": 2}
    assert single(facts, objectives)["seconds_per_volume"].estimate == 3.0
    assert single({**facts, "costs": {}}, objectives) == {}


def finalist(**changes: Any) -> Finalist:
    values = {"fid": Interval(2.0, 1.5, 2.5), "psnr": Interval(20.0, np.nan, np.nan)}
    made = Finalist(3, 2, {"fid": 1.0, "psnr": 21.0}, values, {"fid": 2.0, "psnr": 20.0}, (1, 2), 0, 0.75, 1)
    return replace(made, **changes)


def test_metrics_are_named_by_candidate_and_leave_out_what_is_unknown() -> None:
    found = confirm.metrics([finalist()])
    assert found["confirm/3_2/fid"] == 2.0 and found["confirm/3_2/fid_low"] == 1.5
    assert found["confirm/3_2/fid_high"] == 2.5 and found["confirm/3_2/p_nondominated"] == 0.75
    assert found["confirm/3_2/searched_fid"] == 1.0 and "confirm/3_2/psnr_low" not in found
    assert flat("3_2", {"fid": Interval(1.0, 0.0, 2.0)}).keys() == {"3_2/fid", "3_2/fid_low", "3_2/fid_high"}


def test_json_has_null_where_nothing_is_known() -> None:
    found = json.loads(json.dumps(plain(finalist()), allow_nan=False))
    assert found["values"]["psnr"] == {"estimate": 20.0, "low": None, "high": None}


def test_tables_show_mean_interval_search_value_probability_and_rank() -> None:
    untouched = {"fid": Interval(9.0, 8.0, 10.0)}
    many = [finalist(), finalist(trial=4, rank=2, diverged=1)]
    text = markdown(many, OBJECTIVES, untouched)
    row = next(line for line in text.splitlines() if line.startswith("| 1 "))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("1", "3", "2", "2.000 [1.500, 2.500]", "1.000", "20.00", "21.00", "0.75", "1, 2")
    ]
    assert "1, 2, 1 diverged" in text and "untouched input" in text
    console = Console(width=120, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    console.print(terminal(many, OBJECTIVES, untouched))
    shown = console.export_text()
    assert "[1.500, 2.500]" in shown and "search 1.000" in shown and "9.000" in shown and "…" not in shown
    found = Outcome((), {}, ("confirm trial 3, seed 1: its worker died",))
    told = closing(many, OBJECTIVES, found, Path("/report"))
    assert "FID +1" in told and "PSNR (dB) +1" in told and "tries it again" in told and "/report" in told


def test_the_picture_holds_the_means_their_bars_and_where_they_came_from(tmp_path: Path) -> None:
    points = [
        Point(3, 2, {"fid": 1.0, "psnr": 21.0}, {}, True, True),
        Point(4, 1, {"fid": 3.0, "psnr": 22.0}, {}, True, False),
    ]
    many = [finalist(), finalist(trial=4, steps=1, rank=2)]
    page, picture = figure(many, OBJECTIVES, points, {"fid": 4.0, "psnr": 19.0}, tmp_path / "confirm")
    assert page.name == "confirm.html" and "P(non-dominated) 0.75" in page.read_text()
    assert picture.stat().st_size > 10_000
    bars = overlay(many, ("fid", "psnr"))
    assert bars.seen[0].tolist() == [1.0, 21.0] and bars.mean[0].tolist() == [2.0, 20.0]
    assert bars.arms[0].tolist() == [[0.5, 0.5], [0.0, 0.0]]
    alone = (OBJECTIVES[0],)
    assert figure(many, alone, points, {}, tmp_path / "one")[1].stat().st_size > 5_000


def test_a_bar_shows_all_points_and_does_not_crush_them() -> None:
    low, high = bounded(np.array([1.0, 3.0]), np.array([[-90.0, 2.5]]))
    assert -2 < low < 0 and 3 < high < 4
    low, high = bounded(np.array([1.0, 3.0]), np.array([[2.0, 4.0]]))
    assert low < 1 and 4 < high < 5


@pytest.mark.parametrize("option", ["--top", "--seeds"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_asking_for_nothing_is_refused(option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{option}: {value} is not allowed; allowed: 1 or more"):
        confirm.main(["some", option, value])


def begin(study: Study, root: Path, *statuses: str) -> Path:
    """A study with trials of such ends."""
    folder = Storage.open(root).study(study.name)
    ledger = Ledger(folder)
    kept = {
        "study": study.to_json(),
        "tracking": "sqlite:////nowhere.db",
        "cohort": "c",
        **Criteria(CORNER).plain(),
    }
    (folder / "study.json").write_text(json.dumps(kept))
    for number, status in enumerate(statuses):
        ledger.proposed(number, {})
        scores = {"1": {"fid": 1.0 + number, "psnr": 5.0 + number}, "2": {"fid": 8.0, "psnr": 1.0}}
        report = {
            "step": 6,
            "steps": 6,
            "checkpoint": f"/c/{number}",
            "scores": scores,
            "losses": {},
            "seconds": 1,
        }
        ledger.reported(number, report)
        ledger.ended(number, status)  # type: ignore[arg-type]
    ledger.close()
    return folder


def test_a_study_without_a_completed_trial_cannot_be_confirmed(smoke: Study, tmp_path: Path) -> None:
    begin(smoke, tmp_path, "diverged", "failed")
    with pytest.raises(InputError, match="study: no trial of 'smoke' has completed"):
        confirm.main(["smoke", "--storage", str(tmp_path)])
    assert not (tmp_path / "studies/smoke" / FOLDER).exists()
    with pytest.raises(InputError, match="'nobody' is not in"):
        confirm.main(["nobody", "--storage", str(tmp_path)])


def test_only_completed_trials_are_candidates(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, objectives=OBJECTIVES)
    folder = begin(study, tmp_path, "diverged", "completed", "completed")
    found = saved_front(folder, study, Criteria(CORNER).plain())
    assert {(c.trial, c.steps) for c in found.candidates} == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_promote_takes_the_first_of_the_confirmed_ranking(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, objectives=OBJECTIVES)
    folder = begin(study, tmp_path, "completed", "completed")
    judged = saved_front(folder, study, Criteria(CORNER).plain())
    with pytest.raises(InputError, match=r"'smoke' was never confirmed; allowed: it after"):
        promote.pick("confirmed", judged, folder)
    path = folder / promote.CONFIRMED
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"finalists": [plain(finalist(trial=1, steps=1)), plain(finalist(trial=0))]}))
    chosen = promote.pick("confirmed", judged, folder)
    assert (chosen.trial, chosen.steps, chosen.checkpoint) == (1, 1, "/c/1")
    assert promote.confirmed(folder, chosen) == {
        "confirmed.fid": "2 [1.5, 2.5]",
        "confirmed.psnr": "20",
        "confirmed.seeds": "1, 2",
        "confirmed.p_nondominated": "0.750",
    }
    assert promote.confirmed(folder, replace(chosen, steps=2)) == {}


def test_the_terms_of_a_confirmation_are_remembered(tmp_path: Path) -> None:
    assert confirm.read_terms(tmp_path) == ([], 0)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / confirm.TERMS).write_text(json.dumps({"candidates": [(3, 2)], "seeds": 4}))
    assert confirm.read_terms(tmp_path) == ([(3, 2)], 4)


def test_what_is_evaluated_is_each_training_at_its_trials_counts_and_the_input(tmp_path: Path) -> None:
    made = scoring({(t, s, k): (1.0, 1.0) for t, k in ((0, 1), (0, 2), (1, 3)) for s in (0, 1)})
    tasks = confirm.evaluations(made.keys, made.outcome, (Path("c"), Path("r")), tmp_path, "val")
    assert tasks.keys() == {"input", *made.scores}
    assert {task.split for task in tasks.values()} == {"val"}
    assert len({task.folder for task in tasks.values()}) == 7
    assert tasks[0, 1, 2].steps == 2 and tasks["input"].translator == "input"
