"""An exported translator: the same outputs as in training, volumes on their own grid."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainers import checkpoint
from trainers.data.grid import GRIDS
from trainers.errors import InputError
from trainers.export import Translator, export
from trainers.loop import Loop, Task
from trainers.methods.base import translate_rows
from trainers.methods.unsb import Config
from trainers.metrics.judge import clamp_and_mask

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
    expected = clamp_and_mask(outputs[1], tiny.judge.mask[:5])
    assert torch.equal(Translator.open(folder).slices(tiny.judge.source[:5], tiny.judge.mask[:5]), expected)


def test_export_holds_the_translating_network_alone(exported: tuple[Loop, Path]) -> None:
    loop, folder = exported
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "translator.safetensors"]
    from safetensors.torch import load_file

    names = set(load_file(folder / "translator.safetensors"))
    assert names == {f"G.{key}" for key in loop.method.averaged["G"].state_dict()}


def test_another_draw_is_another_latent_and_the_same_one_again_the_same(
    exported: tuple[Loop, Path], tiny: Any
) -> None:
    loop, folder = exported
    translator, rows, mask = Translator.open(folder), tiny.judge.source[:3], tiny.judge.mask[:3]
    draws = [translator.slices(rows, mask, draw) for draw in (0, 1, 1)]
    assert torch.equal(draws[1], draws[2]) and not torch.equal(draws[0], draws[1])
    seeded = translate_rows(loop.method, loop.method.averaged, CONFIG, rows, CONFIG.seed + 1)
    assert torch.equal(draws[1], clamp_and_mask(seeded[1], mask))


def test_slices_are_chunked_without_a_seam(
    exported: tuple[Loop, Path], tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, rows, mask = Translator.open(exported[1]), tiny.judge.source[:5], tiny.judge.mask[:5]
    whole = translator.slices(rows, mask)
    monkeypatch.setattr("trainers.export.CHUNK", 2)
    assert torch.allclose(translator.slices(rows, mask), whole, atol=1e-5)


def test_a_translator_tells_the_grid_and_the_channels_it_was_trained_on(
    exported: tuple[Loop, Path], tiny: Any
) -> None:
    translator = Translator.open(exported[1])
    assert translator.grid == GRIDS["2mm"] and translator.channels == "t1_t2_mean"
    assert translator.facts["cohort"] == tiny.cohort.hash and translator.facts["steps"] == 2


def test_a_flipped_bit_is_refused(exported: tuple[Loop, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(exported[1], copy)
    content = bytearray((copy / "translator.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "translator.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"translator\.safetensors"):
        Translator.open(copy)
