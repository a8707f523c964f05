"""RegGAN's own promises: what is stepped when, the correction in closed form, settings that fit the crop."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from trainers.config import FieldError
from trainers.data.batch import Batch
from trainers.losses import gan
from trainers.methods.base import Context
from trainers.methods.reggan import Config, Method
from trainers.references.config import ReferenceConfig

TINY: dict[str, Any] = {
    "crop": 32,
    "generator_width": 4,
    "generator_blocks": 1,
    "discriminator_width": 4,
    "registration_width": 4,
    "registration_levels": 3,
    "jitter": 0.0,
}


def _method(**changes: Any) -> Method:
    torch.manual_seed(0)
    context = Context(ReferenceConfig(), cast(Any, None), nn.Identity(), torch.zeros(1, 3, 32, 32))
    return Method(Config(**TINY | changes), context)


def _batch() -> Batch:
    rng = torch.Generator().manual_seed(0)
    source, target = (1.8 * torch.rand(2, 3, 32, 32, generator=rng) - 0.9 for _ in range(2))
    inside = torch.ones(2, 32, 32, dtype=torch.bool)
    return Batch(source, inside, target, inside)


def _at_rest(*networks: nn.Module) -> None:
    """The residual generator becomes the identity, the flow zero."""
    for network in networks:
        head = cast(nn.Conv2d, network.head)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(cast(Tensor, head.bias))


def _look(then: Callable[[Sequence[str]], None] = lambda names: None) -> tuple[list[tuple[str, ...]], Any]:
    calls: list[tuple[str, ...]] = []

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        calls.append(tuple(names))
        then(names)

    return calls, minimise


def test_slices_are_paired_by_level_and_only_the_generator_translates() -> None:
    method = _method()
    assert method.pairing == "level"
    assert list(method.averaged) == ["G"]


def test_published_defaults() -> None:
    """METHOD.md section 4."""
    c = Config()
    assert (c.lambda_GAN, c.lambda_corr, c.lambda_smooth) == (1, 20, 10)
    assert (c.lr, c.schedule, c.registration_width, c.registration_levels) == (1e-4, "constant", 32, 7)


def test_losses_of_identity_and_no_flow() -> None:
    method, batch = _method(), _batch()
    _at_rest(method.generator, method.registration)
    losses = method.step(batch, 0, _look()[1])
    distance = (batch.source - batch.target).abs().mean()
    assert float(losses["G_corr"]) == pytest.approx(20 * float(distance), rel=1e-5)
    assert float(losses["R_smooth"]) == float(losses["flow"]) == 0


def test_a_flow_that_undoes_a_shift_leaves_no_correction() -> None:
    """The 3 T slice is the 64 mT one moved by two columns; the flow of -2 explains it inside."""
    method, batch = _method(), _batch()
    _at_rest(method.generator, method.registration)
    with torch.no_grad():
        cast(Tensor, method.registration.head.bias)[0] = -2.0
    columns = (torch.arange(32) - 2).clamp(min=0)
    moved = Batch(batch.source, batch.source_mask, batch.source[..., columns], batch.target_mask)
    losses = method.step(moved, 0, _look()[1])
    assert float(losses["G_corr"]) < 1e-3
    assert float(losses["flow"]) == pytest.approx(2)
    assert float(losses["R_smooth"]) == 0


def test_generator_and_registration_go_first_and_the_discriminator_sees_the_new_image() -> None:
    method, batch, seen = _method(), _batch(), []
    method.discriminator.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    calls, minimise = _look(lambda names: _at_rest(method.generator) if "G" in names else None)
    method.step(batch, 0, minimise)
    assert calls == [("G", "R"), ("D",)]
    assert float((seen[0] - batch.source).abs().max()) > 1e-3
    torch.testing.assert_close(seen[1], torch.cat((batch.target, batch.source)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("average", [False, True])
def test_one_score_a_patch_or_an_image(average: bool) -> None:
    method, batch = _method(discriminator_average=average), _batch()
    _at_rest(method.generator)
    losses = method.step(batch, 0, _look()[1])
    with torch.no_grad():
        logits = method.discriminator(batch.source)
    scores = logits.flatten(1).mean(1) if average else logits
    assert float(losses["G_GAN"]) == pytest.approx(float(gan.lsgan_generator(scores)), rel=1e-4)


def test_jitter_moves_both_domains_differently() -> None:
    """The same slice in both domains no longer matches itself; black stays exactly black."""
    method, batch, seen = _method(jitter=3.0), _batch(), []
    method.registration.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    _at_rest(method.generator)
    blob = torch.full((2, 3, 32, 32), -1.0)
    blob[:, :, 10:22, 10:22] = 0.5
    method.step(Batch(blob, batch.source_mask, blob, batch.target_mask), 0, _look()[1])
    fake, target = seen[0]
    assert float((fake - target).detach().abs().max()) > 0.1
    assert bool((target[:, :, :4] == -1).all())


def test_too_many_halvings_are_refused() -> None:
    assert Config(crop=64, registration_levels=6)
    with pytest.raises(FieldError, match=r"registration_levels: 7 .* at most 6"):
        Config(crop=64, registration_levels=7)
