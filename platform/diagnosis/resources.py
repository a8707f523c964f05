"""What a machine or cluster has, and what the trials of a space need of it."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from platform.diagnosis.finding import Finding
from platform.execution import machine
from platform.execution.machine import Machine, require_fit
from platform.study.dimensions import Choice, Int, extremes, is_active
from platform.study.settings import Resources
from platform.study.study import Study
from typing import Any

import psutil

from trainers.config import build
from trainers.cost import step_bytes
from trainers.errors import InputError
from trainers.references.config import ReferenceConfig

SHARED = 1e9
"""Bytes of shared memory below which Ray's object store writes to a disk."""


def check_machine() -> Iterator[Finding]:
    """Cores, GPUs, memory and shared memory."""
    here, memory = Machine.here(), psutil.virtual_memory().total
    yield Finding("machine", "ok", f"{here.cpus} cpus, {here.gpus} gpus, {memory / 1e9:.0f} GB of memory")
    shared = Path("/dev/shm")
    if shared.exists() and (size := shutil.disk_usage(shared).total) < SHARED:
        text = f"{shared} has {size / 1e6:.0f} MB: Ray will be slow (in a container: --shm-size)"
        yield Finding("machine", "warning", text)


def check_cluster(address: str, resources: Resources) -> Iterator[Finding]:
    """Nodes, and how many trials fit on them; raises InputError where nothing answers."""
    from platform.execution import cluster

    cluster.start_ray(address, resources)
    nodes = cluster.machines()
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    yield Finding("cluster", "ok", f"{len(nodes)} nodes, {cpus} cpus, {gpus} gpus")
    count = machine.places(resources, *nodes)
    text = f"{count} trials of {resources.cpus} cpus and {resources.gpus:g} gpus fit at a time"
    yield Finding("cluster", "ok" if count else "warning", text)


def check_space(study: Study, here: Machine | None) -> Iterator[Finding]:
    """Whether a trial fits ``here``, None for a cluster, and the memory of the one that needs most."""
    params, needed = most_expensive(study)
    settings = ", ".join(f"{name}={value}" for name, value in params.items()) or "as fixed"
    text = f"a trial needs about {needed / 1e9:.2g} GB ({settings})"
    if here is None:
        yield Finding("space", "ok", text)
        return
    try:
        require_fit(study, here)
    except InputError as error:
        yield Finding("space", "problem", str(error))
        return
    at_once = machine.concurrency(study.resources, here)
    have, where = (
        (_gpu_bytes(study.resources), "a GPU's share")
        if study.resources.gpus
        else (psutil.virtual_memory().total / at_once, f"1/{at_once} of the memory")
    )
    state: Any = "ok" if needed < 0.8 * have else "warning" if needed < have else "problem"
    yield Finding("space", state, f"{text}; {where} is {have / 1e9:.2g} GB")


def most_expensive(study: Study) -> tuple[Mapping[str, Any], int]:
    """The whole numbers and choices that need most memory, searched field by field, and the bytes.

    Other numbers change no shapes; they are at their greatest, where no term of a loss is switched off.
    """
    references = build(ReferenceConfig, study.references)

    def cost(params: Mapping[str, Any]) -> int:
        return step_bytes(study.method_of(params), study.point(params), references)

    shaping = [dimension for dimension in study.search if isinstance(dimension, Choice | Int)]
    params: dict[str, Any] = dict(study.start[0]) if study.start else {}
    for dimension in study.search:
        other = {**params, dimension.name: extremes(dimension)[1]} if dimension not in shaping else params
        params = params if study.refusal(other) or not is_active(dimension, other) else other
    needed = cost(params)
    for dimension in shaping:
        values = dimension.values if isinstance(dimension, Choice) else extremes(dimension)
        for value in values:
            other = {**params, dimension.name: value}
            if value == params.get(dimension.name) or not is_active(dimension, other) or study.refusal(other):
                continue
            if (more := cost(other)) > needed:
                params, needed = other, more
    names = {dimension.name for dimension in shaping}
    return {name: value for name, value in params.items() if name in names}, needed


def _gpu_bytes(resources: Resources) -> float:
    import torch

    size = float(torch.cuda.get_device_properties(0).total_memory)
    return size * min(1.0, resources.gpus / resources.workers)
