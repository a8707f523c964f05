"""SDEdit: add noise to the 64 mT slice and denoise it by a 3 T diffusion model (Meng et al. 2022).

The model starts as the cohort's shared 3 T teacher and is trained on for ``steps`` steps, so that it has
the same budget as the other methods; the source domain is not used in training (METHOD.md section 4).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from trainers.config import Range
from trainers.data.batch import Batch
from trainers.losses import ancestral, dmd
from trainers.methods import base
from trainers.networks.blocks import pad_to_multiple
from trainers.networks.denoiser import TRAIN_STEPS, Denoiser, schedule
from trainers.references.config import ReferenceConfig
from trainers.references.teacher import build_teacher, denoising_loss


@dataclass(frozen=True, kw_only=True)
class Config(base.TrialConfig):
    """Settings of one trial."""

    lr: Annotated[float, Range(1e-7, 1e-1)] = 1e-4
    """AdamW's, as the teacher's."""
    t0: Annotated[float, Range(0.01, 1)] = 0.4
    """Diffusion time up to which the source is noised: more is more realistic, less is more faithful."""
    repeats: Annotated[int, Range(1, 8)] = 3
    """K, passes of noising and denoising; each is a refinement step after which it may stop."""
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    """Ancestral, as published, or deterministic after the first noise."""
    stride: Annotated[int, Range(1, 500)] = 1
    """Timesteps skipped at a time; 1 evaluates the model repeats * t0 * 1000 times, as published."""

    @property
    def uses_teacher(self) -> bool:
        """The model starts as the teacher."""
        return True


class Method(base.Method):
    """Network T, the 3 T diffusion model."""

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config = config
        self.model: Denoiser = copy.deepcopy(context.teacher).requires_grad_(True).train()
        self.networks = {"T": self.model}
        self.optimizers = {
            "T": torch.optim.AdamW(self.model.parameters(), config.lr, (0.95, 0.999), weight_decay=1e-6)
        }
        self.alpha, self.sigma = schedule()
        self.finish_build(context)

    def to(self, device: torch.device) -> None:
        """Move the model and the noise schedule."""
        super().to(device)
        self.alpha, self.sigma = self.alpha.to(device), self.sigma.to(device)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """Denoise 3 T slices."""
        loss = denoising_loss(self.model, batch.target, self.alpha, self.sigma)
        minimise(("T",), loss)
        return {"T": loss.detach()}

    @staticmethod
    def translators(config: Config, references: ReferenceConfig) -> dict[str, nn.Module]:
        """The diffusion model."""
        return {"T": build_teacher(references)}

    @staticmethod
    @torch.no_grad()
    def translate(
        networks: Mapping[str, nn.Module], config: Config, source: Tensor, seed: int
    ) -> list[Tensor]:
        """Each pass noises the last one's output to t0 and denoises it; all slices share the noise."""
        model, generator = networks["T"], torch.Generator().manual_seed(seed)
        assert isinstance(model, Denoiser)
        height, width = source.shape[-2:]
        outputs, x = [], pad_to_multiple(source, model.fold)
        for _ in range(config.repeats):
            x = edit(model, config, x, generator)
            outputs.append(x[..., :height, :width])
        return outputs


def edit(model: Denoiser, config: Config, x: Tensor, generator: torch.Generator) -> Tensor:
    """One pass over images [B, 3, H, W] in [-1, 1]."""
    start = max(1, min(TRAIN_STEPS - 1, round(config.t0 * TRAIN_STEPS)))
    times = range(start, 0, -config.stride)
    path = ancestral.levels(*schedule(), start, config.stride)
    eta = float(config.sampler == "ddpm")

    def noise() -> Tensor:
        return torch.randn(x.shape[1:], generator=generator).to(x)

    x = path[0][0] * x + path[0][1] * noise()
    for t, level, cleaner in zip(times, path, path[1:], strict=False):
        v = model(x, torch.full((len(x),), t, device=x.device)).float()
        alpha, sigma = (x.new_tensor(value) for value in level)
        clean = dmd.clean_from_velocity(x, v, alpha, sigma, limit=1.0)
        x = ancestral.reverse_step(x, clean, level, cleaner, eta, noise() if eta else None)
    return x
