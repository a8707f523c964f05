"""Versions, servers that others can reach, and what trials need of a machine."""

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from platform.diagnosis import network, resources, versions
from platform.diagnosis.finding import Finding
from platform.execution.machine import Machine
from platform.study.study import Study

import psutil
import pytest
import torch

from trainers.config import build
from trainers.cost import step_bytes
from trainers.methods.base import Context, find_method
from trainers.references.config import ReferenceConfig
from trainers.references.store import build_part
from trainers.references.teacher import build_teacher

LISTEN = """
import socket, sys
server = socket.create_server((sys.argv[2], 0))
print(server.getsockname()[1], flush=True)
input()
"""


def texts(findings: Iterator[Finding], state: str) -> list[str]:
    return [each.text for each in findings if each.state == state]


def test_an_old_or_missing_package_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert texts(versions.check(), "problem") == [] and len(texts(versions.check(), "ok")) == 1
    monkeypatch.setattr(versions, "SAFE", {"torch": ("999", "CVE"), "no-such-package": ("1", "reasons")})
    old, missing = texts(versions.check(), "problem")
    assert old.startswith("torch 2") and old.endswith("at least 999 (CVE)")
    assert missing == "no-such-package is missing: at least 1 (reasons)"


@pytest.mark.parametrize(("address", "reached"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_server_that_others_can_reach_is_a_problem(address: str, reached: bool) -> None:
    command = [sys.executable, "-c", LISTEN, "mlflow", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        found = [text for text in texts(network.check(), "problem") if port in text]
        server.communicate("\n")
    assert bool(found) == reached and all("MLflow" in text for text in found)


def test_a_token_that_others_can_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    for mode, count in ((0o644, 1), (0o600, 0)):
        token.chmod(mode)
        assert sum(str(token) in text for text in texts(network.check(), "problem")) == count


@pytest.mark.parametrize("name", ["cut", "inr"])
def test_memory_is_that_of_the_networks_and_grows_with_the_batch(name: str) -> None:
    """Four numbers a parameter, one an average; what backward keeps is proportional to the batch."""
    references = build(ReferenceConfig, {"teacher_widths": [16, 16], "teacher_layers": 1, "crop": 32})
    config = find_method(name).Config
    needed = [
        step_bytes(name, build(config, {"crop": 32, "batch_size": size}), references) for size in (2, 4, 6)
    ]
    context = Context(
        references, build_teacher(references), build_part("domain", references), torch.zeros(4, 3, 32, 32)
    )
    method = find_method(name).Method(build(config, {"crop": 32, "batch_size": 2}), context)
    of_networks = sum(p.numel() for net in method.networks.values() for p in net.parameters())
    of_averages = sum(p.numel() for net in method.averaged.values() for p in net.parameters())
    fixed = 4 * (4 * of_networks + of_averages)
    assert needed[0] > fixed
    assert needed[2] - needed[1] == pytest.approx(needed[1] - needed[0], rel=0.05)
    assert needed[0] - fixed == pytest.approx(needed[1] - needed[0], rel=0.3)


def test_a_space_that_does_not_fit_is_a_problem(smoke: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    params, needed = resources.most_expensive(smoke)
    assert params == {"refinement_steps": 3} or params == {"refinement_steps": 2}
    monkeypatch.setattr(resources, "most_expensive", lambda study: (params, needed))
    for factor, state in ((10.0, "ok"), (1.1, "warning"), (0.9, "problem")):
        memory = types.SimpleNamespace(total=int(factor * needed))
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        assert [each.state for each in resources.check_space(smoke, Machine(1, 0))] == [state]
    (found,) = resources.check_space(smoke, Machine(0, 0))
    assert found.state == "problem" and "cpus" in found.text
    assert [each.state for each in resources.check_space(smoke, None)] == ["ok"]
