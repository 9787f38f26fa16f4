"""Held-out cases are found before anything is written."""

import json
from pathlib import Path

import pytest

from mvg.data import prepare
from mvg.data.held_out import read_held_out
from mvg.errors import FileError
from tests.data.folders import described, make_mri


def listed(path: Path, held: object) -> Path:
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


@pytest.mark.parametrize("held", ["p2", "P (2)", "p2_frame01", "2", "002", "SABS_02"])
@pytest.mark.parametrize("name", ["mri", "M.R.I.", "ct and MRI"])
def test_a_held_out_case_or_patient_stops_the_preparation(held: str, name: str, tmp_path: Path) -> None:
    make_mri(tmp_path / "mri", dict.fromkeys(("p1_frame01", "p2_frame01"), (16, 16, 2)))
    held_out = read_held_out(listed(tmp_path / "held.json", {name: [held[:-1] + "9", held], "other": "in words"}))
    with pytest.raises(FileError, match=r"1 held-out cases .*p2_frame01"):
        prepare([tmp_path / "mri"], tmp_path / "store", held_out=held_out)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("names", "held"),
    [
        (("p2_frame01", "p2_frame12"), ["1", "p12"]),  # a frame is no patient
        (("benign_10", "malignant_11"), ["benign (11)", "malignant (10)"]),  # letters that tell one from another
        (("case10", "case11"), ["L10", "C011"]),
        (("p12",), ["p1_2x", "a12b", "112"]),
    ],
)
def test_numbers_of_something_else_stop_nothing(names: tuple[str, ...], held: list[str], tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "mri", dict.fromkeys(names, (16, 16, 2)))
    described(folder, patient=r"[a-z_]+\d+")
    held_out = read_held_out(listed(tmp_path / "h.json", {"mri": held}))
    assert prepare([folder], tmp_path / "store", held_out=held_out) == ()


@pytest.mark.parametrize("words", ["cases 060 to 107", ["p9", "chest C016, C162"]])
def test_what_is_held_out_in_words_alone_is_told(words: object, tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "mri", {"p1": (16, 16, 2)})
    held_out = read_held_out(listed(tmp_path / "h.json", {"mri and ct": words, "other": "all"}))
    (line,) = prepare([folder], tmp_path / "store", held_out=held_out)
    assert line.startswith("held-out cases of mri that are listed in words were not looked for: 'c")


def test_lists_of_other_sets_stop_nothing(tmp_path: Path) -> None:
    make_mri(tmp_path / "mri", {"p1": (16, 16, 2)})
    prepare([tmp_path / "mri"], tmp_path / "store", held_out=read_held_out(listed(tmp_path / "h.json", {"ct": ["p1"]})))
    assert (tmp_path / "store/mri/slices.json").exists()


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    nested = listed(tmp_path / "nested.json", {"mri": {"patients": ["p1"]}})
    for broken in (tmp_path / "missing.json", listed(tmp_path / "list.json", ["p1"]), nested):
        with pytest.raises(FileError, match="held-out cases"):
            read_held_out(broken)
