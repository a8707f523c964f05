"""Translating many slices: chunks, steps taken, and none taken that nobody asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainers.methods.base import translate_rows


class Lazy:
    """Yields source * 1, * 2, * 3, and notes each step it was driven to."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def translate(
        self, networks: Mapping[str, nn.Module], config: Any, source: Tensor, seed: int
    ) -> Iterator[Tensor]:
        for step in (1, 2, 3):
            self.steps.append((len(source), step))
            yield source * step + seed


@pytest.mark.parametrize(("steps", "expected"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_rows_are_translated_in_chunks_and_no_further_than_asked(steps: int | None, expected: int) -> None:
    method, source = Lazy(), torch.rand(5, 3, 8, 8)
    method_: Any = method
    outputs = translate_rows(method_, {}, None, source, seed=7, steps=steps, chunk=2)
    assert len(outputs) == expected
    for step, output in enumerate(outputs, 1):
        assert torch.equal(output, source * step + 7)
    assert method.steps == [(n, step) for n in (2, 2, 1) for step in range(1, expected + 1)]
