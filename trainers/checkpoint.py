"""A trial's state on disk: networks, averaged networks and optimisers as safetensors, the rest as JSON.

No random state is stored: every draw is a function of (seed, step, rank). At a rung it has the report;
between rungs the last report, and what training has logged and taken since.
"""

import logging
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainers import weights
from trainers.errors import EnvironmentFault, InputError
from trainers.methods.base import Method
from trainers.places import mounts
from trainers.weights import select_prefix

KEEP = 2
"""Checkpoints kept per trial: if the newest is damaged, the one before it is used."""
STEP = re.compile(r"step-\d{9}")
Groups = dict[str, dict[str, Tensor]]
"""Tensors by file, by name."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its folder and the contents of its manifest."""

    folder: Path
    step: int
    facts: Mapping[str, Any]


class Saver:
    """Publishes a trial's checkpoints; those between rungs by a thread, while training goes on."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._copies: Groups = {}

    def start(self, groups: Groups, folder: Path, facts: Mapping[str, Any]) -> None:
        """Copy the tensors and publish the copy beside training; waits for an earlier call's work.

        One that could not be written is logged, not raised: the trial loses nothing before it ends.
        """
        self.wait()
        self._copies = {name: copied(group, self._copies.get(name, {})) for name, group in groups.items()}
        self._pending = self._thread.submit(save, self._copies, folder, dict(facts))

    def wait(self) -> None:
        """Until nothing is being written."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except (OSError, EnvironmentFault) as error:
            log.warning("a checkpoint between rungs was not saved: %s", error)


def folder_of(trial: Path, step: int) -> Path:
    """Where the checkpoint of a step is published."""
    return trial / f"step-{step:09d}"


def groups_of(method: Method, more: Groups, finished: bool) -> Groups:
    """A method's state and ``more``, not copied; of a ``finished`` training without optimisers."""
    groups = {**more, "networks": _prefixed(method.networks), "averaged": _prefixed(method.averaged)}
    if not finished:
        groups["optimizers"] = {
            f"{name}.{index}.{key}": value
            for name, optimizer in method.optimizers.items()
            for index, state in optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
    return groups


def copied(tensors: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in the memory of the CPU: ``into`` those of an earlier call, where they are alike."""
    copies = {}
    for key, value in tensors.items():
        copy = into.get(key)
        if copy is None or (copy.shape, copy.dtype) != (value.shape, value.dtype):
            copy = torch.empty(value.shape, dtype=value.dtype)
        copies[key] = copy.copy_(value.detach())
    return copies


def save(groups: Groups, folder: Path, facts: Mapping[str, Any]) -> None:
    """Publish a trial's state as ``folder``; only the last :data:`KEEP` are kept."""
    weights.publish(folder, groups, facts, "checkpoint")
    keep_newest(folder.parent, KEEP)


def keep_newest(trial: Path, count: int) -> None:
    """Remove all but the checkpoints of a trial that were published last, here and in its store.

    Damaged ones, and those of other settings, may have later steps: they do not take the place of new ones.
    Where the store does not answer, they stay.
    """
    try:
        for old in _by_time(trial)[: -count or None]:
            shutil.rmtree(old, ignore_errors=True)
            mounts.remove(old)
    except EnvironmentFault as fault:
        log.warning("%s: old checkpoints stay: %s", trial, fault)


def newest_step(trial: Path) -> int:
    """The step of the checkpoint that was published last, intact or not; 0 where none is known."""
    try:
        folders = _by_time(trial)
    except EnvironmentFault as fault:
        log.warning("%s: its checkpoints are not known: %s", trial, fault)
        return 0
    return int(folders[-1].name.removeprefix("step-")) if folders else 0


def sweep(trial: Path) -> None:
    """Remove what a killed process has left half-written; no other may write the trial meanwhile.

    A checkpoint that was being replaced takes its place again.
    """
    for left in trial.glob(".step-*"):
        place = trial / left.name[1:].partition(".")[0]
        if left.suffix == ".old" and not place.exists():
            left.rename(place)
        shutil.rmtree(left, ignore_errors=True)


def latest(trial: Path, key: str) -> Checkpoint | None:
    """The newest intact checkpoint of the trial ``key``, which other machines can see; damaged are skipped.

    Raises EnvironmentFault where a store does not answer.
    """
    for folder in reversed(_folders(trial)):
        try:
            facts = weights.verify(folder)
        except InputError as error:
            log.warning("%s; the checkpoint before it is used, if any", error)
            continue
        if facts["key"] == key:
            mounts.publish(folder)  # its first attempt may have failed
            step = facts["step"] if "step" in facts else facts["report"]["step"]  # earlier versions
            return Checkpoint(folder, int(step), facts)
    return None


def load(method: Method, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's state into a freshly built method; of a finished training, without optimisers."""
    for group, networks in (("networks", method.networks), ("averaged", method.averaged)):
        tensors = weights.read_tensors(checkpoint.folder, group)
        for name, network in networks.items():
            network.load_state_dict(select_prefix(tensors, name))
    if "optimizers.safetensors" in checkpoint.facts["sha256"]:
        tensors = weights.read_tensors(checkpoint.folder, "optimizers")
        for name, optimizer in method.optimizers.items():
            _load_optimizer(optimizer, select_prefix(tensors, name))


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, field = key.split(".")
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _prefixed(networks: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": v for name, network in networks.items() for key, v in network.state_dict().items()
    }


def _folders(trial: Path) -> dict[Path, float | None]:
    found = mounts.below(trial, "step-")
    return {path: time for path, time in found.items() if STEP.fullmatch(path.name)}


def _by_time(trial: Path) -> list[Path]:
    """The checkpoints in the order in which they were published, a store's by its own clock."""
    times = _folders(trial)

    def time(folder: Path) -> tuple[float, str]:
        manifest, there = folder / weights.MANIFEST, times[folder]
        here = manifest.stat().st_mtime_ns / 1e9 if manifest.exists() else 0.0
        return here if there is None else there, folder.name

    return sorted(times, key=time)
