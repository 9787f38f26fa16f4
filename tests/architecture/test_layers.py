"""The rules of the source tree that no tool checks: layers, names, sizes, what a file may not contain.

A rule is broken on purpose at the end, in made-up sources, to see that it is noticed.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "mvg"
# Each layer may import itself and those before it.
LAYERS = (
    "errors",
    "_plugins",
    "_atomic",
    "imaging",
    "data",
    "tasks",
    "canvas",
    "model",
    "training",
    "prediction",
    "benchmark",
    "app",
)
WITHOUT_TORCH = {"errors", "_plugins", "_atomic", "imaging", "data", "tasks"}
OPEN_TO_MODEL = {"errors", "_plugins", "_atomic", "model"}  # the model is torch alone
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "tools", "base"}
MOST_LINES = 300
MOST_LINES_OF_FUNCTION = 75  # about 30 is usual; the training loop is the longest

FILES = sorted(SOURCE.rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def layer_of(path: Path) -> str:
    """The layer a source file belongs to; "" for the package's own __init__."""
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere, also inside functions, and every name taken from a package of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module == "mvg":
                yield from (f"mvg.{alias.name}" for alias in node.names)


def forbidden_imports(layer: str, tree: ast.AST) -> list[str]:
    allowed = OPEN_TO_MODEL if layer == "model" else set(LAYERS[: LAYERS.index(layer) + 1])
    found = []
    for name in imported(tree):
        parts = name.split(".")
        if parts[0] == "mvg" and len(parts) > 1 and parts[1] in LAYERS and parts[1] not in allowed:
            found.append(name)
        if parts[0] == "torch" and layer in WITHOUT_TORCH:
            found.append(name)
    return found


def printing(tree: ast.AST) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def loose_keywords(tree: ast.AST) -> list[str]:
    return [function.name for function in functions(tree) if function.args.kwarg is not None]


def postpones_annotations(tree: ast.AST) -> bool:
    return "__future__" in set(imported(tree))


def ancestors(name: str, bases: dict[str, list[str]]) -> int:
    """How many classes of ours stand above this one."""
    return max((1 + ancestors(base, bases) for base in bases.get(name, []) if base in bases), default=0)


@pytest.mark.parametrize("path", FILES, ids=named)
class TestEveryFile:
    def test_its_layer_is_known(self, path: Path) -> None:
        assert layer_of(path) in (*LAYERS, ""), f"{layer_of(path)} is no layer; docs/decisions/ says how to add one"

    def test_imports_only_layers_above(self, path: Path) -> None:
        if layer_of(path):
            assert forbidden_imports(layer_of(path), parsed(path)) == []

    def test_name_says_what_is_inside(self, path: Path) -> None:
        assert not VAGUE & {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}

    def test_can_be_read_at_once(self, path: Path) -> None:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
        for function in functions(parsed(path)):
            assert (function.end_lineno or 0) - function.lineno < MOST_LINES_OF_FUNCTION, function.name

    def test_prints_only_in_app(self, path: Path) -> None:
        if layer_of(path) != "app":
            assert printing(parsed(path)) == []

    def test_signatures_name_their_arguments(self, path: Path) -> None:
        assert loose_keywords(parsed(path)) == []

    def test_annotations_are_evaluated(self, path: Path) -> None:
        assert not postpones_annotations(parsed(path))

    def test_says_what_it_is_for(self, path: Path) -> None:
        tree = parsed(path)
        if tree.body:
            assert ast.get_docstring(tree), "a module begins with its purpose"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{node.name} lacks a docstring"


def test_no_class_stands_below_two_of_ours() -> None:
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
    }
    assert {name for name in bases if ancestors(name, bases) > 1} == set()


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, mvg.app.cli; sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'nilearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_versions_agree() -> None:
    import mvg

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == mvg.__version__


def test_every_pin_serves_a_range() -> None:
    """What `make` installs of pyproject.toml is pinned, so that two clones a year apart install the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: some for name, some in project["optional-dependencies"].items() if name != "nnunet"}
    asked = [*project["dependencies"], *(one for some in extras.values() for one in some)]
    names = {one.split(">=")[0].split("[")[0].lower().replace("_", "-") for one in asked} - {"mvg"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned == set()


class TestTheRulesBite:
    def test_upward_import_inside_a_function(self) -> None:
        tree = ast.parse("def f():\n    from mvg.prediction.predictor import load\n")
        assert forbidden_imports("imaging", tree) == ["mvg.prediction.predictor"]

    def test_submodule_taken_from_the_package(self) -> None:
        assert forbidden_imports("data", ast.parse("from mvg import training")) == ["mvg.training"]

    def test_torch_above_the_canvas(self) -> None:
        assert forbidden_imports("tasks", ast.parse("import torch.nn")) == ["torch.nn"]

    def test_model_knows_no_data(self) -> None:
        assert forbidden_imports("model", ast.parse("from mvg.imaging.volume import Volume")) == ["mvg.imaging.volume"]

    def test_print_and_loose_keywords(self) -> None:
        tree = ast.parse("def f(**more):\n    print(more)\n")
        assert printing(tree) == [2]
        assert loose_keywords(tree) == ["f"]

    def test_postponed_annotations(self) -> None:
        assert postpones_annotations(ast.parse("from __future__ import annotations"))

    def test_deep_class(self) -> None:
        assert ancestors("C", {"A": ["Module"], "B": ["A"], "C": ["B"]}) == 2
