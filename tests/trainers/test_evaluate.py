"""Evaluation on one split: what is published, done once, and what a cohort without pairs gives."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.small import loop_of, task_of
from trainers import evaluate, weights
from trainers.cohorts.phantom import PhantomConfig, prepare
from trainers.cost import seconds_per_step
from trainers.data import channels
from trainers.data.store import Cohort
from trainers.evaluate import Evaluation
from trainers.loop import Loop
from trainers.metrics.judge import DRAWS, Judge
from trainers.metrics.measures import EXTENDED
from trainers.metrics.names import METRICS, score_names


@pytest.fixture(scope="module")
def unpaired(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """One subject a split, none of the evaluated ones at 3 T."""
    root = tmp_path_factory.mktemp("unpaired")
    return Cohort.open(prepare(PhantomConfig(train=1, val=1, test=1, shifted=0, paired=False), root))


@pytest.fixture(scope="module")
def trained(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """A trial with its checkpoint."""
    folder = tmp_path_factory.mktemp("trial")
    loop = loop_of(tiny, task_of(tiny, folder, steps=2, rungs=1, refinement_steps=2))
    list(loop.reports())
    return loop


@pytest.fixture(scope="module")
def published(tiny: Any, trained: Loop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results on the test split of the input and of the trial, by translator."""
    root = tmp_path_factory.mktemp("results")
    return {name: evaluated(tiny, root / name, name, trained) for name in ("input", "checkpoint")}


def evaluated(tiny: Any, folder: Path, translator: str, trained: Loop) -> Any:
    source = str(trained.task.folder / "step-000000002") if translator == "checkpoint" else translator
    task = Evaluation(source, 2, tiny.cohort.path, tiny.folder, folder)
    return weights.verify(Path(evaluate.evaluate(task))) | {"folder": folder}


def test_the_input_scores_as_by_the_judge_of_the_test_split_with_draws_of_subject_means(
    tiny: Any, published: dict[str, Any]
) -> None:
    judge, facts = Judge.of(tiny.cohort, tiny.references, "test"), published["input"]
    expected = judge.score(judge.source)
    assert facts["scores"].keys() == expected.keys()
    for name, (estimate, draws) in facts["scores"].items():
        assert estimate == pytest.approx(expected[name], rel=1e-6)
        assert len(draws) == DRAWS and np.std(draws) > 0
    assert facts["subjects"] == 2 and facts["costs"] == facts["measured"] == {}
    values = judge.per_subject(judge.source)["psnr_t1"].numpy()
    either = {(values[a] + values[b]) / 2 for a in (0, 1) for b in (0, 1)}
    draws = facts["scores"]["psnr_t1"][1]
    assert all(min(abs(draw - e) for e in either) < 1e-9 for draw in draws)
    assert {round(draw, 9) for draw in draws} == {round(e, 9) for e in either}


@pytest.mark.parametrize(("split", "other"), [("val", "test"), ("test", "val")])
def test_only_the_requested_split_is_opened(
    tiny: Any, trained: Loop, tmp_path: Path, split: str, other: str
) -> None:
    """The other split's files are removed. On validation the scores are those that the trial reported."""
    folder = trained.task.folder / "step-000000002"
    judge = tiny.judge if split == "val" else Judge.of(tiny.cohort, tiny.references, split)
    copy = shutil.copytree(tiny.cohort.path, tmp_path / "cohort")
    shutil.rmtree(copy / other)
    task = Evaluation(str(folder), 2, copy, tiny.folder, tmp_path / "r", split)
    scores = weights.verify(Path(evaluate.evaluate(task)))["scores"]
    output, _ = evaluate.translated(folder, 2, judge, torch.device("cpu"))
    for name, (estimate, draws) in judge.resampled(output).items():
        assert scores[name][0] == pytest.approx(estimate, rel=1e-6)
        assert scores[name][1] == pytest.approx(draws, rel=1e-6)
    if split == "val":
        reported = weights.read_manifest(folder)["report"]["scores"]["2"]
        del reported["seconds_per_volume"]
        assert {name: pair[0] for name, pair in scores.items()} == pytest.approx(reported, rel=1e-4)


def test_a_trained_translator_gives_costs_and_samples_and_is_evaluated_once(
    tiny: Any, trained: Loop, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = published["checkpoint"]
    generator = trained.method.networks["G"]
    assert facts["costs"]["parameters"] == sum(p.numel() for p in generator.parameters())
    assert facts["costs"]["seconds_per_volume"] > 0
    samples = weights.read_tensors(facts["folder"], evaluate.SAMPLES)
    assert {"T1 output", "T2 output", "T1 3 T"} <= samples.keys()
    monkeypatch.setattr(evaluate.Judge, "of", None)
    assert evaluated(tiny, facts["folder"], "checkpoint", trained) == facts


def test_without_pairs_realism_alone_is_measured(tiny: Any, unpaired: Cohort, tmp_path: Path) -> None:
    judge = Judge.of(unpaired, tiny.references, "val")
    assert not judge.paired and judge.baselines.keys() == {"input"}
    assert judge.baselines["input"].keys() >= {"fid", "kid", "piqe"}
    for contrasts in (("T1", "T2"), ("T2",)):
        known = set(score_names(contrasts, paired=False, radiology=False)) - EXTENDED.keys()
        assert judge.baselines["input"].keys() == {n for n in known if not judge.refusal(n)}
    known = score_names(channels.contrasts(tiny.references.config.channels), paired=True, radiology=False)
    measured = {name for name in known if not tiny.judge.refusal(name)} - EXTENDED.keys()
    assert tiny.judge.baselines["input"].keys() == measured <= set(METRICS)
    assert set(known) - set(score_names(("T2",), paired=True, radiology=False)) == {
        name for name in known if name.endswith("_t1")
    }
    assert not any("3 T" in title for title in judge.samples(judge.source))
    task = Evaluation("input", 1, unpaired.path, tiny.folder, tmp_path / "input")
    facts = weights.verify(Path(evaluate.evaluate(task)))
    assert "psnr" not in facts["scores"] and "dice" not in facts["extended"]


def test_it_is_published_on_how_many_subjects_a_measure_was_measured(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"dice": torch.tensor([0.5, 0.7]), "lesion_extent": torch.tensor([torch.nan, 0.4])}
    monkeypatch.setattr(Judge, "extended", lambda judge, output: values)
    task = Evaluation("input", 1, tiny.cohort.path, tiny.folder, tmp_path / "input")
    facts = weights.verify(Path(evaluate.evaluate(task)))
    assert facts["measured"] == {"lesion_extent": 1}
    estimate, draws = facts["extended"]["lesion_extent"]
    assert set(draws) == {estimate} and estimate == pytest.approx(0.4)


def test_the_seconds_of_a_step_are_measured_without_writing_its_folder(
    tiny: Any, trained: Loop, tmp_path: Path
) -> None:
    assert 0 < seconds_per_step(replace(trained.task, folder=tmp_path / "none")) < 10
    assert not (tmp_path / "none").exists()
