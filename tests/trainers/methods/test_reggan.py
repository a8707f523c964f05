"""RegGAN's own promises: what is stepped when, the correction in closed form, settings that fit the crop."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import SMALL, Updates, built, ignore
from tests.trainers.methods.helpers import batch as wide_batch
from trainers.config import FieldError
from trainers.data.batch import Batch
from trainers.losses import gan
from trainers.methods import reggan
from trainers.methods.base import RESTORER
from trainers.methods.reggan import Config, Method


def _method(**changes: Any) -> Method:
    settings = SMALL | {"registration_width": 4, "registration_levels": 3, "jitter": 0.0}
    result: Method = built(reggan, **settings | changes)
    return result


def _batch() -> Batch:
    wide = wide_batch()
    return Batch(0.9 * wide.source, wide.source_mask, 0.9 * wide.target, wide.target_mask)


def _at_rest(*networks: nn.Module) -> None:
    """The residual generator becomes the identity, the flow zero."""
    for network in networks:
        head = cast(nn.Conv2d, network.head)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(cast(Tensor, head.bias))


def test_published_defaults_pairing_by_level_and_too_many_halvings() -> None:
    """METHOD.md section 4."""
    c = Config()
    assert (c.lambda_GAN, c.lambda_corr, c.lambda_smooth) == (1, 20, 10)
    assert (c.lr, c.schedule, c.registration_width, c.registration_levels) == (1e-4, "constant", 32, 7)
    method = _method()
    assert method.pairing == "level"
    assert list(method.averaged) == ["G", RESTORER]
    assert Config(crop=64, registration_levels=6)
    with pytest.raises(FieldError, match=r"registration_levels: 7 .* at most 6"):
        Config(crop=64, registration_levels=7)


def test_losses_of_identity_without_flow_and_with_a_flow_that_explains_a_shift() -> None:
    method, batch = _method(), _batch()
    _at_rest(method.generator, method.registration)
    losses = method.step(batch, 0, ignore)
    distance = (batch.source - batch.target).abs().mean()
    assert float(losses["G_corr"]) == pytest.approx(20 * float(distance), rel=1e-5)
    assert float(losses["R_smooth"]) == float(losses["flow"]) == 0
    # The 3 T slice is the 64 mT one moved by two columns; the flow of -2 explains it inside.
    _at_rest(method.generator, method.registration)
    with torch.no_grad():
        cast(Tensor, method.registration.head.bias)[0] = -2.0
    columns = (torch.arange(32) - 2).clamp(min=0)
    moved = Batch(batch.source, batch.source_mask, batch.source[..., columns], batch.target_mask)
    losses = method.step(moved, 0, ignore)
    assert float(losses["G_corr"]) < 1e-3
    assert float(losses["flow"]) == pytest.approx(2)
    assert float(losses["R_smooth"]) == 0


def test_generator_and_registration_are_updated_first_and_the_discriminator_on_the_new_image() -> None:
    method, batch, scored, updates = _method(), _batch(), [], Updates()
    method.discriminator.register_forward_hook(lambda _, inputs, __: scored.append(inputs[0].detach()))

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        updates(names, loss)
        if "G" in names:
            _at_rest(method.generator)

    method.step(batch, 0, minimise)
    assert updates.order == [("G", "R"), ("D",)]
    assert float((scored[0] - batch.source).abs().max()) > 1e-3
    torch.testing.assert_close(scored[1], torch.cat((batch.target, batch.source)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("average", [False, True])
def test_one_score_a_patch_or_an_image(average: bool) -> None:
    method, batch = _method(discriminator_average=average), _batch()
    _at_rest(method.generator)
    losses = method.step(batch, 0, ignore)
    with torch.no_grad():
        logits = method.discriminator(batch.source)
    scores = logits.flatten(1).mean(1) if average else logits
    assert float(losses["G_GAN"]) == pytest.approx(float(gan.lsgan_generator(scores)), rel=1e-4)


def test_jitter_moves_both_domains_differently() -> None:
    """The same slice in both domains no longer matches itself; black stays exactly black."""
    method, batch, registered = _method(jitter=3.0), _batch(), []
    method.registration.register_forward_pre_hook(lambda _, inputs: registered.append(inputs))
    _at_rest(method.generator)
    blob = torch.full((2, 3, 32, 32), -1.0)
    blob[:, :, 10:22, 10:22] = 0.5
    method.step(Batch(blob, batch.source_mask, blob, batch.target_mask), 0, ignore)
    fake, target = registered[0]
    assert float((fake - target).detach().abs().max()) > 0.1
    assert bool((target[:, :, :4] == -1).all())
