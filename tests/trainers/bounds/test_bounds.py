"""The supervised bound: what it is trained on, for how long, and how it is kept."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers import weights
from trainers.bounds import store
from trainers.bounds.config import BoundConfig
from trainers.data.neighbours import parted, surrounded
from trainers.data.sampling import Slices, halves
from trainers.data.store import Cohort, Split
from trainers.errors import InputError
from trainers.methods import cut, sdedit, syndiff, unsb
from trainers.metrics import baselines
from trainers.metrics.judge import Judge
from trainers.references.config import ReferenceConfig
from trainers.references.store import reference_hash

CONFIG = BoundConfig(
    **{"channels": "t1_t2_mean", "form": "residual", "width": 4, "blocks": 1, "crop": 64},
    **{"batch_size": 2, "share": 1.0, "steps": 3},
)


def trained(cohort: Cohort, root: Path) -> Path:
    for parts in store.stages(cohort, CONFIG, ("val", "test")):
        for part in parts:
            store.train_part(cohort.path, CONFIG, root, part)
    return store.bound_folder(root, cohort, CONFIG)


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tiny.cohort, tmp_path_factory.mktemp("bound"))


def test_it_has_the_trials_network_and_a_share_of_their_operations() -> None:
    trial = unsb.Config(generator_width=16, generator_blocks=3, steps=400, crop=64, batch_size=2)
    config = BoundConfig.of(trial, ReferenceConfig(crop=64, bound=0.5), 5.3)
    assert config is not None and (config.width, config.blocks, config.form) == (16, 3, "residual")
    assert config.steps == 0.5 * 5.3 * 400
    assert BoundConfig.of(cut.Config(generator="image"), ReferenceConfig()).form == "image"  # type: ignore[union-attr]
    assert BoundConfig.of(trial, ReferenceConfig(bound=0)) is None
    assert BoundConfig.of(sdedit.Config(), ReferenceConfig()) is None
    assert BoundConfig.of(syndiff.Config(), ReferenceConfig()) is None


def test_whole_pairs_have_the_neighbours_of_their_own_subject(tiny: Any) -> None:
    split = tiny.cohort.split("val")
    rows = np.arange(len(split.mask("64mT")))
    source = Slices(split, "t1_t2_mean", 64).whole(rows).source
    assert torch.equal(source, surrounded(parted(source)[0], tiny.judge.subjects))
    assert not torch.equal(*parted(source))


def test_every_crop_sees_as_many_pixels_and_the_largest_is_the_slice() -> None:
    config, shape = replace(CONFIG, steps=3000), (112, 96)
    assert config.crops(shape) == (64, 96, 112)
    seen = [config.steps_at(crop, shape) * crop * min(crop, 96) for crop in config.crops(shape)]
    assert seen == pytest.approx([3000 * 64**2] * 3, rel=2e-3)
    assert replace(CONFIG, crop=192).crops((224, 192)) == (192, 224)


def test_pairs_are_the_same_crop_of_the_requested_rows_at_both_fields(tiny: Any) -> None:
    split = tiny.cohort.split("val")
    for crop in (32, max(tiny.cohort.shape)):
        batch = Slices(split, "t1_t2_mean", crop).pairs(4, np.array([7]), 0, 1)
        drawn = {name: split.slices(name, "T1")[7].astype(np.float32) for name in ("64mT", "3T")}
        side = tuple(min(crop, n) for n in tiny.cohort.shape)
        for source, target in zip(batch.source[:, 0].numpy(), batch.target[:, 0].numpy(), strict=True):
            assert source.shape == target.shape == side
            found = [
                (turn, y, x)
                for turn, image in enumerate((drawn["64mT"], drawn["64mT"][:, ::-1]))
                for y in range(image.shape[0] - side[0] + 1)
                for x in range(image.shape[1] - side[1] + 1)
                if np.array_equal(image[y : y + side[0], x : x + side[1]], source)
            ]
            turn, y, x = found[0]
            other = drawn["3T"][:, :: 1 - 2 * turn]
            assert np.array_equal(other[y : y + side[0], x : x + side[1]], target)


def test_a_subjects_translation_does_not_depend_on_its_own_3_t(
    tiny: Any, folder: Path, tmp_path: Path
) -> None:
    """Its 3 T is replaced in a copy of the cohort; the crop, which is chosen by all, is left as it was."""
    first, second = halves(tiny.judge.subjects)
    copy = Cohort.open(shutil.copytree(tiny.cohort.path, tmp_path / "cohort"))
    for contrast in ("T1", "T2"):
        file = copy.path / "val" / f"3T_{contrast}.npy"
        values = np.load(file)
        values[first.numpy()] = 0
        np.save(file, values)
    other = tmp_path / "bounds" / folder.name
    for part in store.stages(copy, CONFIG, ())[0]:
        shutil.copytree(folder / part, other / part)
    for part in (store.FIRST, store.SECOND):
        store.train_part(copy.path, CONFIG, tmp_path, part)
    before, after = (
        store.translated(place, "val", tiny.judge.source, tiny.judge.subjects) for place in (folder, other)
    )
    assert torch.equal(before[first], after[first]) and not torch.equal(before[second], after[second])
    ids = [s.id for s in tiny.cohort.split("val").subjects("3T")]
    learnt = {part: weights.read_manifest(folder / part)["trained_on"] for part in ("first", "second", "all")}
    assert learnt == {"first": ids[::2], "second": ids[1::2], "all": ids}


def test_it_is_a_baseline_with_the_same_scores_each_time_it_is_opened(tiny: Any, folder: Path) -> None:
    output = baselines.output("supervised", tiny.judge, folder)
    assert output is not None
    assert (output[~tiny.judge.mask[:, None].expand_as(output)] == -1).all()
    assert torch.equal(output[:, 2], (output[:, 0] + output[:, 1]) / 2)
    scores = baselines.scores(tiny.judge, folder)
    assert scores["supervised"] == tiny.judge.score(output)
    assert baselines.output("supervised", tiny.judge) is None
    judge = Judge.of(tiny.cohort, tiny.references, "test")
    tested = baselines.output("supervised", judge, folder)
    assert tested is not None and tested.shape == judge.source.shape
    errors = {p.name: weights.read_manifest(p)["error"] for p in folder.glob("try-*")}
    assert min(errors, key=errors.__getitem__) == f"try-{store.chosen_crop(folder)}"
    assert "steps of crop" in store.describe(folder) and "1 of a trial's operations" in store.describe(folder)


def test_a_damaged_part_is_refused_and_another_budget_is_another_bound(
    tiny: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "bound")
    assert store.is_trained(copy, "first") and not store.is_trained(copy, "third")
    file = copy / "first" / "network.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    for refused in (lambda: store.is_trained(copy, "first"), lambda: store.read_network(copy, "first")):
        with pytest.raises(InputError, match=r"first/network\.safetensors: missing or damaged"):
            refused()
    assert store.has_bound(tiny.cohort)
    monkeypatch.setattr(Split, "subjects", lambda split, field: ("one",))
    assert not store.has_bound(tiny.cohort)
    longer = replace(CONFIG, steps=4)
    assert store.bound_folder(tmp_path, tiny.cohort, longer).name != folder.name


def test_the_references_do_not_depend_on_it(tiny: Any) -> None:
    changed = replace(tiny.references.config, bound=0.0)
    assert reference_hash(tiny.cohort, changed) == tiny.references.hash and changed == tiny.references.config
