"""Held-out cases stop the preparation before anything is written."""

import json
from pathlib import Path

import pytest

from mvg.data import prepare
from mvg.data.held_out import read_held_out
from mvg.errors import FileError
from tests.data.folders import make_mri, write_description


def write_list(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


@pytest.mark.parametrize("item", ["p2", "P (2)", "p2_frame01", "2", "002", "SABS_02"])
@pytest.mark.parametrize("name", ["mri", "M.R.I.", "ct and MRI"])
def test_a_held_out_case_or_patient_stops_the_preparation(item: str, name: str, tmp_path: Path) -> None:
    make_mri(tmp_path / "mri", dict.fromkeys(("p1_frame01", "p2_frame01"), (16, 16, 2)))
    held_out = read_held_out(write_list(tmp_path / "held.json", {name: [item[:-1] + "9", item], "other": "in words"}))
    with pytest.raises(FileError, match=r"1 held-out cases .*p2_frame01"):
        prepare([tmp_path / "mri"], tmp_path / "store", held_out=held_out)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("names", "items"),
    [
        (("p2_frame01", "p2_frame12"), ["1", "p12"]),  # the number of a frame is not that of a patient
        (("benign_10", "malignant_11"), ["benign (11)", "malignant (10)"]),  # different letters before the numbers
        (("case10", "case11"), ["L10", "C011"]),
        (("p12",), ["p1_2x", "a12b", "112"]),
    ],
)
def test_equal_numbers_of_other_cases_are_no_match(names: tuple[str, ...], items: list[str], tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "mri", dict.fromkeys(names, (16, 16, 2)))
    write_description(folder, patient=r"[a-z_]+\d+")
    held_out = read_held_out(write_list(tmp_path / "h.json", {"mri": items}))
    assert prepare([folder], tmp_path / "store", held_out=held_out) == ()


@pytest.mark.parametrize("description", ["cases 060 to 107", ["p9", "chest C016, C162"]])
def test_a_description_in_words_gives_a_line_that_it_is_not_checked(description: object, tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "mri", {"p1": (16, 16, 2)})
    held_out = read_held_out(write_list(tmp_path / "h.json", {"mri and ct": description, "other": "all"}))
    (line,) = prepare([folder], tmp_path / "store", held_out=held_out)
    assert line.startswith("held-out cases of mri that are described in words are not checked: 'c")


def test_a_list_for_another_set_is_ignored(tmp_path: Path) -> None:
    make_mri(tmp_path / "mri", {"p1": (16, 16, 2)})
    prepare(
        [tmp_path / "mri"], tmp_path / "store", held_out=read_held_out(write_list(tmp_path / "h.json", {"ct": ["p1"]}))
    )
    assert (tmp_path / "store/mri/slices.json").exists()


def test_a_file_that_is_not_a_list_of_cases_is_refused(tmp_path: Path) -> None:
    nested = write_list(tmp_path / "nested.json", {"mri": {"patients": ["p1"]}})
    for broken in (tmp_path / "missing.json", write_list(tmp_path / "list.json", ["p1"]), nested):
        with pytest.raises(FileError, match="held-out cases"):
            read_held_out(broken)
