"""Settings of the supervised bound, which follow from those of a trial."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from trainers.config import Range
from trainers.data.channels import Layout
from trainers.networks.resnet import Norm
from trainers.references.config import ReferenceConfig

VERSION = 5
"""Of the training below; part of the content hash."""


@dataclass(frozen=True, kw_only=True)
class BoundConfig:
    """What the bound is trained by; its content hash with the cohort's."""

    channels: Layout
    form: Literal["residual", "image"]
    """Of the network: that of the trials' generator, without step and latent."""
    width: int
    blocks: int
    patch: int = 1
    norm: Norm = "slice"
    crop: int
    """The trials' crop, at which ``steps`` are counted."""
    batch_size: int
    share: float
    """Floating-point operations of each training, as a share of a trial's."""
    steps: Annotated[int, Range(1, 10**9)]
    """At the trials' crop; a larger one takes fewer, for the same number of pixels."""
    lr: float = 5e-4
    """Adam's, falling to 0 by half a cosine.

    Of 5e-4, 1e-3 and 2e-3 the best on halves of the second phantom's validation subjects (2 mm, crop 96, 311
    steps): 19.31, 19.16 and 19.01 dB; not tuned below.
    """
    seed: int = 0

    @classmethod
    def of(cls, trial: Any, references: ReferenceConfig, ratio: float = 1.0) -> "BoundConfig | None":
        """For a trial's settings; None without a generator of this kind, or where it is switched off.

        SDEdit, SynDiff and the INR have another one. ``ratio``: supervised steps with the operations of a
        trial's step at the same crop and batch; :func:`trainers.cost.bound_of` counts them.
        """
        if not references.bound or not hasattr(trial, "generator_width"):
            return None
        return cls(
            channels=references.channels,
            form="residual" if trial.generator in ("drift", "residual") else "image",
            width=trial.generator_width,
            blocks=trial.generator_blocks,
            patch=trial.generator_patch,
            norm=trial.generator_norm,
            crop=trial.crop,
            batch_size=trial.batch_size,
            share=references.bound,
            steps=max(1, round(references.bound * ratio * trial.steps)),
        )

    def crops(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Sides of the crops that are tried on slices of ``shape``: 1, 3/2 times the trials', the slice."""
        larger = (self.crop, self.crop * 3 // 8 * 4)
        return (*(crop for crop in larger if crop < max(shape) and crop <= min(shape)), max(shape))

    def steps_at(self, crop: int, shape: tuple[int, int]) -> int:
        """Steps that see as many pixels with crops of ``crop``, at most the slice, as ``steps`` do."""
        area = min(crop, shape[0]) * min(crop, shape[1])
        return max(1, round(self.steps * self.crop**2 / area))
