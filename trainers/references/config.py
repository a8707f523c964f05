"""Settings of the networks that are trained once per cohort: teacher and encoders."""

import math
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

from trainers.config import FieldError, Range
from trainers.data.channels import Layout

Steps = Annotated[int, Range(1, 10**7)]


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """Settings of the frozen references; part of their content hash."""

    channels: Layout = "t1_t2_mean"
    """How a slice's contrasts make the three channels of every network."""
    crop: Annotated[int, Range(32, 512)] = 128
    """Side of the square crops on which the teacher trains; the trials' crop must equal it."""
    teacher_steps: Steps = 100_000
    teacher_batch: Annotated[int, Range(1, 1024)] = 16
    teacher_widths: tuple[int, ...] = (64, 64, 128, 128, 256, 256)
    """Channels of the U-Net's levels (METHOD.md section 3)."""
    teacher_layers: Annotated[int, Range(1, 4)] = 2
    teacher_attention: bool = True
    """Self-attention at the coarsest level."""
    teacher_patch: Annotated[int, Range(1, 4)] = 1
    """Pixels folded into channels along each side."""
    teacher_linear: bool = True
    """Whether the U-Net corrects a linear filter's estimate, and timesteps are spread over each batch."""
    teacher_lr: Annotated[float, Range(1e-6, 1e-2)] = 1e-4
    encoder_steps: Steps = 20_000
    encoder_batch: Annotated[int, Range(4, 1024)] = 32
    encoder_width: Annotated[int, Range(8, 64)] = 32
    """Channels of the encoders' first level; their features are 128 wide."""
    encoder_lr: Annotated[float, Range(1e-6, 1e-2)] = 1e-3
    radimagenet: str = ""
    """A safetensors file of RadImageNet's ResNet-50, for ``rad_fid``; empty: that is not measured."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    bound: Annotated[float, Range(0, 10)] = field(default=1.0, compare=False)
    """Operations of each training of the supervised bound, as a share of a trial's; 0: no such baseline.

    The references do not depend on it: it is not part of their hash.
    """

    teacher_check: bool = field(default=True, compare=False)
    """Whether new studies refuse a teacher that denoises worse than linear filters; not hashed either."""

    EARLIER: ClassVar[dict[str, Any]] = {"teacher_linear": False}
    """What the settings meant that did not exist from the start: see ``trainers.config.plain_values``."""

    def __post_init__(self) -> None:
        """Raises FieldError for widths that group norms, or a crop that the levels, cannot divide."""
        require_widths("teacher_widths", self.teacher_widths)
        fold = self.teacher_patch * 2 ** (len(self.teacher_widths) - 1)
        if self.crop % fold:
            raise FieldError("crop", self.crop, f"a multiple of {fold}, by which the teacher divides it")


def unhashed() -> set[str]:
    """The settings on which the references do not depend."""
    return {f.name for f in fields(ReferenceConfig) if not f.compare}


def require_widths(key: str, widths: tuple[int, ...]) -> None:
    """Raises FieldError for widths of a U-Net's levels that group norms cannot divide."""
    if len(widths) < 2 or min(widths) < 8 or math.gcd(*widths) < 4:
        raise FieldError(key, widths, "two or more widths of at least 8 with a common divisor of at least 4")
