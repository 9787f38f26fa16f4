"""Finds contributions by file name: one file in a plural folder is one contribution, and its file name is its public name."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from mvg.errors import UnknownName


def contributions(package: ModuleType) -> dict[str, ModuleType]:
    """All contributions of a package, imported: file name -> module, in alphabetical order; names with a leading _ are skipped."""
    names = sorted(found.name for found in iter_modules(package.__path__) if not found.name.startswith("_"))
    return {name: import_module(f"{package.__name__}.{name}") for name in names}


def named(package: ModuleType, name: str) -> ModuleType:
    """The contribution of that name; raises UnknownName, which lists the known ones."""
    names = {found.name for found in iter_modules(package.__path__) if not found.name.startswith("_")}
    if name not in names:
        raise UnknownName(package.__name__.rsplit(".", 1)[-1].removesuffix("s"), name, names)
    return import_module(f"{package.__name__}.{name}")
