"""Who can reach this user's servers, and whether they ask for a token."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from platform.diagnosis.finding import Finding

import psutil

SERVERS = {"raylet": "Ray", "gcs_server": "Ray", "dashboard.py": "Ray", "mlflow": "MLflow"}
"""A file that a process's command names, and whose process it is."""


def check() -> Iterator[Finding]:
    """Servers of Ray and MLflow that listen beyond this machine, and Ray's token."""
    reached: dict[str, set[int]] = {}
    for process in psutil.process_iter(["cmdline", "uids"]):
        if (owner := _owner(process)) is not None:
            reached.setdefault(owner, set()).update(_ports_of_all(process))
    asked = os.environ.get("RAY_AUTH_MODE", "token") == "token"
    for owner, ports in sorted(reached.items()):
        numbers = ", ".join(map(str, sorted(ports)))
        if not ports:
            yield Finding("network", "ok", f"{owner} listens on this machine alone")
        elif owner == "Ray" and asked:
            yield Finding(
                "network", "ok", f"Ray listens on all addresses (ports {numbers}) and asks for its token"
            )
        else:
            why = "RAY_AUTH_MODE is not token" if owner == "Ray" else "it asks nobody who they are"
            yield Finding("network", "problem", f"{owner} listens on all addresses (ports {numbers}): {why}")
    if not reached:
        yield Finding("network", "ok", "no server of Ray or MLflow of this user runs here")
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if token.exists() and token.stat().st_mode & 0o077:
        yield Finding("network", "problem", f"{token} can be read by others: chmod 600")


def _owner(process: psutil.Process) -> str | None:
    uids, words = process.info["uids"], process.info["cmdline"] or []
    if uids is None or uids.real != os.getuid():
        return None
    names = [Path(word).name for word in words]
    names += ["mlflow" for name in names if name.startswith("mlflow.server")]
    return next((SERVERS[name] for name in names if name in SERVERS), None)


def _ports_of_all(process: psutil.Process) -> Iterator[int]:
    """Ports on which a process listens beyond this machine."""
    try:
        found = process.net_connections(kind="tcp")
    except psutil.Error:
        return
    for connection in found:
        if connection.status == psutil.CONN_LISTEN and not ip_address(connection.laddr.ip).is_loopback:
            yield connection.laddr.port
