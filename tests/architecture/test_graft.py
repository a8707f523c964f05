"""Our ``platform`` is Python's own module with a path: nothing of it is missing, hidden or different."""

import importlib.util
import inspect
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SUBMODULES = {path.stem for path in (ROOT / "platform").iterdir()} - {"__init__", "__pycache__"}


@pytest.fixture(scope="module")
def original() -> ModuleType:
    """The standard library's module, executed under another name."""
    path = Path(os.__file__).with_name("platform.py")
    spec = importlib.util.spec_from_file_location("original_platform", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public(module: ModuleType) -> set[str]:
    return {name for name in vars(module) if not name.startswith("_")}


def run(*command: str) -> str:
    """The standard output of a command in the repository's root; fails where it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_public_name_is_the_standard_one(original: ModuleType) -> None:
    assert len(public(original)) > 20
    for name in public(original):
        ours, theirs = getattr(platform, name), getattr(original, name)
        assert type(ours) is type(theirs), name
        if isinstance(theirs, FunctionType):
            assert ours.__code__ == theirs.__code__, name
            assert inspect.signature(ours) == inspect.signature(theirs), name
        elif isinstance(theirs, type):
            assert (ours.__qualname__, set(vars(ours))) == (theirs.__qualname__, set(vars(theirs))), name
        else:
            assert ours == theirs, name


def test_it_answers_as_the_standard_module_does(original: ModuleType) -> None:
    for name in ("system", "node", "machine", "python_version", "python_implementation", "platform"):
        assert getattr(platform, name)() == getattr(original, name)(), name
    assert tuple(platform.uname()) == tuple(original.uname())


def test_no_submodule_hides_a_standard_name(original: ModuleType) -> None:
    assert not SUBMODULES & set(vars(original))
    assert {"search", "spaces", "storage"} <= SUBMODULES


def test_nothing_else_is_defined() -> None:
    listing = "import platform; print(*(name for name in vars(platform) if not name.startswith('__')))"
    isolated = run(sys.executable, "-I", "-c", listing).split()
    assert run(sys.executable, "-c", listing).split() == isolated


def test_submodules_are_importable() -> None:
    from platform.pareto import dominance

    assert Path(str(dominance.__file__)) == ROOT / "platform/pareto/dominance.py"
    assert sys.modules["platform.pareto.dominance"] is dominance


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "pip", "--version"),
        ("-m", "venv", "--help"),
        ("-m", "pytest", "--version"),
        ("-c", "import torch, ray, mlflow, uuid; import platform.spaces.loader; print(platform.system())"),
    ],
    ids=["pip", "venv", "pytest", "libraries"],
)
def test_python_works_from_the_root(arguments: tuple[str, ...]) -> None:
    assert run(sys.executable, *arguments)


def test_bare_pytest_binds_ours() -> None:
    bare = Path(sys.executable).with_name("pytest")
    output = run(str(bare), "-p", "no:cacheprovider", f"{__file__}::test_submodules_are_importable")
    assert "[100%]" in output
