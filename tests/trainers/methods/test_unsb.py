"""The bridge method's step: rollout, terms, weights by ratio, updates; against hand-made computations."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainers.methods.helpers import SMALL, ignore, images
from trainers.data.batch import Batch
from trainers.errors import InputError
from trainers.losses import term_gradients
from trainers.methods import base
from trainers.methods.unsb import Config, Method
from trainers.networks.denoiser import Denoiser
from trainers.references.config import ReferenceConfig

TINY: dict[str, Any] = SMALL | {"latent": 8, "nce_patches": 16, "steps": 40}


def method(**changes: Any) -> Method:
    """A small method of a fixed seed with an untrained teacher."""
    torch.manual_seed(0)
    teacher = Denoiser(channels=3, widths=(16, 16), layers=1, attention=False, patch=2).requires_grad_(False)
    unused: Any = nn.Identity()
    context = base.Context(ReferenceConfig(), teacher, unused, torch.zeros(1, 3, 32, 32))
    return Method(Config(**TINY | changes), context)


def brains() -> Batch:
    """Noise in the middle of black slices."""
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[:, 6:26, 6:26] = True
    source, target = (torch.where(mask[:, None], images(seed=seed), -1.0) for seed in (0, 1))
    return Batch(source, mask, target, mask)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dmd_ratio": 0.5}, "dmd_ratio: 0.5 is not allowed; allowed: 0, or lambda_DMD: 0, as either"),
        ({"asp_ratio": 2.0}, "asp_ratio: 2.0 is not allowed; allowed: 0, or lambda_ASP: 0, as either"),
        ({"ent_ratio": 1.0}, "ent_ratio: 1.0 is not allowed; allowed: 0, or w_ent: 0, as either"),
        (
            {"dmd_ratio": 1.0, "lambda_DMD": 0.0, "lambda_GAN": 0.0},
            "dmd_ratio: 1.0 is not allowed; allowed: 0, or lambda_GAN above 0",
        ),
    ],
)
def test_a_ratio_without_its_reference_or_beside_a_weight_is_refused(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        Config(**changes)
    assert "\n" not in str(refused.value)


def test_a_ratio_weights_its_term_by_the_norms_of_gradients() -> None:
    """On the same batch and draws at every step the running means are the norms of that step."""
    ratios = {"dmd_ratio": 0.5, "asp_ratio": 0.25, "ent_ratio": 0.125}
    off = {"lambda_DMD": 0.0, "lambda_ASP": 0.0, "w_ent": 0.0, "lambda_cls": 0.0}
    trial = method(refinement_steps=1, lambda_GAN=2.0, dmd_warm_up=0.0, sb_form="paper", **ratios, **off)
    for parameter in trial.critic.parameters():  # it starts as the teacher: no direction yet
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    found: dict[str, Tensor] = {}
    for step in (9, 10, 19):
        torch.manual_seed(1)
        found = trial.step(brains(), step, ignore)
        assert ("share_G_DMD" in found) == term_gradients.due(step)
        assert (float(found["G_DMD"]) == 0) == (step == 9)
    for term, ratio in (("G_DMD", 0.5), ("G_ASP", 0.25), ("G_ent", 0.125)):
        assert float(found[f"norm_{term}"] / found["norm_G_GAN"]) == pytest.approx(ratio, rel=1e-4)
