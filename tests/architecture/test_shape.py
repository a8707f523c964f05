"""Limits of size, safety and docstrings, by syntax tree over both packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for wing in ("platform", "trainers") for path in sorted((ROOT / wing).rglob("*.py"))]
COMMANDS = [path for path in FILES if path.parent == ROOT / "platform"]
PACKAGES = [path.parent for path in FILES if path.name == "__init__.py" and path.parent.parent != ROOT]
Function = ast.FunctionDef | ast.AsyncFunctionDef

UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
LOADERS = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def functions(node: ast.AST) -> Iterator[Function]:
    return (each for each in ast.walk(node) if isinstance(each, Function))


def length(function: Function) -> int:
    """Lines from ``def`` on, without the docstring."""
    assert function.end_lineno is not None
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    assert docstring.end_lineno is not None
    return total - (docstring.end_lineno - docstring.lineno + 1)


def dangers(node: ast.AST) -> Iterator[str]:
    """What unpickles, evaluates text, opens a shell or unpacks an archive without checks."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name.split(".")[0] in UNPICKLERS)
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLERS:
            yield module
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in LOADERS:
            yield f"{owner}.{name}"
        case ast.ImportFrom(module=str(module), names=names):
            yield from (f"{module}.{alias.name}" for alias in names if (module, alias.name) in LOADERS)
        case ast.Attribute(attr="extractall" | "unpack_archive" as name):
            yield name
        case ast.Name(id="eval" | "exec" as name):
            yield name
        case ast.keyword(arg="shell", value=value) if not (
            isinstance(value, ast.Constant) and not value.value
        ):
            yield "shell=True"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="load"), keywords=keywords):
            if not any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in keywords):
                yield "np.load that may unpickle"


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    """Public functions and methods without a docstring; nested functions and stubs ``...`` need none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from undocumented(child, f"{name}.{child.name}")
        if isinstance(child, Function) and not child.name.startswith("_"):
            stub = ast.unparse(child.body[-1]) == "..."
            if ast.get_docstring(child) is None and not stub:
                yield f"{name}.{child.name}"


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert len(lengths) > 60
    assert {path: n for path, n in lengths.items() if n > 400} == {}
    assert {path: lengths[path] for path in COMMANDS if lengths[path] > 150} == {}
    assert np.median(list(lengths.values())) <= 150


def test_packages_have_few_modules_and_say_what_they_are() -> None:
    modules = {p: len(list(p.glob("*.py"))) - 1 for p in PACKAGES if p.parent == ROOT / "platform"}
    assert len(modules) > 10
    assert {package: n for package, n in modules.items() if not 3 <= n <= 12} == {}
    assert [p for p in PACKAGES if p.parent.parent == ROOT / "platform"] == [], "two levels"
    assert {package for package in PACKAGES if not is_introduced(package)} == set()


def is_introduced(package: Path) -> bool:
    """Whether ``__init__.py`` is a docstring of one to three lines, and nothing else."""
    module = tree(package / "__init__.py")
    lines = [line for line in (ast.get_docstring(module) or "").splitlines() if line]
    return len(module.body) == 1 and 1 <= len(lines) <= 3


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{f.name}": length(f) for path in FILES for f in functions(tree(path))
    }
    figures = np.percentile(list(lengths.values()), [50, 90])
    assert len(lengths) > 400
    assert {name: n for name, n in lengths.items() if n > 80} == {}
    assert figures[0] <= 9 and figures[1] <= 30, figures


def test_nothing_dangerous_is_in_the_source() -> None:
    nodes = ((path, node) for path in FILES for node in ast.walk(tree(path)))
    assert [f"{path}: {danger}" for path, node in nodes for danger in dangers(node)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import torch; torch.load(path)",
        "from torch import load",
        "yaml.load(text)",
        "from joblib import load",
        "eval(text)",
        "exec(text)",
        "run(command, shell=True)",
        "run(command, shell=yes)",
        "archive.extractall()",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_dangerous_lines_are_found(line: str) -> None:
    assert [danger for node in ast.walk(ast.parse(line)) for danger in dangers(node)]


def test_safe_lines_are_no_danger() -> None:
    lines = "model.eval(); loader.exec_module(m); np.load(p, allow_pickle=False); run(c, shell=False)"
    assert [danger for node in ast.walk(ast.parse(lines)) for danger in dangers(node)] == []


def test_every_module_and_public_function_has_a_docstring() -> None:
    assert [path for path in FILES if ast.get_docstring(tree(path)) is None] == []
    assert [name for path in FILES for name in undocumented(tree(path), str(path))] == []
