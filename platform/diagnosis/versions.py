"""Installed versions against the least that are safe to use here."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from platform.diagnosis.finding import Finding

from packaging.version import Version

SAFE = {
    "torch": ("2.10", "CVE-2026-24747: loading weights runs code"),
    "mlflow": ("3.17.2", "CVE-2026-116692: a server runs code of anyone who reaches it"),
    "ray": ("2.52", "CVE-2025-62593: a web page runs code on a cluster; no tokens before"),
    "safetensors": ("0.4", "checkpoints are read by it"),
    "pyyaml": ("5.4", "CVE-2020-14343: loading a file runs code"),
}
"""The least safe version of each package, and why."""


def check() -> Iterator[Finding]:
    """A line for each package that is missing or too old; one where there is none."""
    found = False
    for name, (least, why) in SAFE.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = ""
        if not installed or Version(installed) < Version(least):
            found = True
            yield Finding(
                "versions", "problem", f"{name} {installed or 'is missing'}: at least {least} ({why})"
            )
    if not found:
        yield Finding("versions", "ok", ", ".join(f"{name} {version(name)}" for name in SAFE))
