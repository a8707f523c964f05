"""The law: ``trainers`` runs where neither the driver nor its libraries exist, and imports none of them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

WALK = """
import platform, pkgutil, sys  # Python's own platform is bound first, as in a Ray worker
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.split(".")[0] in ("ray", "optuna", "mlflow")
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
sys.path.insert(0, sys.argv[1])
import trainers

refused, count = [], 0
for module in pkgutil.walk_packages(trainers.__path__, "trainers."):
    try:
        __import__(module.name)
        count += 1
    except ModuleNotFoundError as error:
        refused.append(f"{module.name} needs {error.name}")
print(count, *refused, sep="\\n")
assert not hasattr(platform, "__path__")
assert not {"ray", "optuna", "mlflow"} & sys.modules.keys()
"""


def test_trainers_import_without_the_driver_and_its_libraries() -> None:
    command = [sys.executable, "-I", "-c", WALK, str(ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    count, *refused = done.stdout.split("\n")[:-1]
    files = [path for path in (ROOT / "trainers").rglob("*.py") if path.name != "__init__.py"]
    assert refused == ["trainers.trial needs ray"]
    assert int(count) >= len(files) - 1
