"""The house's bar for size, safety and docstrings, by syntax tree over both wings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for wing in ("platform", "trainers") for path in sorted((ROOT / wing).rglob("*.py"))]
Function = ast.FunctionDef | ast.AsyncFunctionDef

UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
LOADERS = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def functions(node: ast.AST) -> Iterator[Function]:
    return (found for found in ast.walk(node) if isinstance(found, Function))


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
    """What unpickles, evaluates text, opens a shell or unpacks an archive unseen."""
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
    lengths = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert len(lengths) > 60
    assert {path: n for path, n in lengths.items() if n > 400} == {}
    assert np.median(list(lengths.values())) <= 150


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{f.name}": length(f) for path in FILES for f in functions(tree(path))
    }
    figures = np.percentile(list(lengths.values()), [50, 90])
    assert len(lengths) > 400
    assert {name: n for name, n in lengths.items() if n > 80} == {}
    assert figures[0] <= 9 and figures[1] <= 30, figures


def test_nothing_dangerous_is_in_the_source() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in FILES
        for n in ast.walk(tree(path))
        for what in dangers(n)
    ]
    assert found == []


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
def test_a_danger_would_be_found(line: str) -> None:
    assert [what for node in ast.walk(ast.parse(line)) for what in dangers(node)]


def test_safe_lines_are_no_danger() -> None:
    lines = "model.eval(); loader.exec_module(m); np.load(p, allow_pickle=False); run(c, shell=False)"
    assert [what for node in ast.walk(ast.parse(lines)) for what in dangers(node)] == []


def test_every_public_function_has_a_docstring() -> None:
    missing = [name for path in FILES for name in undocumented(tree(path), str(path.relative_to(ROOT)))]
    assert missing == []


def test_every_file_says_what_it_is() -> None:
    silent = [path for path in FILES if path.stat().st_size and ast.get_docstring(tree(path)) is None]
    assert silent == []
