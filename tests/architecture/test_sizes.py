"""How long functions and files are, and how many parameters a function has."""

import ast
import statistics
from collections.abc import Iterable
from pathlib import Path

from tests.architecture.sources import SOURCE, functions, parameters, trees

MOST_LINES = 300
MEDIAN_LINES, P95_LINES, LONGEST_FUNCTION = 8, 26, 75
MOST_PARAMETERS = 7
# A command has a parameter for each of its options.
COMMANDS = {Path("app/cli.py"), Path("app/predict.py"), Path("app/register.py"), Path("app/restoring.py")}


def lines_of_functions(modules: Iterable[ast.AST]) -> list[int]:
    """The lines of every function, sorted."""
    return sorted((one.end_lineno or 0) - one.lineno + 1 for tree in modules for one in functions(tree))


def crowded(tree: ast.AST) -> list[str]:
    """The functions with too many parameters."""
    return [function.name for function in functions(tree) if len(parameters(function)) > MOST_PARAMETERS]


def test_files_are_short() -> None:
    lengths = {str(path): len((SOURCE / path).read_text(encoding="utf-8").splitlines()) for path in trees()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_functions_are_short() -> None:
    lines = lines_of_functions(trees().values())
    assert statistics.median(lines) <= MEDIAN_LINES
    assert lines[round(0.95 * len(lines))] <= P95_LINES
    assert lines[-1] <= LONGEST_FUNCTION


def test_functions_have_few_parameters() -> None:
    offenders = {str(path): crowded(tree) for path, tree in trees().items() if path not in COMMANDS}
    assert {path: names for path, names in offenders.items() if names} == {}


class TestTheRulesBite:
    def test_lines(self) -> None:
        tree = ast.parse("def f():\n    def g():\n        pass\n    return g\n")
        assert lines_of_functions([tree]) == [2, 4]

    def test_parameters(self) -> None:
        tree = ast.parse(
            "class A:\n    def f(self, a, b, c, d, *, e, f, g): ...\n    def h(self, a, b, c, d, e, f, g, h): ..."
        )
        assert crowded(tree) == ["h"]
