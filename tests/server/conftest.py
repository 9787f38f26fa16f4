"""A server on two made studies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvg.imaging.volume import LabelMap
from tests.server.clients import Client, make_studies, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with scan0.nii.gz and scan1.nii.gz."""
    make_studies(tmp_path / "studies")
    return tmp_path / "studies"


@pytest.fixture
def truths(tmp_path: Path) -> list[LabelMap]:
    """The true labels of the studies in `folder`."""
    return make_studies(tmp_path / "truths")


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    """A client of a server on the folder."""
    with serving(folder) as client:
        yield client
