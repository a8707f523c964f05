"""The BIDS validator of the standard's authors, on a folder."""

import json
import subprocess
import sys
from pathlib import Path


def validated(folder: Path) -> list[str]:
    """Its errors, as ``CODE: file``."""
    command = [Path(sys.executable).with_name("bids-validator-deno"), folder, "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [f"{i['code']}: {i.get('location', '')}" for i in issues if i["severity"] == "error"]
