"""Names are the field's own words: those that `docs/glossary.md` replaces are refused."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import ROOT, functions, trees

# Refused as a part of any name.
WORDS = {
    "asked", "answers", "certainty", "closely", "dropped", "found", "framing", "heeded", "learnt", "lesson", "look",
    "own", "piece", "place", "said", "schooling", "seen", "shelf", "shown", "some", "told", "wishes",
}  # fmt: skip
# Refused as the name of a class, and every class that ends in Problem.
CLASSES = {
    "Answer", "Answers", "Asked", "Close", "Course", "Done", "Draw", "Examples", "Found", "ImageStream", "Judged",
    "Learnt", "Lesson", "Measured", "Piece", "Place", "Prompts", "Question", "Rise", "Said", "Shelf", "Source", "Spot",
    "Step", "TargetStream", "View", "Watch", "Where", "Wishes",
}  # fmt: skip
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def parts(name: str) -> set[str]:
    """The words of a name in snake case or camel case, in lower case."""
    return {part.lower() for part in _PART.findall(name)}


def defined(tree: ast.AST) -> Iterator[str]:
    """Every name that a file defines: classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def refused(tree: ast.AST) -> set[str]:
    """The names with a refused word, and the classes with a refused name."""
    names = {name for name in defined(tree) if parts(name) & WORDS}
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return names | {name for name in classes if name in CLASSES or name.endswith("Problem")}


def test_names_are_words_of_the_field() -> None:
    offenders = {str(path): sorted(refused(tree)) for path, tree in trees().items()}
    assert {path: names for path, names in offenders.items() if names} == {}


def test_names_in_tests_and_profiling_are_words_of_the_field_too() -> None:
    """The names of tests are sentences, and may hold any word."""
    paths = [path for folder in ("tests", "profiling") for path in (ROOT / folder).rglob("*.py")]
    offenders = {path.name: refused(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    names = {file: [name for name in names if not name.startswith("test_")] for file, names in offenders.items()}
    assert {file: refused for file, refused in names.items() if refused} == {}


class TestTheRuleBites:
    @pytest.mark.parametrize(
        "code",
        [
            "found_items = 1", "_told_of = 1", "def ask_and_look(): ...", "def f(own): ...", "class FoundItems: ...",
            "class FileProblem(Exception): ...", "self.seen_in = 1", "import numpy as told", "for some in (): ...",
            "class Lesson: ...", "with open() as piece: ...", "lambda said: 1", "[place for place in ()]",
        ],
    )  # fmt: skip
    def test_refused_names(self, code: str) -> None:
        assert refused(ast.parse(code))

    @pytest.mark.parametrize(
        "code", ["foundation = 1", "somewhere = 1", "class Answered: ...", "print(found)", "ownership = 1"]
    )
    def test_accepted_names(self, code: str) -> None:
        assert not refused(ast.parse(code))

    def test_words_of_a_name(self) -> None:
        assert parts("_foundItems_of2HTMLPages") == {"found", "items", "of", "2", "html", "pages"}


def test_there_is_something_to_check() -> None:
    assert sum(1 for tree in trees().values() for _ in functions(tree)) > 500
