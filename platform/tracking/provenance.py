"""What a study was run with: space, code, packages and host, as tags of its MLflow run."""

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path
from platform.study.study import Study

from trainers import VERSION

PACKAGES = ("torch", "ray", "optuna", "mlflow", "accelerate", "diffusers")


def environment(*studies: Study) -> dict[str, str]:
    """Tags of a study, or of the studies of a comparison."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "space": ", ".join(study.path for study in studies),
        "profile": studies[0].profile or "",
        "digest": ", ".join(study.digest for study in studies),
        "code": VERSION,
        "git_commit": git_commit(),
        "python": sys.version.split()[0],
        "host": socket.gethostname(),
        **versions,
    }


def git_commit() -> str:
    """The checkout's commit, or "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
