"""CycleGAN's losses in closed form, its order of updates, its pool in the checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from platform.spaces.loader import FOLDER, load_study
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import SMALL, Updates, batch, built, ignore
from trainers.loop import Loop, Task
from trainers.methods import cyclegan
from trainers.methods.cyclegan import Config, Method
from trainers.networks.resnet import ResNetGenerator
from trainers.references.config import ReferenceConfig


def method(**changes: Any) -> Method:
    settings: dict[str, Any] = {"pool_size": 3, "generator": "residual"}
    result: Method = built(cyclegan, **SMALL | settings | changes)
    return result


class Scale(nn.Module):
    """x to ``factor`` x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Constant(nn.Module):
    """A discriminator with the same logit everywhere."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), 1, 2, 2), self.logit)


def test_the_defaults_and_the_generators_size_are_the_published_ones() -> None:
    config = Config()
    assert (config.lambda_A, config.lambda_B, config.lambda_idt, config.pool_size) == (10, 10, 0.5, 50)
    assert (config.generator_width, config.generator_blocks, config.discriminator_width) == (64, 9, 64)
    assert (config.lr, config.discriminator_lr, config.schedule) == (2e-4, 2e-4, "linear")
    assert config.constant_part == 0.5
    trial = method()
    for optimizer in trial.optimizers.values():
        assert isinstance(optimizer, torch.optim.Adam)
        assert optimizer.defaults["betas"] == (0.5, 0.999)
    # METHOD.md section 4: resnet_9 has about 11.38 million parameters.
    generator = Method.translators(Config(), ReferenceConfig())["G"]
    assert sum(p.numel() for p in generator.parameters()) / 1e6 == pytest.approx(11.38, abs=0.01)


def test_identity_generators_close_the_cycle_and_keep_their_domain() -> None:
    trial, data = method(), batch()
    for name in ("G", "G_back"):
        generator = trial.networks[name]
        assert isinstance(generator, ResNetGenerator)
        nn.init.zeros_(generator.head.weight)
    logs = trial.step(data, 0, ignore)
    for name in ("G_cycle", "G_back_cycle", "G_idt", "G_back_idt"):
        assert float(logs[name]) < 1e-4
    for name, untouched in (("D", data.source), ("D_back", data.target)):
        expected = (trial.networks[name](untouched) - 1).square().mean()
        torch.testing.assert_close(logs[f"{name.replace('D', 'G')}_GAN"], expected.detach())


def test_cycles_and_identities_are_weighted_by_their_own_lambda() -> None:
    trial, data = method(lambda_A=3.0, lambda_B=7.0, lambda_idt=0.25), batch()
    trial.networks |= {"G": Scale(0.5), "G_back": Scale(2.0)}
    logs = trial.step(data, 0, ignore)
    assert float(logs["G_cycle"]) == float(logs["G_back_cycle"]) == 0
    torch.testing.assert_close(logs["G_idt"], 0.25 * 7 * 0.5 * data.target.abs().mean())
    torch.testing.assert_close(logs["G_back_idt"], 0.25 * 3 * data.source.abs().mean())
    trial, data = method(lambda_A=3.0, lambda_B=7.0), batch()
    trial.networks |= {"G": Scale(0.5), "G_back": Scale(1.0)}
    logs = trial.step(data, 0, ignore)
    torch.testing.assert_close(logs["G_cycle"], 3 * 0.5 * data.source.abs().mean())
    torch.testing.assert_close(logs["G_back_cycle"], 7 * 0.5 * data.target.abs().mean())


def test_generators_are_updated_first_by_the_sum_of_their_losses_and_discriminators_separately() -> None:
    updates = Updates()
    logs = method().step(batch(), 0, updates)
    assert updates.order == [("G", "G_back"), ("D",), ("D_back",)]
    parts = ("GAN", "cycle", "idt")
    total = sum(float(logs[f"G{end}_{part}"]) for end in ("", "_back") for part in parts)
    assert float(updates.losses["G", "G_back"].detach()) == pytest.approx(total, rel=1e-5)
    trial = method()

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        if "G" not in names:
            parameters = [*trial.networks["G"].parameters(), *trial.networks["G_back"].parameters()]
            assert torch.autograd.grad(loss, parameters, allow_unused=True) == (None,) * len(parameters)

    trial.step(batch(), 0, minimise)
    trial = method()
    trial.networks |= {"D": Constant(0.25), "D_back": Constant(-1.0)}
    logs = trial.step(batch(), 0, ignore)
    assert float(logs["G_GAN"]) == pytest.approx(0.75**2)
    assert float(logs["G_back_GAN"]) == pytest.approx(4)
    assert float(logs["D"]) == pytest.approx(0.5 * (0.75**2 + 0.25**2))
    assert float(logs["D_back"]) == pytest.approx(0.5 * (4 + 1))


def test_each_discriminator_has_a_pool_of_its_own_domain() -> None:
    trial = method()
    trial.networks |= {"G": Scale(0.5), "G_back": Scale(2.0)}
    data = [batch(seed) for seed in range(2)]
    for each in data:
        trial.step(each, 0, ignore)
    stored = trial.networks["pool"].images, trial.networks["pool_back"].images
    for pool, ends, factor in zip(stored, ("source", "target"), (0.5, 2.0), strict=True):
        made = factor * torch.cat([getattr(each, ends) for each in data])
        assert isinstance(pool, Tensor)
        assert all(any(torch.equal(image, one) for one in made) for image in pool)


def test_a_resumed_trial_finds_its_full_pools(tiny: Any, tmp_path: Path) -> None:
    study = load_study(FOLDER / "cyclegan.yaml", profile="smoke")
    task = Task("cyclegan", study.point(study.start[0]), tiny.cohort.path, tiny.folder, tmp_path / "trial")
    loop = Loop(task, tiny.cohort, tiny.references, tiny.judge)
    next(loop.reports())
    again = Loop(task, tiny.cohort, tiny.references, tiny.judge)
    for name in ("pool", "pool_back"):
        before, after = loop.method.networks[name].state_dict(), again.method.networks[name].state_dict()
        assert int(after["count"]) == 3 and bool(after["images"].std((1, 2, 3)).all())
        assert torch.equal(before["images"], after["images"])
