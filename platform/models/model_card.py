"""A registered model's card: where it comes from, and what it does to the known lesions of its cohort."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.evaluate import translated
from trainers.metrics import lesion_rates
from trainers.metrics.judge import Judge
from trainers.references.store import References

SPLIT = "val"
"""Whose lesions are measured: a promotion does not open the test splits."""
MISSING = "not measured"


def lesions(checkpoint: Path, steps: int, cohort: Cohort, references: Path) -> dict[str, Any]:
    """What a checkpoint does to the lesions of the cohort's validation split; or ``{MISSING: reason}``."""
    try:
        judge = Judge.of(cohort, References.open(references), SPLIT)
        if isinstance(judge.lesions, InputError):
            raise judge.lesions
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        output, _ = translated(checkpoint, steps, judge, device)
        found = asdict(lesion_rates.measure(judge, output))
    except InputError as error:
        return {MISSING: str(error)}
    rounded = {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in found.items()}
    return {"split": SPLIT} | {
        k: None if isinstance(v, float) and math.isnan(v) else v for k, v in rounded.items()
    }


def is_tag(key: str) -> bool:
    """Whether a tag is one of those of :func:`tags`."""
    return key.partition(".")[0] == "lesions"


def tags(found: Mapping[str, Any]) -> dict[str, str]:
    """The figures as tags of a model's version."""
    if MISSING in found:
        return {"lesions": MISSING}
    shown = {k: v for k, v in found.items() if v is not None}
    return {
        f"lesions.{key}": f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in shown.items()
    }


def sentence(found: Mapping[str, Any]) -> str:
    """The figures in words."""
    if MISSING in found:
        return f"Lesions: {MISSING}: {found[MISSING]}."
    false = MISSING if found["false"] is None else f"{found['false']:.2g} a subject"
    return (
        f"Lesions of the {found['split']} split ({found['parts']} parts and contrasts, {found['subjects']} "
        f"subjects): contrast {found['contrast']:.0%} of the input's and {found['contrast_of_3t']:.0%} of "
        f"the 3 T's (medians), vanished {found['vanished']:.1%}, false appearances {false}."
    )


def text(name: str, origin: Mapping[str, str], found: Mapping[str, Any]) -> str:
    """The card in Markdown, which is the version's description in the registry."""
    scores = [
        f"{k.removeprefix('validation.')} {v}" for k, v in origin.items() if k.startswith("validation.")
    ]
    return f"""# {name}

Translates brain MRI of about 64 mT to look like 3 T. Research only: the images are synthetic, not for
diagnosis.

- Origin: study {origin["study"]}, trial {origin["trial"]} at {origin["steps"]} refinement steps, cohort
  {origin["cohort"][:16]}.
- Validation: {", ".join(scores)}.
- {sentence(found)}
"""
