"""Finds contributions by file name: a file in a plural folder is one contribution, its file name is its public name."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from mvg.errors import UnknownNameError

# What one contribution of a plural folder is called in an error.
_KIND = {
    "engines": "engine",
    "rivals": "rival",
    "formats": "format",
    "kinds": "kind of task",
    "metrics": "metric",
    "objectives": "objective",
    "operators": "way to measure",
    "sets": "layout",
    "output_formats": "format of predictions",
    "strategies": "strategy",
}


def contributions(package: ModuleType) -> dict[str, ModuleType]:
    """All contributions of a package, imported: file name -> module, by name; a leading _ hides a file."""
    return {name: import_module(f"{package.__name__}.{name}") for name in _names(package)}


def named(package: ModuleType, name: str) -> ModuleType:
    """The contribution of that name; raises UnknownNameError, which lists the known ones."""
    if name not in _names(package):
        raise UnknownNameError(_KIND.get(package.__name__.rsplit(".", 1)[-1], "contribution"), name, _names(package))
    return import_module(f"{package.__name__}.{name}")


def names_in(folder: Path) -> list[str]:
    """The names of the contributions in a plural folder; nothing is imported."""
    return _names_at([str(folder)])


def _names(package: ModuleType) -> list[str]:
    return _names_at(package.__path__)


def _names_at(paths: Iterable[str]) -> list[str]:
    return sorted(module.name for module in iter_modules(paths) if not module.name.startswith("_"))
