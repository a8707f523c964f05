"""The sensitivity card of a cohort: whether each distance that trials report can see anatomy.

<storage>/cards/<cohort16>-<references16>-<version of the measures>.json
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainers.data import channels
from trainers.errors import InputError
from trainers.files import write_text
from trainers.metrics.corruptions import Pairs
from trainers.metrics.judge import Judge, encode
from trainers.metrics.names import VERSION
from trainers.metrics.realism import some_rows
from trainers.metrics.resampling import Jackknifed, repeated
from trainers.metrics.sensitivity import SensitivityCard, cards

LEAST = 2
"""Paired subjects without which no interval is known."""


def read_or_compute(root: Path, judge: Judge) -> dict[str, SensitivityCard]:
    """The card of each distance on a paired split, by its name; computed once and kept below ``root``.

    Empty for a cohort with fewer than :data:`LEAST` paired subjects.
    """
    if not judge.paired or len(judge.subjects) < LEAST:
        return {}
    path = root / "cards" / f"{judge.cohort.hash[:16]}-{judge.references.hash[:16]}-{VERSION}.json"
    if path.exists():
        return _read(path)
    found = compute(judge)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({name: card.to_json() for name, card in found.items()}, indent=1))
    return found


def _read(path: Path) -> dict[str, SensitivityCard]:
    try:
        kept = json.loads(path.read_text())
        return {name: SensitivityCard.from_json(card) for name, card in kept.items()}
    except (ValueError, InputError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); allowed: the card as written, or no file"
        ) from None


def compute(judge: Judge) -> dict[str, SensitivityCard]:
    """The card of each distance on the judge's paired subjects."""
    layout = judge.references.config.channels
    names = channels.contrasts(layout)

    def contrasts(slices: Tensor) -> Tensor:
        return torch.stack(list(judge.unit(slices).values()), 1)

    rows, groups = some_rows(judge.subjects)

    def distances(images: Tensor, mask: Tensor) -> Mapping[str, Jackknifed]:
        by_contrast = {c: 2 * image - 1 for c, image in zip(names, images.unbind(1), strict=True)}
        output = channels.restack(by_contrast, layout)
        features = encode(judge.references.domain, output)
        compared = [repeated("fid", judge.pools["domain"].frechet, features, groups)]
        compared += judge.realism.compare(output, mask, groups)
        return {name: value for each in compared for name, value in each.jackknifed().items()}

    pairs = Pairs(
        contrasts(judge.truth[rows]),
        judge.truth_mask[rows],
        contrasts(judge.source[rows]),
        judge.mask[rows],
        groups,
        judge.spacing,
    )
    return cards(pairs, distances)
