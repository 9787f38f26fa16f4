"""Problems are one line, wherever they were found."""

import pickle

import pytest

from mvg.errors import FileError, MvgError, UnknownNameError


@pytest.mark.parametrize("kind", [MvgError, *MvgError.__subclasses__()])
def test_a_problem_comes_back_from_another_process_as_it_was(kind: type[MvgError]) -> None:
    words = (
        ("layout", "nonesuch", ("this", "that")) if kind is UnknownNameError else ("a file", "a folder", "choose one")
    )
    problem = kind(*words)  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(problem))
    assert type(again) is kind
    assert (str(again), again.found, again.action) == (str(problem), problem.found, problem.action)


def test_a_problem_is_one_line() -> None:
    assert str(FileError("no\nfile", "a  file", "make one")) == "no file; expected a file; make one."
