"""Validation: translated slices of one split against the 3 T pool (realism) and their own 3 T (fidelity).

What is fixed is fixed here and printed by :meth:`Judge.protocol`: grid and normalisation of the cohort store,
output clamped and black outside the input's brain mask, K slices per subject for the pooled distances, means
over slices, then over subjects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from trainers.cohorts import channels
from trainers.cohorts.sampling import whole_slices
from trainers.cohorts.store import Cohort
from trainers.metrics import frechet, paired, piqe
from trainers.metrics.aggregate import balanced_rows, by_subject
from trainers.references.store import References

SAMPLES = 2
"""Subjects whose middle slice is kept to be looked at."""


def finish(output: Tensor, mask: Tensor) -> Tensor:
    """An output [B, 3, H, W] as it is delivered: in [-1, 1], -1 outside the input's brain mask [B, H, W]."""
    return torch.where(mask[:, None], output.float().clamp(-1, 1), -1.0)


@dataclass(frozen=True)
class Judge:
    """One paired split, opened and encoded once, to score any number of translations of it."""

    references: References
    source: Tensor
    """[N, 3, H, W] in [-1, 1], the 64 mT slices to translate."""
    mask: Tensor
    """[N, H, W] bool, the brain in the source."""
    truth: Tensor
    """[N, 3, H, W], the paired 3 T slices."""
    subjects: tuple[tuple[int, int], ...]
    """Rows (start, stop) of each subject."""
    balanced: Tensor
    """Rows of the same K slices per subject."""
    pools: Mapping[str, frechet.Reference]
    """Features of the 3 T training pool, by encoder."""

    @classmethod
    def of(cls, cohort: Cohort, references: References, split: str) -> "Judge":
        """Judge of a paired split against the 3 T training pool; opens no other split."""
        rows, train, layout = cohort.split(split), cohort.split("train"), references.config.channels
        subjects = tuple((s.start, s.stop) for s in rows.subjects("64mT"))
        pool = tuple((s.start, s.stop) for s in train.subjects("3T"))
        per_subject = min(stop - start for start, stop in subjects + pool)
        everything = np.arange(subjects[-1][1])
        pool_slices = whole_slices(train, "3T", layout, balanced_rows(pool, per_subject).numpy())
        return cls(
            references=references,
            source=whole_slices(rows, "64mT", layout, everything),
            mask=torch.from_numpy(np.asarray(rows.mask("64mT")) > 0),
            truth=whole_slices(rows, "3T", layout, everything),
            subjects=subjects,
            balanced=balanced_rows(subjects, per_subject),
            pools={
                "fid": frechet.Reference.of(encode(references.domain, pool_slices)),
                "rad_fid": frechet.Reference.of(encode(references.radiology, pool_slices)),
            },
        )

    def score(self, output: Tensor) -> dict[str, float]:
        """Every measure of finished outputs [N, 3, H, W] of all rows of the split."""
        return self.realism(output) | self.fidelity(output)

    def realism(self, output: Tensor) -> dict[str, float]:
        """FID, KID, Rad-FID of the balanced rows against the pool; PIQE in the mask (mean of contrasts)."""
        rows = output[self.balanced]
        domain = encode(self.references.domain, rows)
        quality = [
            by_subject(piqe.piqe(image, self.mask), self.subjects).mean
            for image in self._unit(output).values()
        ]
        return {
            "fid": self.pools["fid"].frechet(domain),
            "kid": self.pools["fid"].kernel(domain),
            "rad_fid": self.pools["rad_fid"].frechet(encode(self.references.radiology, rows)),
            "piqe": float(np.mean(quality)),
        }

    def fidelity(self, output: Tensor) -> dict[str, float]:
        """PSNR (dB) and MS-SSIM per contrast against the paired 3 T, and their means over contrasts."""
        truth, images = self._unit(self.truth), self._unit(output)
        scores: dict[str, float] = {}
        for contrast, image in images.items():
            similarity = paired.ms_ssim(image, truth[contrast], self.scales)
            scores[f"psnr_{contrast.lower()}"] = by_subject(
                paired.psnr(image, truth[contrast]), self.subjects
            ).mean
            scores[f"ms_ssim_{contrast.lower()}"] = by_subject(similarity, self.subjects).mean
        for name in ("psnr", "ms_ssim"):
            scores[name] = float(np.mean([value for key, value in scores.items() if key.startswith(name)]))
        return scores

    def samples(self, output: Tensor) -> dict[str, Tensor]:
        """Middle slices [S, H, W] in [0, 1] of a few subjects: ``T1 input``, ``T1 output``, ``T1 3 T``..."""
        rows = [(start + stop) // 2 for start, stop in self.subjects[:SAMPLES]]
        images = {"input": self.source, "output": output, "3 T": self.truth}
        return {
            f"{c} {name}": x for name, image in images.items() for c, x in self._unit(image[rows]).items()
        }

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The untouched input's scores, and the floor: the paired 3 T itself against the pool, same N."""
        return {"input": self.score(self.source), "floor": self.realism(self.truth)}

    @property
    def scales(self) -> int:
        """MS-SSIM's scales that this slice size supports."""
        return paired.scales_for(tuple(self.truth.shape[-2:]))

    def protocol(self, cohort: Cohort) -> dict[str, str]:
        """Every choice behind the numbers, for reports."""
        fixed = {key: str(value) for key, value in cohort.manifest["choices"].items()}
        return fixed | {
            "fid": f"Frechet distance, {len(self.balanced)} slices, frozen 3 T-domain encoder "
            f"{self.references.hash[:12]}",
            "rad_fid": f"the same in the encoder '{self.references.radiology_label}'",
            "ms_ssim": f"{self.scales} scales on {self.truth.shape[-2]}x{self.truth.shape[-1]} slices",
            "output": "clamped, black outside the input's brain mask",
        }

    def _unit(self, images: Tensor) -> dict[str, Tensor]:
        """Each contrast [N, H, W] in [0, 1]."""
        return {c: (x + 1) / 2 for c, x in channels.split(images, self.references.config.channels).items()}


@torch.no_grad()
def encode(encoder: nn.Module, slices: Tensor, chunk: int = 64) -> Tensor:
    """Features [N, D] of slices [N, 3, H, W] on the CPU, in chunks on the encoder's device."""
    device = next(encoder.parameters()).device
    return torch.cat([encoder(part.to(device)).cpu() for part in torch.split(slices, chunk)])
