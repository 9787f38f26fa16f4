"""What a source file may not contain."""

import ast
from collections.abc import Callable, Iterable, Iterator

from tests.architecture.sources import functions, imported, layer_of, trees

VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "tools", "base"}
NO_SWITCHES = {"mirrored"}  # names a picture: the square as it is, or its mirror image


def printing(tree: ast.AST) -> list[int]:
    """The lines that call `print`."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def loose_keywords(tree: ast.AST) -> list[str]:
    """The functions with `**kwargs`."""
    return [function.name for function in functions(tree) if function.args.kwarg is not None]


def postponed_annotations(tree: ast.AST) -> list[str]:
    """The import that turns annotations into strings."""
    return [name for name in imported(tree) if name == "__future__"]


def undocumented(tree: ast.Module) -> Iterator[str]:
    """The module, its public classes and functions, where they lack a docstring."""
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_" and not ast.get_docstring(node):
            yield node.name


def switches(tree: ast.AST) -> list[str]:
    """The parameters that are True or False by default."""
    offenders = []
    for arguments in (function.args for function in functions(tree)):
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [*zip(positional[::-1], arguments.defaults[::-1], strict=False)]
        defaults += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        values = {parameter.arg: default.value for parameter, default in defaults if isinstance(default, ast.Constant)}
        offenders += [name for name, value in values.items() if isinstance(value, bool) and name not in NO_SWITCHES]
    return offenders


def ancestors(name: str, bases: dict[str, list[str]]) -> int:
    """How many classes of ours are above this one."""
    return max((1 + ancestors(base, bases) for base in bases.get(name, []) if base in bases), default=0)


def offenders(rule: Callable[[ast.Module], Iterable[object]], exempt: str = "") -> dict[str, list[object]]:
    """What breaks a rule, by file; the layer `exempt` is left out."""
    results = {str(path): list(rule(tree)) for path, tree in trees().items() if not exempt or layer_of(path) != exempt}
    return {path: names for path, names in results.items() if names}


def test_names_of_files_say_what_is_inside() -> None:
    assert {str(path) for path in trees() if VAGUE & {part.removesuffix(".py") for part in path.parts}} == set()


def test_only_the_app_prints() -> None:
    assert offenders(printing, exempt="app") == {}


def test_signatures_name_their_parameters() -> None:
    assert offenders(loose_keywords) == {}


def test_annotations_are_evaluated() -> None:
    assert offenders(postponed_annotations) == {}


def test_modules_and_public_names_have_docstrings() -> None:
    assert offenders(undocumented) == {}


def test_no_parameter_switches_behavior() -> None:
    assert offenders(switches, exempt="app") == {}


def test_no_class_is_below_two_of_ours() -> None:
    classes = (node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    bases = {node.name: [base.id for base in node.bases if isinstance(base, ast.Name)] for node in classes}
    assert {name for name in bases if ancestors(name, bases) > 1} == set()


class TestTheRulesBite:
    def test_print_and_loose_keywords(self) -> None:
        tree = ast.parse("def f(**more):\n    print(more)\n")
        assert printing(tree) == [2]
        assert loose_keywords(tree) == ["f"]

    def test_postponed_annotations(self) -> None:
        assert postponed_annotations(ast.parse("from __future__ import annotations"))

    def test_missing_docstrings(self) -> None:
        tree = ast.parse("def f(): ...\nclass A: ...\ndef _g(): ...\n")
        assert list(undocumented(tree)) == ["the module", "f", "A"]

    def test_switches(self) -> None:
        tree = ast.parse("def f(z, a=True): ...\ndef g(*, b=False): ...\ndef h(c=0, d=None, *, mirrored=False): ...\n")
        assert switches(tree) == ["a", "b"]

    def test_deep_class(self) -> None:
        assert ancestors("C", {"A": ["Module"], "B": ["A"], "C": ["B"]}) == 2
