"""Translated slices of one split, judged against the 3 T pool (realism) and their own 3 T (fidelity).

The protocol, printed by :meth:`Judge.protocol`: grid and normalisation of the cohort store, output clamped,
black outside the input's brain mask and rebuilt from the contrasts that are delivered, K slices per subject
for the pooled distances, means over slices, then over subjects. Scored is the brain of both input and 3 T.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from trainers.data import channels
from trainers.data.sampling import whole_slices
from trainers.data.store import DOMAINS, Cohort, Split
from trainers.errors import InputError
from trainers.metrics import frechet, lesions, paired, piqe
from trainers.metrics.aggregate import balanced_rows, by_subject, subject_draws
from trainers.metrics.extended import Subject, extended_measures, prepare_subjects
from trainers.metrics.lesions import Part
from trainers.metrics.measures import LESIONS
from trainers.metrics.names import VERSION
from trainers.metrics.realism import RealismPools
from trainers.metrics.resampling import Comparison, repeated
from trainers.references.store import References

SAMPLE_SUBJECTS = 2
"""Subjects whose middle slice is kept as a sample."""
DRAWS = 200
"""Draws of subjects for intervals."""
LEAST_EXTRAPOLATED = 4
"""Subjects without which no distance is extrapolated."""
_PART = 16  # slices at once
Distance = Callable[[Tensor], float]
"""Of features [N, D] to the pool."""


def clamp_and_mask(output: Tensor, mask: Tensor) -> Tensor:
    """An output [B, 3, H, W] clamped to [-1, 1], and -1 outside the input's brain mask [B, H, W]."""
    return torch.where(mask[:, None], output.float().clamp(-1, 1), -1.0)


@dataclass(frozen=True)
class Judge:
    """One paired split, opened once, that scores any number of translations.

    What is compared with is encoded at the first score: a process that only translates does not wait for it.
    """

    cohort: Cohort
    references: References
    source: Tensor
    """[N, 3, H, W] in [-1, 1], the 64 mT slices to translate."""
    mask: Tensor
    """[N, H, W] bool, the brain in the source."""
    truth: Tensor
    """[N, 3, H, W], the paired 3 T slices; N = 0 where the subjects were not scanned at 3 T."""
    truth_mask: Tensor
    """[N, H, W] bool, the brain in the 3 T; N as that of ``truth``."""
    subjects: tuple[tuple[int, int], ...]
    """Rows (start, stop) of each subject."""
    balanced: Tensor
    """Rows of the same K slices per subject."""
    split: str
    version: int = VERSION
    """Of the measures: that of the study which asks."""
    with_extended: bool = False
    """Whether scores include the extended measures, which take longer."""

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        references: References,
        split: str,
        version: int = VERSION,
        with_extended: bool = False,
    ) -> "Judge":
        """Judge of a paired split against the 3 T training pool; opens no other split.

        Raises InputError for a subject without a slice that shows brain at both fields.
        """
        rows, train, layout = cohort.split(split), cohort.split("train"), references.config.channels
        subjects = tuple((s.start, s.stop) for s in rows.subjects("64mT"))
        pool = tuple((s.start, s.stop) for s in train.subjects("3T"))
        per_subject = min(stop - start for start, stop in subjects + pool)
        everything = np.arange(subjects[-1][1])
        mask, truth_mask = (torch.from_numpy(np.asarray(rows.mask(field)) > 0) for field in DOMAINS)
        require_overlap(mask[: len(truth_mask)] & truth_mask, rows)
        return cls(
            references=references,
            source=whole_slices(rows, "64mT", layout, everything),
            mask=mask,
            truth=whole_slices(rows, "3T", layout, everything[: len(truth_mask)]),
            truth_mask=truth_mask,
            subjects=subjects,
            balanced=balanced_rows(subjects, per_subject),
            cohort=cohort,
            split=split,
            version=version,
            with_extended=with_extended,
        )

    @property
    def spacing(self) -> float:
        """In-plane spacing (mm)."""
        return self.cohort.spacing

    @cached_property
    def lesions(self) -> list[list[Part]] | InputError:
        """The lesions of each subject, or why none is scored; read when first asked for."""
        try:
            return lesions.read(self.cohort, self.split)
        except InputError as error:
            return error

    @cached_property
    def pools(self) -> Mapping[str, frechet.FeaturePool]:
        """Features of the 3 T training pool, as many slices a subject as are compared, by encoder."""
        train, count = self.cohort.split("train"), len(self.balanced) // len(self.subjects)
        rows = balanced_rows([(s.start, s.stop) for s in train.subjects("3T")], count).numpy()
        slices = whole_slices(train, "3T", self.references.config.channels, rows)
        encoders = self.references.encoders.items()
        return {name: frechet.FeaturePool.of(encode(encoder, slices)) for name, encoder in encoders}

    @cached_property
    def realism(self) -> RealismPools:
        """Pools of the distances that see anatomy."""
        return RealismPools(self.cohort, self.references)

    @cached_property
    def draws(self) -> Tensor:
        """Draws of subjects [DRAWS, S], the same for every output that is judged."""
        return subject_draws(len(self.subjects), DRAWS, seed=0)

    @property
    def region(self) -> Tensor:
        """[N, H, W] bool, the brain in both fields."""
        return self.mask[: len(self.truth_mask)] & self.truth_mask

    @property
    def paired(self) -> bool:
        """Whether the split's subjects were scanned at 3 T too."""
        return len(self.truth) > 0

    def score(self, output: Tensor) -> dict[str, float]:
        """Every measure of finished outputs [N, 3, H, W] of the split; NaN if any is not finite."""
        finite, output = bool(output.isfinite().all()), output.nan_to_num()
        values = self.per_subject(output) | (self.extended(output) if self.with_extended else {})
        scores = self.distances(output) | {name: float(each.nanmean()) for name, each in values.items()}
        return scores if finite else dict.fromkeys(scores, math.nan)

    def distances(self, output: Tensor, mask: Tensor | None = None) -> dict[str, float]:
        """FID, KID and perhaps Rad-FID of the balanced rows against the 3 T pool, and those of anatomy.

        ``mask`` [N, H, W]: the brain, where it is not the source's.
        """
        features = self._features(output)
        found = {name: distance(features[space]) for name, (space, distance, _) in self._distances.items()}
        if self._extrapolates:
            found["fid_infinity"] = self._pooled("fid", features).jackknifed()["fid"].extrapolated
        for comparison in self._comparisons(output, mask):
            found |= comparison.values()
        return found

    @property
    def _extrapolates(self) -> bool:
        return self.version > 1 and not self.refusal("fid_infinity")

    def _pooled(self, name: str, features: Mapping[str, Tensor]) -> Comparison:
        """The quick form of a pooled distance for any whole subjects."""
        space, _, quick = self._distances[name]
        count = len(self.balanced) // len(self.subjects)
        groups = [(i * count, (i + 1) * count) for i in range(len(self.subjects))]
        return repeated(name, quick, features[space], groups)

    def _comparisons(self, output: Tensor, mask: Tensor | None) -> list[Comparison]:
        if self.version == 1:
            return []
        return self.realism.compare(output, self.mask if mask is None else mask, self.subjects)

    def refusal(self, name: str) -> InputError | None:
        """Why a measure is left out."""
        if name in LESIONS:
            return self.lesions if isinstance(self.lesions, InputError) else None
        if name == "fid_infinity":
            return extrapolation_refusal(self.split, len(self.subjects))
        return self.realism.refusal(name)

    def per_subject(self, output: Tensor) -> dict[str, Tensor]:
        """Values [S] of each subject: PIQE in the mask and, with pairs, PSNR (dB) and MS-SSIM by contrast.

        ``piqe``, ``psnr`` and ``ms_ssim`` are means over the contrasts.
        """
        images, found = self.unit(output), {}
        qualities = [
            by_subject(in_parts(piqe.piqe, image, self.mask), self.subjects) for image in images.values()
        ]
        found["piqe"] = torch.stack([quality.per_subject for quality in qualities]).mean(0)
        if not self.paired:
            return found
        truth = self.unit(self.truth)
        for name, measure in self._fidelity.items():
            values = {
                c: by_subject(in_parts(measure, x, truth[c], self.region), self.subjects).per_subject
                for c, x in images.items()
            }
            found |= {f"{name}_{contrast.lower()}": value for contrast, value in values.items()}
            found[name] = torch.stack(list(values.values())).mean(0)
        return found

    def extended(self, output: Tensor) -> dict[str, Tensor]:
        """The extended measures [S] of each subject."""
        return extended_measures(self.unit(output), *self._references, self._prepared)

    @cached_property
    def _prepared(self) -> list[Subject]:
        """What the extended measures take from input and 3 T alone, for every output."""
        found = None if isinstance(self.lesions, InputError) else self.lesions
        brains = self.mask, self.region
        return prepare_subjects(*self._references, *brains, self.subjects, self.spacing, found)

    @property
    def _references(self) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Input and, with pairs, 3 T."""
        return self.unit(self.source), self.unit(self.truth) if self.paired else None

    def resampled(self, output: Tensor, mask: Tensor | None = None) -> dict[str, tuple[float, list[float]]]:
        """Every distance with its values on :data:`DRAWS` draws of subjects, the same for all.

        ``mask`` as in :meth:`distances`.
        """
        features, found = self._features(output), {}
        for name, (space, distance, _) in self._distances.items():
            _, values = self._pooled(name, features).resampled(self.draws)[name]
            found[name] = distance(features[space]), values.tolist()
        if self._extrapolates:
            # As uncertain as the distance itself: to first order a subject weighs as much in both.
            plain = self._pooled("fid", features).jackknifed()["fid"]
            shift = plain.extrapolated - plain.value
            found["fid_infinity"] = plain.extrapolated, [x + shift for x in found["fid"][1]]
        for comparison in self._comparisons(output, mask):
            for name, (estimate, values) in comparison.resampled(self.draws).items():
                found[name] = estimate, values.tolist()
        return found

    def samples(self, output: Tensor) -> dict[str, Tensor]:
        """Middle slices [S, H, W] in [0, 1] of a few subjects: ``T1 input``, ``T1 output``, ``T1 3 T``..."""
        rows = [(start + stop) // 2 for start, stop in self.subjects[:SAMPLE_SUBJECTS]]
        images = {"input": self.source, "output": output} | ({"3 T": self.truth} if self.paired else {})
        return {f"{c} {name}": x for name, image in images.items() for c, x in self.unit(image[rows]).items()}

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The untouched input's scores and, with pairs, the floor: their 3 T against the pool, same N."""
        floor = {"floor": self.distances(self.truth, self.truth_mask)} if self.paired else {}
        return {"input": self.score(self.source), **floor}

    @property
    def scales(self) -> int:
        """MS-SSIM's scales that this slice size supports."""
        return paired.scales_for(tuple(self.source.shape[-2:]))

    def protocol(self) -> dict[str, str]:
        """The protocol of the measures, for reports."""
        fixed = {key: str(value) for key, value in self.cohort.manifest["choices"].items()}
        label = self.references.radiology_label
        inside = "psnr, ms_ssim: the brain of input and 3 T; psnr_slice, ms_ssim_slice: whole slices"
        return fixed | {
            "fid": f"Frechet distance, {len(self.balanced)} slices, frozen 3 T-domain encoder "
            f"{self.references.hash[:12]}",
            **({"rad_fid": f"the same in the encoder '{label}'"} if label else {}),
            "ms_ssim": f"{self.scales} scales on {self.source.shape[-2]}x{self.source.shape[-1]} slices",
            "output": "clamped, black outside the input's brain mask",
            "region": "whole slices" if self.version == 1 else inside,
            "measures": f"version {self.version}",
        }

    @property
    def _distances(self) -> dict[str, tuple[str, Distance, Distance]]:
        """Each distance with the name of its encoder, and its quick form for values without each subject."""
        domain, radiology = self.pools["domain"], self.pools.get("radiology")
        found: dict[str, tuple[str, Distance, Distance]] = {
            "fid": ("domain", domain.fid, domain.frechet),
            "kid": ("domain", domain.kernel, domain.kernel),
        }
        if radiology:
            # The eigenvalues of torchmetrics take 10 s for ResNet-50's 2,048 features.
            found["rad_fid"] = "radiology", radiology.frechet, radiology.frechet
        return found

    def _features(self, output: Tensor) -> dict[str, Tensor]:
        rows = output[self.balanced]
        if self.version > 1:
            rows = channels.delivered(rows, self.references.config.channels)
        return {name: encode(encoder, rows) for name, encoder in self.references.encoders.items()}

    @property
    def _fidelity(self) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """Each score of ``names.FIDELITY``: outputs and 3 T [N, H, W] in [0, 1], their region; values [N]."""
        ms_ssim = partial(paired.ms_ssim, scales=self.scales)
        whole: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
            "psnr": lambda x, y, _: paired.slice_psnr(x, y),
            "ms_ssim": lambda x, y, _: ms_ssim(x, y),
        }
        if self.version == 1:
            return whole
        inside = {"psnr": paired.psnr, "ms_ssim": lambda x, y, region: ms_ssim(x, y, region=region)}
        return inside | {f"{name}_slice": measure for name, measure in whole.items()}

    def unit(self, images: Tensor) -> dict[str, Tensor]:
        """Each contrast [N, H, W] in [0, 1]."""
        return {c: (x + 1) / 2 for c, x in channels.split(images, self.references.config.channels).items()}


def extrapolation_refusal(split: str, subjects: int) -> InputError | None:
    """Why so few subjects of a split do not allow ``fid_infinity``."""
    if subjects >= LEAST_EXTRAPOLATED:
        return None
    allowed = f"allowed: {LEAST_EXTRAPOLATED} or more"
    return InputError(f"fid_infinity: {subjects} subjects of {split} are not allowed; {allowed}")


def require_overlap(region: Tensor, rows: Split) -> None:
    """Raises InputError for a paired subject whose brain masks at the two fields never overlap."""
    for subject in rows.subjects("3T"):
        if not region[subject.start : subject.stop].any():
            overlap = "its brain masks at 64 mT and at 3 T do not overlap in any slice"
            raise InputError(f"cohort: {subject.id}: {overlap}; allowed: scans that are registered")


def in_parts(measure: Callable[..., Tensor], *slices: Tensor) -> Tensor:
    """Values [N] of a measure of single slices; a few at once stay in a core's cache."""
    return torch.cat([measure(*part) for part in zip(*(torch.split(x, _PART) for x in slices), strict=True)])


@torch.no_grad()
def encode(encoder: nn.Module, slices: Tensor, chunk: int = 64) -> Tensor:
    """Features [N, D] of slices [N, 3, H, W] on the CPU, in chunks on the encoder's device."""
    device = next(encoder.parameters()).device
    return torch.cat([encoder(part.to(device)).cpu() for part in torch.split(slices, chunk)])
