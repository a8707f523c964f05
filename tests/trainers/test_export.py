"""An exported translator: the same outputs as in training, volumes on their own grid."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.small import loop_of, task_of
from trainers import checkpoint
from trainers.data.grid import GRIDS
from trainers.errors import InputError
from trainers.export import Translator, export
from trainers.loop import Loop
from trainers.methods.base import translate_rows
from trainers.metrics.judge import clamp_and_mask


@pytest.fixture(scope="module")
def exported(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loop, Path]:
    """A trained loop and its export at two refinement steps."""
    work = tmp_path_factory.mktemp("export")
    loop = loop_of(tiny, task_of(tiny, work / "trial", steps=2, rungs=1))
    list(loop.reports())
    source = checkpoint.folder_of(work / "trial", 2)
    export(work / "model", source, 2, tiny.cohort, tiny.references.config, {"fid": 1.0}, {}, {})
    return loop, work / "model"


def test_outputs_are_the_trained_ones_and_the_checkpoints_and_each_draw_has_its_latent(
    exported: tuple[Loop, Path], tiny: Any
) -> None:
    loop, folder = exported
    method, rows, mask = loop.method, tiny.judge.source[:5], tiny.judge.mask[:5]
    outputs, seeded = (
        translate_rows(method, method.averaged, loop.config, rows, loop.config.seed + draw) for draw in (0, 1)
    )
    translator = Translator.open(folder)
    draws = [translator.slices(rows, mask, draw) for draw in (0, 1, 1)]
    assert torch.equal(draws[0], clamp_and_mask(outputs[1], mask))
    assert torch.equal(draws[1], draws[2]) and torch.equal(draws[1], clamp_and_mask(seeded[1], mask))
    assert not torch.equal(draws[0], draws[1])
    where = checkpoint.folder_of(loop.task.folder, 2), 1, tiny.references.config, translator.device
    assert torch.equal(Translator.of_checkpoint(*where).rows(rows), outputs[0])


def test_an_export_has_the_translating_network_its_grid_and_channels_and_is_verified(
    exported: tuple[Loop, Path], tiny: Any, tmp_path: Path
) -> None:
    loop, folder = exported
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "translator.safetensors"]
    names = set(load_file(folder / "translator.safetensors"))
    assert names == {f"{n}.{key}" for n, net in loop.method.averaged.items() for key in net.state_dict()}
    translator = Translator.open(exported[1])
    assert translator.grid == GRIDS["2mm"] and translator.channels == "t1_t2_mean"
    assert translator.facts["cohort"] == tiny.cohort.hash and translator.facts["steps"] == 2
    copy = tmp_path / "model"
    shutil.copytree(exported[1], copy)
    content = bytearray((copy / "translator.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "translator.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"translator\.safetensors"):
        Translator.open(copy)


def test_other_folders_of_weights_are_no_models(
    exported: tuple[Loop, Path], tiny: Any, tmp_path: Path
) -> None:
    source = checkpoint.folder_of(exported[0].task.folder, 2)
    places = {source: "a checkpoint", tiny.folder / "teacher": "a reference"}
    for place, kind in places.items():
        with pytest.raises(InputError, match=rf"^{place}: is {kind}; allowed: a model$"):
            Translator.open(place)
    earlier = tmp_path / "earlier"
    for copied, named in ((exported[1], None), (source, "something else")):
        shutil.copytree(copied, earlier, dirs_exist_ok=True)
        manifest = json.loads((earlier / "manifest.json").read_text())
        for key in ("kind", "format", "seal"):  # earlier versions had none
            del manifest[key]
        (earlier / "manifest.json").write_text(json.dumps(manifest))
        if named:
            with pytest.raises(InputError, match=f"is {named}; allowed: a model"):
                Translator.open(earlier)
        else:
            assert Translator.open(earlier).grid == GRIDS["2mm"]
