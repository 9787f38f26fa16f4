"""A small labeled data set."""

from pathlib import Path

import pytest

from tests.data.folders import HEADS, make_mri


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return make_mri(tmp_path / "heads", HEADS, channels=2)
