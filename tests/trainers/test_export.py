"""An exported translator: the same outputs as in training, volumes on their own grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers import checkpoint
from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.errors import InputError
from trainers.export import Translator, export
from trainers.loop import Loop, Task
from trainers.methods.base import translate_rows
from trainers.methods.unsb import Config
from trainers.metrics.judge import finish

CONFIG = Config(
    steps=2,
    rungs=1,
    batch_size=2,
    crop=32,
    generator_width=4,
    generator_blocks=1,
    discriminator_width=4,
    latent=8,
    nce_patches=16,
)


@pytest.fixture(scope="module")
def exported(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loop, Path]:
    """A trained loop and its export at two refinement steps."""
    work = tmp_path_factory.mktemp("export")
    loop = Loop(
        Task("unsb", CONFIG, tiny.cohort.path, tiny.folder, work / "trial"),
        tiny.cohort,
        tiny.references,
        tiny.judge,
    )
    list(loop.reports())
    source = checkpoint.folder_of(work / "trial", 2)
    export(work / "model", source, 2, tiny.cohort, tiny.references.config, {"fid": 1.0})
    return loop, work / "model"


def test_exported_outputs_equal_the_trained_ones(exported: tuple[Loop, Path], tiny: Any) -> None:
    loop, folder = exported
    method, rows = loop.method, tiny.judge.source[:5]
    outputs = translate_rows(method, method.averaged, CONFIG, rows, CONFIG.seed)
    expected = finish(outputs[1], tiny.judge.mask[:5])
    assert torch.equal(Translator.open(folder).slices(tiny.judge.source[:5], tiny.judge.mask[:5]), expected)


def test_export_holds_the_translating_network_alone(exported: tuple[Loop, Path]) -> None:
    loop, folder = exported
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "translator.safetensors"]
    from safetensors.torch import load_file

    names = set(load_file(folder / "translator.safetensors"))
    assert names == {f"G.{key}" for key in loop.method.averaged["G"].state_dict()}


def test_a_volume_keeps_its_grid_and_its_black(exported: tuple[Loop, Path], tiny: Any) -> None:
    _, folder = exported
    subject = tiny.cohort.split("test").subjects("64mT")[0].id
    volumes = native_volumes(PhantomConfig(train=3, val=2, test=2), subject)
    t1, affine = volumes["64mT", "T1"]
    t2, _ = volumes["64mT", "T2"]
    mask = (t1 != 0) & (t2 != 0)
    spacing = (float(affine[1, 1]), float(affine[0, 0]))
    outputs = Translator.open(folder).volume(t1, t2, mask, spacing)
    assert outputs.keys() == {"T1", "T2"}
    for volume in outputs.values():
        assert volume.shape == t1.shape and volume.dtype == np.float32
        assert volume.min() >= 0 and volume.max() <= 1
        assert not volume[:, :, ~mask.any((0, 1))].any()
        assert volume[mask].std() > 0.05


def test_an_empty_mask_is_refused(exported: tuple[Loop, Path]) -> None:
    empty = np.zeros((20, 20, 4), np.float32)
    with pytest.raises(InputError, match="mask is empty"):
        Translator.open(exported[1]).volume(empty, empty, empty > 0, (3.2, 3.2))


def test_a_flipped_bit_is_refused(exported: tuple[Loop, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(exported[1], copy)
    content = bytearray((copy / "translator.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "translator.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"translator\.safetensors"):
        Translator.open(copy)
