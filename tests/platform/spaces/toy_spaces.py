"""Search spaces of the toy classes, of one method and of two, and how an edit of them is refused."""

from pathlib import Path
from platform.spaces.loader import load_study
from platform.study.study import Study

import pytest

from tests.platform.toys import TOYS
from trainers.errors import InputError

ONE = """\
# a study
method: toy
objectives:
  fid: minimize
  ms_ssim: maximize
sampler: tpe
search:
  weight: {log: [0.1, 100]}
  edge: {uniform: [0.03, 0.2]}
  steps: {int: [1, 8]}
  updates: {int_log: [1, 16]}
  form: {choice: [image, residual]}
  order:
    choice:
      - 1
      - 2
fixed: {batch: 4, rate: 1e-4}
start_from:
  - {weight: 10, steps: 2}
  - {}
cohort: {source: brains, size: 1mm}
references: {teacher_steps: 300}
resources: {cpus: 2, gpus: 0.5, concurrent: 2, workers: 1}
budget: {trials: 8, hours: 1.5}
seed: 7
profiles:
  laptop:
    search: {weight: null, steps: {choice: [1, 2]}}
    fixed: {weight: 2}
    start_from: none
    cohort: {train: 2}
  other:
    cohort: {source: scans, folder: data}
    objectives: {psnr: maximize, fid: null}
"""
START = "start_from:\n  - {weight: 10, steps: 2}\n  - {}\n"

TWO = """\
method: [bridge, patch]
objectives: {fid: minimize}
cohort: {source: brains}
budget: {trials: 8}
fixed: {steps: 200, widths: [4, 8], limit: 20}
search:
  weight: {log: [0.1, 10]}
  idt: {choice: [true, false]}
  generator: {choice: [image, residual, legacy]}
  blocks: {int: [1, 9], step: 2, when: {generator: image}}
  latent: {int_log: [8, 256], when: {generator: [image, legacy], idt: true}}
  edge: {uniform: [0, 1], when: {blocks: [1, 3], method: bridge}}
  flip: {choice: [false, true], when: {method: patch}}
start_from: [{}, {method: patch, flip: true}, {generator: image, blocks: 3, edge: 0.5}]
"""

Case = tuple[tuple[str, int], str, str]
"""A text in a space and the line of the error, its replacement, and parts of the message between " ... "."""


def write(folder: Path, text: str, name: str = "space.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def load(folder: Path, text: str = ONE, profile: str | None = None) -> Study:
    return load_study(write(folder, text), profile=profile, classes=TOYS)


def both(of_one: list[Case], of_two: list[Case]) -> list[tuple[str, Case]]:
    """Each case with the space that it changes."""
    return [(ONE, case) for case in of_one] + [(TWO, case) for case in of_two]


def require_refused(folder: Path, text: str, case: Case) -> None:
    """The edited space is refused by one printable line with the file, the line and the parts in order."""
    (old, line), new, parts = case
    assert old in text
    with pytest.raises(InputError) as caught:
        load(folder, text.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(f"{folder}/space.yaml:{line}: ") and message.isprintable()
    position = 0
    for part in parts.split(" ... "):
        assert part in message[position:], message
        position = message.index(part, position) + len(part)
