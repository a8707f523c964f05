"""CUT's terms against their definitions, and FastCUT's mirror against the networks' sampling grid."""

from platform.spaces.loader import FOLDER, load_study
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainers.methods.helpers import SMALL, Updates, batch, built, ignore, images, inside
from trainers.losses import nce
from trainers.methods import cut
from trainers.methods.cut import Config, Method, mirror

EVERY = 4096
"""More patches than pixels: every position is drawn, so that PatchNCE does not depend on the draw."""


def method(**changes: Any) -> Method:
    result: Method = built(cut, **SMALL | {"generator_blocks": 2} | changes)
    return result


def brain(side: int = 64) -> Tensor:
    """An image that is constant but for its middle, far from the edges for the features to see none."""
    image = -torch.ones(1, 3, side, side)
    image[..., 26:38, 24:38] = images(1, 14)[:, :, :12]
    return image.double()


def symmetric(trial: Method) -> None:
    """Every kernel made its own mirror image, in double precision."""
    trial.generator.double()
    trial.heads.double()
    for parameter in trial.generator.parameters():
        if parameter.ndim == 4:
            parameter.data.copy_((parameter.data + parameter.data.flip(-1)) / 2)


def flags(*values: bool) -> Tensor:
    return torch.tensor(values)


def test_the_published_settings_and_five_layers_are_used() -> None:
    study = load_study(FOLDER / "cut.yaml")
    published, restored, fast = (study.point(point) for point in study.start)
    for config, expected in ((published, (1, 1, True, False, 0.5)), (fast, (1, 10, False, True, 0.75))):
        settings = config.lambda_GAN, config.lambda_NCE, config.nce_idt, config.flip_equivariance
        assert (*settings, config.constant_part) == expected
        assert (config.lr, config.nce_patches) == (2e-4, 256)
        assert (config.generator_width, config.generator_blocks) == (64, 9)
    assert published == Config(lambda_restore=0) and restored == Config()
    trial = method(generator_blocks=9)
    maps = trial.generator.maps(images(1), 9)
    chosen = [maps[i] for i in trial.layers]
    assert [m.shape[1] for m in chosen] == [3, 8, 16, 16, 16]
    assert trial.layers == (0, 1, 2, 3, 7)
    out = trial.heads([nce.gather_positions(m, torch.zeros(1, 4, dtype=torch.long)) for m in chosen])
    assert [v.shape for v in out] == [(1, 4, 256)] * 5


def test_mirroring_is_about_the_middle_column_where_chosen_and_its_own_inverse() -> None:
    maps = images(2, 8)
    turned = mirror(maps, flags(True, False)).numpy()
    for column in range(1, 8):
        np.testing.assert_array_equal(turned[0, :, :, column], maps[0, :, :, 8 - column])
    np.testing.assert_array_equal(turned[0, :, :, 0], turned[0, :, :, 1])
    np.testing.assert_array_equal(turned[1], maps[1])
    every = flags(True, True)
    again = mirror(mirror(maps, every), every)
    assert torch.equal(again[..., 1:], maps[..., 1:])


def test_features_of_a_symmetric_network_turn_with_the_image() -> None:
    """They would not under a plain flip, which leaves the grid of the kept columns."""
    trial, image = method(generator_blocks=1), brain()
    symmetric(trial)
    with torch.no_grad():
        maps, mirrored, flipped = (
            trial.generator.maps(x, 1) for x in (image, mirror(image, flags(True)), image.flip(-1))
        )
    for level, (original, turned) in enumerate(zip(maps, mirrored, strict=True)):
        torch.testing.assert_close(mirror(turned, flags(True))[..., 1:], original[..., 1:])
        off = (flipped[level].flip(-1) - original).abs().max() / original.std()
        assert float(off) > 0.1 or level < 2  # both agree before the first down-sampling


def test_a_mirrored_translation_is_compared_with_the_same_positions() -> None:
    trial = method(nce_patches=EVERY, generator_blocks=1)
    symmetric(trial)
    image, everywhere = brain(), inside(1, 64)
    with torch.no_grad():
        upright = trial.contrast(image, image, everywhere, flags(False))
        turned = trial.contrast(image, mirror(image, flags(True)), everywhere, flags(True))
        unturned = trial.contrast(image, mirror(image, flags(True)), everywhere, flags(False))
    torch.testing.assert_close(turned, upright, rtol=1e-4, atol=1e-5)
    assert float(unturned) > float(upright) + 0.1


def test_the_identity_term_is_half_of_the_contrast_and_a_shift_costs_more() -> None:
    trial = method(nce_patches=EVERY)
    a, b, out, same = (images(2, seed=seed) for seed in range(4))
    upright = torch.zeros(4, dtype=torch.bool)
    with torch.no_grad():
        both = trial.contrast(torch.cat((a, b)), torch.cat((out, same)), inside(4), upright)
        first = trial.contrast(a, out, inside(2), upright[:2])
        second = trial.contrast(b, same, inside(2), upright[:2])
    torch.testing.assert_close(both, (first + second) / 2)
    trial = method(nce_patches=EVERY)
    image, upright = images(1), flags(False)
    with torch.no_grad():
        kept = trial.contrast(image, image, inside(1), upright)
        moved = trial.contrast(image, image.roll(3, -1), inside(1), upright)
    assert float(moved) > float(kept) + 0.5


@pytest.mark.parametrize("changes", [{}, {"nce_idt": False, "flip_equivariance": True}])
def test_the_weights_are_linear_and_the_discriminator_comes_first(changes: dict[str, Any]) -> None:
    logs, updates = [], [Updates(), Updates()]
    for weights, update in zip(({}, {"lambda_GAN": 3.0, "lambda_NCE": 10.0}), updates, strict=True):
        trial = method(**changes, **weights)
        torch.manual_seed(1)
        logs.append(trial.step(batch(), 0, update))
    torch.testing.assert_close(logs[1]["G_GAN"], 3 * logs[0]["G_GAN"])
    torch.testing.assert_close(logs[1]["G_NCE"], 10 * logs[0]["G_NCE"])
    assert [update.order for update in updates] == [[("D",), ("G", "F")]] * 2
    assert float(updates[0].losses["G", "F"].detach()) == pytest.approx(
        float(logs[0]["G_GAN"] + logs[0]["G_NCE"])
    )


def test_half_of_the_inputs_are_mirrored_with_equivariance_and_none_without() -> None:
    trial = method(flip_equivariance=True, nce_idt=False)
    received: list[Tensor] = []
    trial.generator.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    data, turned = batch(), 0
    for seed in range(40):
        torch.manual_seed(seed)
        trial.step(data, 0, ignore)
        for given, original in zip(received[-1], data.source, strict=True):
            upright = torch.equal(given, original)
            assert upright or torch.equal(given, mirror(original[None], flags(True))[0])
            turned += not upright
    assert 26 < turned < 54  # 80 fair coins: within three deviations of 4.5
    trial, data = method(), batch()
    received: list[Tensor] = []
    trial.generator.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    trial.step(data, 0, ignore)
    assert torch.equal(received[0], torch.cat((data.source, data.target)))
