"""Our own trials as problems: recorded trainings of the full method, and a surrogate fitted to them.

``recorded.json`` holds trainings of search_spaces/asp_dmd.yaml at the laptop profile, of start points and
of quasi-random points: FID, MS-SSIM and PSNR at each level and refinement step count; ``recorded_lr.json``
others of real.yaml, which searches the learning rate too. Objectives are FID, 1 - MS-SSIM and -PSNR, the
reference point is a study's (platform/study/criteria.py).
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from platform.pareto.dominance import hypervolume, nondominated
from platform.study.criteria import reference_point
from platform.study.dimensions import Dimension, Int, IntLog, Log, Uniform
from platform.study.settings import Objective
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process.kernels import (  # type: ignore[import-untyped]
    RBF,
    ConstantKernel,
    Kernel,
    WhiteKernel,
)

from tests.bench.cube import Params, cube_of
from tests.bench.problems import Array, stream

PATH = Path(__file__).with_name("recorded.json")
LEARNING_RATE = Path(__file__).with_name("recorded_lr.json")
STEPS = "refinement_steps"
_KINDS = {"Uniform": Uniform, "Log": Log, "Int": Int, "IntLog": IntLog}


@dataclass(frozen=True)
class Recording:
    """Trainings [k, 3] at the levels that each reached; one that reached fewer than all has diverged."""

    search: tuple[Dimension, ...]
    levels: tuple[int, ...]
    reference: tuple[float, ...]
    pool: tuple[Params, ...]
    values: tuple[Mapping[int, Array], ...]

    @classmethod
    def read(cls, path: Path = PATH) -> "Recording":
        """The recording in a file."""
        plain = json.loads(path.read_text())
        search = tuple(_KINDS[d["kind"]](d["name"], d["low"], d["high"]) for d in plain["search"])
        objectives = [
            Objective("fid", "minimize"),
            Objective("ms_ssim", "maximize"),
            Objective("psnr", "maximize"),
        ]
        corner = reference_point(dict(zip(plain["metrics"], plain["input"], strict=True)), objectives)
        values = tuple(
            {int(step): _minimised(rows) for step, rows in trial["reports"].items()}
            for trial in plain["trials"]
        )
        pool = tuple(trial["params"] for trial in plain["trials"])
        reference = tuple(_minimised([[corner[o.name] for o in objectives]])[0].tolist())
        return cls(search, tuple(plain["levels"]), reference, pool, values)

    @property
    def finished(self) -> list[int]:
        """Indices of the trainings that reached the last level."""
        return [index for index, reached in enumerate(self.values) if self.levels[-1] in reached]

    @property
    def bad(self) -> Array:
        """Values [1, 3] of a training that diverged: beyond the reference."""
        return np.array([self.reference]) + np.array([[1.0, 0.1, 1.0]])


def _minimised(rows: Sequence[Sequence[float]]) -> Array:
    fid, ms_ssim, psnr = np.array(rows).T
    return np.stack([fid, 1 - ms_ssim, -psnr], axis=1)


@dataclass(frozen=True)
class Recorded:
    """Only the recorded configurations (``pool``) can be tried; each gives its recorded values."""

    recording: Recording
    name: str = "recorded"
    family: str = "recorded"

    @property
    def search(self) -> tuple[Dimension, ...]:
        """The recording's."""
        return self.recording.search

    @property
    def levels(self) -> tuple[int, ...]:
        """The recording's."""
        return self.recording.levels

    @property
    def reference(self) -> tuple[float, ...]:
        """The recording's."""
        return self.recording.reference

    @property
    def pool(self) -> tuple[Params, ...]:
        """The configurations that can be tried."""
        return self.recording.pool

    @cached_property
    def front_volume(self) -> float:
        """Of all that were recorded."""
        return hypervolume(np.concatenate([self.true(params) for params in self.pool]), self.reference)

    def true(self, params: Mapping[str, Any]) -> Array:
        """The recorded end [k, 3]."""
        return self.measure(params, self.levels[-1], 0)

    def measure(self, params: Mapping[str, Any], step: int, seed: int) -> Array:
        """The recorded values [k, 3] at a level; KeyError for parameters that are not in the pool."""
        return self.recording.values[self._index[_key(params)]].get(step, self.recording.bad)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {_key(params): index for index, params in enumerate(self.pool)}


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True, default=lambda value: value.item())


@dataclass(frozen=True)
class Surrogate(Recorded):
    """Gaussian processes over parameters and step count, one per level and objective, of finished trainings.

    Their length scales and noise are those of the last level, by maximum likelihood; FID is fitted on a log
    scale. A measurement adds the residuals of one recorded training, chosen by parameters and seed and the
    same at all levels, so that noise keeps its correlations.
    """

    name: str = "surrogate"
    family: str = "surrogate"

    @property
    def pool(self) -> None:  # type: ignore[override]
        """None: every point of the space can be tried."""

    def true(self, params: Mapping[str, Any]) -> Array:
        """The mean prediction [k, 3] at the last level for the counts 1 to ``refinement_steps``."""
        rows, _ = self._rows(cube_of(self.search, params)[None])
        return _end(self._mean(self.levels[-1], rows))

    def measure(self, params: Mapping[str, Any], step: int, seed: int) -> Array:
        """The prediction [k, 3] at a level with a recorded training's residuals."""
        rows, _ = self._rows(cube_of(self.search, params)[None])
        residuals = self._residuals[int(stream(self.name, params, seed).integers(len(self._residuals)))][step]
        counts = np.minimum(np.arange(len(rows)), len(residuals) - 1)
        return _end(self._mean(step, rows) + residuals[counts])

    @cached_property
    def front_volume(self) -> float:
        """Of the best front found by evolution: random points, then smaller and smaller steps from it."""
        rng = np.random.default_rng(0)
        cubes = rng.random((4096, len(self.search)))
        for scale in np.geomspace(0.3, 0.01, 16):
            rows, owners = self._rows(cubes)
            values = _end(self._mean(self.levels[-1], rows))
            parents = cubes[np.unique(owners[nondominated(values)])]
            chosen = parents[rng.integers(len(parents), size=1024)]
            cubes = np.concatenate(
                [parents, np.clip(chosen + scale * rng.standard_normal(chosen.shape), 0, 1)]
            )
        return hypervolume(values, self.reference)

    def _rows(self, cubes: Array) -> tuple[Array, NDArray[np.int64]]:
        """Inputs [rows, d + 1] of every candidate, its count last, and the index [rows] of its cube."""
        place = [d.name for d in self.search].index(STEPS)
        counts = np.array([self.search[place].at(u) for u in cubes[:, place]])
        owners = np.repeat(np.arange(len(cubes)), counts)
        count = np.concatenate([np.arange(1, n + 1) for n in counts])
        return np.column_stack([cubes[owners], count / 5]), owners

    def _mean(self, step: int, rows: Array) -> Array:
        return np.stack([model.predict(rows) for model in self._models[step]], axis=1)

    @cached_property
    def _inputs(self) -> Array:
        pool = self.recording.pool
        return self._rows(np.array([cube_of(self.search, pool[i]) for i in self.recording.finished]))[0]

    @cached_property
    def _models(self) -> dict[int, list[GaussianProcessRegressor]]:
        kernel = ConstantKernel() * RBF([1.0] * self._inputs.shape[1], (0.2, 20)) + WhiteKernel(
            0.05, (1e-3, 1)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound
            ends = [self._fitted(kernel, column) for column in self._targets(self.levels[-1]).T]
        return {
            step: [
                self._fitted(end.kernel_, column, optimizer=None)
                for end, column in zip(ends, self._targets(step).T, strict=True)
            ]
            for step in self.levels
        }

    def _fitted(self, kernel: Kernel, column: Array, **options: Any) -> GaussianProcessRegressor:
        return GaussianProcessRegressor(kernel, normalize_y=True, **options).fit(self._inputs, column)

    def _targets(self, step: int) -> Array:
        values = np.concatenate([self.recording.values[i][step] for i in self.recording.finished])
        return np.column_stack([np.log(values[:, 0]), values[:, 1:]])

    @cached_property
    def _residuals(self) -> list[dict[int, Array]]:
        """Of each finished training, at each level [k, 3]."""
        ends = np.cumsum([len(self.recording.values[i][self.levels[-1]]) for i in self.recording.finished])[
            :-1
        ]
        steps = {
            step: np.split(self._targets(step) - self._mean(step, self._inputs), ends) for step in self.levels
        }
        return [{step: parts[i] for step, parts in steps.items()} for i in range(len(ends) + 1)]


def _end(fitted: Array) -> Array:
    """Objectives from fitted values: FID was fitted on a log scale."""
    return np.column_stack([np.exp(fitted[:, 0]), fitted[:, 1:]])


def with_learning_rate() -> Recorded:
    """The trainings whose learning rate is searched too."""
    return Recorded(Recording.read(LEARNING_RATE), name="recorded-lr")


def recorded_problems(path: Path = PATH) -> tuple[Recorded, ...]:
    """Both, of one recording."""
    recording = Recording.read(path)
    return Recorded(recording), Surrogate(recording)
