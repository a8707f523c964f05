"""From slices to subjects to the cohort: a subject counts once, however many its slices (DATA.md B1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import InputError


@dataclass(frozen=True, eq=False)
class SubjectMean:
    """A metric over the cohort."""

    mean: float
    """Over subjects; NaN if none has a value."""
    per_subject: Tensor
    """[S], float64; NaN for a subject without a value."""


def by_subject(values: Tensor, subjects: Sequence[tuple[int, int]]) -> SubjectMean:
    """Mean of slice values [N] in each subject, rows (start, stop), then over subjects; NaNs are skipped."""
    per_subject = torch.stack([values[start:stop].double().nanmean() for start, stop in subjects])
    return SubjectMean(float(per_subject.nanmean()), per_subject)


def subject_draws(subjects: int, resamples: int, seed: int) -> Tensor:
    """Draws of subjects [resamples, subjects], with replacement; the seed fixes them.

    Systems resampled by the same draws can be compared draw by draw.
    """
    return torch.randint(subjects, (resamples, subjects), generator=torch.Generator().manual_seed(seed))


def resampled_mean(values: Tensor, draws: Tensor) -> Tensor:
    """Means [R] of subjects' values [S] on ``draws`` [R, S] of subjects; NaN if none has a value.

    A mean of the drawn ones among the m subjects with a value would vary with their number too: drawn is
    their sum of deviations, over the m that are expected. So variance and skewness are those of means of m.
    """
    mean, present = values.nanmean(), ~values.isnan()
    deviations = torch.where(present, values - mean, 0)[draws].sum(1)
    return mean + deviations / measured_subjects(values)


def measured_subjects(values: Tensor) -> int:
    """How many subjects have a value, of [S]."""
    return int((~values.isnan()).sum())


def balanced_rows(subjects: Sequence[tuple[int, int]], per_subject: int) -> Tensor:
    """Rows [S * per_subject], int64, of the same number of slices of every subject, evenly spread.

    ``subjects`` are rows (start, stop). In order, none twice. Raises :class:`InputError` if one has fewer.
    """
    fewest = min(stop - start for start, stop in subjects)
    if not 1 <= per_subject <= fewest:
        raise InputError(f"per_subject: {per_subject} is not allowed; allowed: 1 to {fewest} (fewest slices)")
    start, stop = torch.tensor(subjects).T.unsqueeze(-1)
    # The middle of each of per_subject equal parts.
    middles = (2 * torch.arange(per_subject) + 1) * (stop - start) // (2 * per_subject)
    rows: Tensor = start + middles
    return rows.flatten()
