"""Which layer may import which, and that no modules import each other in a circle."""

import ast
import subprocess
import sys
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.sources import imported, layer_of, module_name, trees

# Each layer may import itself and those before it.
LAYERS = (
    "errors", "_plugins", "_atomic", "_remote", "imaging", "data", "tasks", "canvas", "model", "training", "prediction",
    "benchmark", "server", "napari_plugin", "app",
)  # fmt: skip
WITHOUT_TORCH = {"errors", "_plugins", "_atomic", "_remote", "imaging", "data", "tasks"}
OPEN_TO_MODEL = {"errors", "_plugins", "_atomic", "model"}  # the model is torch alone


def forbidden_imports(layer: str, tree: ast.AST) -> set[str]:
    """The modules that a file of this layer may not import, but does."""
    allowed = OPEN_TO_MODEL if layer == "model" else set(LAYERS[: LAYERS.index(layer) + 1])
    offenders = set()
    for name in imported(tree):
        first, *rest = name.split(".")
        if first == "mvg" and rest and rest[0] in LAYERS and rest[0] not in allowed:
            offenders.add(name)
        if first == "torch" and layer in WITHOUT_TORCH:
            offenders.add(name)
    return offenders


def dependencies(tree: ast.AST, modules: Collection[str]) -> set[str]:
    """Which of the modules a file imports, also inside functions; of a package the module that a name stands for."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = ((f"{node.module}.{alias.name}", node.module) for alias in node.names)
            names |= {name if name in modules else str(module) for name, module in whole}
    return names & set(modules)


def circle(modules: Mapping[str, ast.AST]) -> list[str]:
    """The modules of an import circle, the first one also last; empty where there is none."""
    graph = {name: dependencies(tree, modules) - {name} for name, tree in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_file_belongs_to_a_layer() -> None:
    assert {str(path) for path in trees() if layer_of(path) not in ("", *LAYERS)} == set()


def test_layers_import_only_those_above() -> None:
    layers = ((path, layer_of(path), tree) for path, tree in trees().items())
    offenders = {str(path): forbidden_imports(layer, tree) for path, layer, tree in layers if layer in LAYERS}
    assert {path: names for path, names in offenders.items() if names} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle({module_name(path): tree for path, tree in trees().items()}) == []


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, mvg.app.cli; sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'nilearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestTheRulesBite:
    @pytest.mark.parametrize(
        ("layer", "code", "offender"),
        [
            ("imaging", "def f():\n    from mvg.prediction.predictor import load\n", "mvg.prediction.predictor"),
            ("data", "from mvg import training", "mvg.training"),
            ("tasks", "import torch.nn", "torch.nn"),
            ("model", "from mvg.imaging.volume import Volume", "mvg.imaging.volume"),
        ],
    )
    def test_forbidden_imports(self, layer: str, code: str, offender: str) -> None:
        assert offender in forbidden_imports(layer, ast.parse(code))

    def test_a_circle_through_a_function(self) -> None:
        sources = {
            "mvg": "from mvg import a",
            "mvg.a": "from mvg import b",
            "mvg.b": "from mvg.c import thing",
            "mvg.c": "def f():\n    import mvg.a\n",
        }
        modules = {name: ast.parse(code) for name, code in sources.items()}
        assert set(circle(modules)) == {"mvg.a", "mvg.b", "mvg.c"}
        assert circle({name: tree for name, tree in modules.items() if name != "mvg.c"}) == []

    def test_names_of_modules(self) -> None:
        assert module_name(Path("imaging/__init__.py")) == "mvg.imaging"
        assert module_name(Path("imaging/frame.py")) == "mvg.imaging.frame"
        assert module_name(Path("__init__.py")) == "mvg"
