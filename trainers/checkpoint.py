"""A trial's state on disk: networks, averaged networks and optimisers as safetensors, the rest as JSON.

No random state is stored: every draw is a function of (seed, step, rank).
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainers import weights
from trainers.errors import InputError
from trainers.methods.base import Method
from trainers.weights import select_prefix

KEEP = 2
"""Checkpoints kept per trial: if the newest is damaged, the one before it is used."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its folder and the contents of its manifest."""

    folder: Path
    step: int
    facts: Mapping[str, Any]


def folder_of(trial: Path, step: int) -> Path:
    """Where the checkpoint of a step is published."""
    return trial / f"step-{step:09d}"


def save(method: Method, folder: Path, facts: Mapping[str, Any], samples: Mapping[str, Tensor]) -> None:
    """Publish a method's state with sample slices as ``folder``; only the last :data:`KEEP` are kept."""
    groups = {
        "samples": dict(samples),
        "networks": _prefixed(method.networks),
        "averaged": _prefixed(method.averaged),
    }
    groups["optimizers"] = {
        f"{name}.{index}.{key}": value
        for name, optimizer in method.optimizers.items()
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }
    weights.publish(folder, groups, facts, "checkpoint")
    for old in _folders(folder.parent)[:-KEEP]:
        shutil.rmtree(old)


def latest(trial: Path, key: str) -> Checkpoint | None:
    """The newest intact checkpoint of the trial ``key``; damaged ones are skipped."""
    for folder in reversed(_folders(trial)):
        try:
            facts = weights.verify(folder)
        except InputError:
            continue
        if facts["key"] == key:
            return Checkpoint(folder, int(facts["report"]["step"]), facts)
    return None


def load(method: Method, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's state into a freshly built method."""
    for group, networks in (("networks", method.networks), ("averaged", method.averaged)):
        tensors = weights.read_tensors(checkpoint.folder, group)
        for name, network in networks.items():
            network.load_state_dict(select_prefix(tensors, name))
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


def _folders(trial: Path) -> list[Path]:
    return sorted(p for p in trial.glob("step-*") if re.fullmatch(r"step-\d{9}", p.name))
