"""What labels mean: the table against pydicom's copy of DICOM's context groups, names, and the user's codes."""

from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

from mvg.errors import FileError
from mvg.imaging.dicom.terms import (
    ABNORMAL,
    SIDES,
    SNOMED,
    STRUCTURE,
    TABLE,
    TISSUE,
    Code,
    read_codes,
    term_of,
    terms_of,
)

KNOWN = {(value, meaning.lower()) for codes in concepts["SCT"].values() for value, (meaning, _) in codes.items()}


@pytest.mark.parametrize("name", TABLE)
def test_the_codes_of_the_table_are_dicoms(name: str) -> None:
    value, meaning, _ = TABLE[name]
    assert (value, meaning.lower()) in KNOWN


@pytest.mark.parametrize("code", [STRUCTURE, ABNORMAL, TISSUE, *SIDES.values()])
def test_categories_and_sides_are_dicoms(code: Code) -> None:
    assert code.value in {value for value, _ in KNOWN}


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("liver", "10200004", None),
        ("Left_Kidney", "64033007", "Left"),
        ("kidney_right", "64033007", "Right"),
        ("KidneyL", "64033007", "Left"),
        ("lungs", "39607008", None),
        ("left ventricle", "87878005", None),
        ("LV", "87878005", None),
        ("Tumour", "108369006", None),
        ("gall bladder", "28231008", None),
    ],
)
def test_names_have_codes(name: str, value: str, side: str | None) -> None:
    term = term_of(1, name)
    assert (term.name, term.concept.scheme, term.concept.value) == (name, SNOMED, value)
    assert (term.side and term.side.meaning) == side


@pytest.mark.parametrize("name", ["", "left liver right", "foo", "left"])
def test_other_names_have_private_codes(name: str) -> None:
    assert term_of(12, name).concept == Code("99MVG", "12", name or "Label 12")


def test_the_users_codes_come_first(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("label,scheme,value,meaning\n2,FMA,7205,Kidney\nfoo,99X,1,Foo of ours\n")
    terms = terms_of([1, 2, 3], {1: "liver", 3: "foo"}, read_codes(tmp_path / "codes.csv"))
    assert [terms[value].concept for value in (1, 2, 3)] == [
        Code("SCT", "10200004", "Liver"), Code("FMA", "7205", "Kidney"), Code("99X", "1", "Foo of ours"),
    ]  # fmt: skip
    assert [terms[value].name for value in (1, 2, 3)] == ["liver", "Kidney", "foo"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no lines"),
        ("label,value\n1,2\n", "line 2 lacks one"),
        ("label,scheme,value,meaning\n1,SCT,,Liver\n", "line 2 lacks one"),
        (f"label,scheme,value,meaning\n1,SCT,{17 * '1'},Liver\n", "longer than DICOM allows"),
    ],
)
def test_a_damaged_table_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(text)
    with pytest.raises(FileError, match=f"is no table of codes .*{reason}"):
        read_codes(tmp_path / "codes.csv")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_codes(tmp_path / "codes.csv")
