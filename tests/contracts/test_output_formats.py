"""What every format of predictions offers."""

from pathlib import Path
from types import ModuleType

import pytest

from mvg._plugins import contributions
from mvg.errors import FileError, UnknownNameError
from mvg.prediction import output_formats
from mvg.prediction.output_formats import format_for

FORMATS = contributions(output_formats)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_names_its_files(name: str) -> None:
    module: ModuleType = FORMATS[name]
    query = Path("export")
    assert module.suffix(query, "labels", None).endswith((".dcm", ".nii.gz"))
    assert module.uncertainty_suffix(query).startswith("_uncertainty.")
    assert module.NEEDS_DICOM in (True, False)
    assert callable(module.write)
    assert callable(module.write_uncertainty)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_chosen_by_its_name(name: str) -> None:
    assert format_for(name.replace("_", "-"), Path("export")) is FORMATS[name]
    if FORMATS[name].NEEDS_DICOM:
        with pytest.raises(FileError, match="a DICOM query"):
            format_for(name, Path("scan.nii.gz"))


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no format of predictions is called 'jpeg'.*dicom_seg"):
        format_for("jpeg", Path("scan.nii.gz"))


@pytest.mark.parametrize(("query", "name"), [("export", "nifti"), ("a.dcm", "nifti"), ("a.mha", "same")])
def test_without_a_name_the_query_decides(query: str, name: str) -> None:
    assert format_for("", Path(query)) is FORMATS[name]
