"""Errors are one line and can be pickled."""

import pickle

import pytest

from mvg.errors import FileError, MvgError, UnknownNameError


@pytest.mark.parametrize("error_class", [MvgError, *MvgError.__subclasses__()])
def test_errors_can_be_pickled(error_class: type[MvgError]) -> None:
    arguments = (
        ("layout", "nonesuch", ("this", "that"))
        if error_class is UnknownNameError
        else ("a file", "a folder", "choose one")
    )
    error = error_class(*arguments)  # type: ignore[arg-type]
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is error_class
    assert (str(restored), restored.message, restored.action) == (str(error), error.message, error.action)


def test_the_message_is_one_line() -> None:
    assert str(FileError("no\nfile", "a  file", "make one")) == "no file; expected a file; make one."
