"""Lesions of the test subjects one by one: what is left of their contrast, which vanish, which are false."""

from collections.abc import Sequence

import numpy as np

from tests.bench.evidence.patients import translated_rows
from tests.bench.evidence.results import Trained
from trainers.data.store import Cohort
from trainers.metrics.judge import Judge, clamp_and_mask
from trainers.metrics.lesion_rates import contrasts, deep_white, false_lesions
from trainers.metrics.lesions import LOST
from trainers.references.store import References

COLUMNS = ("contrast / 3 T's, median", "contrast / input's, median", "vanished", "false a subject")


def table(
    cohort: Cohort, references: References, trained: Sequence[Trained], names: Sequence[str]
) -> list[list[str]]:
    """Rows of the input, the 3 T and each system, over its seeds, on the test split."""
    judge = Judge.of(cohort, references, "test")
    assert not isinstance(judge.lesions, Exception)
    outputs = {"untouched input": [judge.source], "3 T": [judge.truth]}
    for name in names:
        own = [each for each in trained if each.system == name]
        outputs[name] = [translated_rows(judge.source, each, references, judge.subjects) for each in own]
    deep = deep_white(judge)
    before = contrasts(judge, judge.source)
    rows = []
    for name, seeds in outputs.items():
        finished = [clamp_and_mask(output, judge.mask) for output in seeds]
        found = [contrasts(judge, output) for output in finished]
        own, real = (np.concatenate([each[i] for each in found]) for i in (0, 1))
        of_input = np.concatenate([each[0] / before[0] for each in found])
        lost = float((own / real < LOST).mean())
        false = float(np.mean([false_lesions(judge, output, deep) for output in finished]))
        medians = float(np.median(own / real)), float(np.median(of_input))
        rows.append([name, *(f"{value:.2f}" for value in medians), f"{lost:.1%}", f"{false:.2f}"])
    return rows
