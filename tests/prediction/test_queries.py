"""Queries of a command line, with the series of DICOM exports."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.prediction.queries import Query, queries_of
from tests.imaging.dicom_files import add_series, change_files, write_series
from tests.imaging.grids import affine_of


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder with one series."""
    return write_series(tmp_path / "export", affine_of(np.diag([-1.0, -1.0, 1.0])))


def test_every_series_of_an_export_is_a_query(export: Path) -> None:
    change_files(export, SeriesNumber=3, SeriesInstanceUID="1.2.88888888")
    add_series(export, 2, "1.2.99999999", SeriesNumber=4)
    assert {*queries_of([export], "all")} == {
        Query(export, "1.2.88888888", "export_3"),
        Query(export, "1.2.99999999", "export_4"),
    }


def test_series_with_one_number_have_different_names(export: Path) -> None:
    change_files(export, SeriesNumber=3, SeriesInstanceUID="1.2.88888888")
    add_series(export, 2, "1.2.99999999", SeriesNumber=3)
    assert {query.name for query in queries_of([export], "all")} == {"export_3_88888888", "export_3_99999999"}


@pytest.mark.parametrize("change", [
    {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
])  # fmt: skip
def test_series_that_are_no_queries_are_named(
    change: dict[str, object], export: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Localizers, and what programs made, as captured screens."""
    add_series(export, 2, "1.2.99999999", SeriesDescription="scout", **change)
    add_series(export, 2, "1.2.77777777", SeriesNumber=4)
    with caplog.at_level(logging.WARNING, "mvg"):
        queries = queries_of([export], "all")
    assert len(queries) == 2
    (message,) = caplog.messages
    assert "1 of 3 series are left out" in message
    assert "'scout' (2 images, UID ...99999999); --series UID reads one of them" in message
    assert queries_of([export], "99999999") == (Query(export, "99999999"),)


def test_a_series_of_an_archive(export: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", export))
    assert queries_of([archive], "123") == (Query(archive, "123"),)
    assert queries_of([archive], "all")[0].name.startswith("export_")


def test_a_series_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"1")
    with pytest.raises(PromptError, match="--series 123 for queries that are no DICOM"):
        queries_of([tmp_path / "scan.nii.gz"], "123")


def test_other_files_stay(export: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"1")
    paths = [tmp_path / "scan.nii.gz", export, tmp_path / "missing"]
    assert queries_of(paths, "123") == (Query(paths[0]), Query(export, "123"), Query(paths[2]))
    assert queries_of(paths) == tuple(Query(path) for path in paths)
