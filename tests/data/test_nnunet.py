"""The nnU-Net raw layout as the way in, with and without dataset.json, and what is said when it is not one."""

import json
from pathlib import Path

import numpy as np
import pytest

from mvg.data import open_folder
from mvg.data.sets import nnunet
from mvg.errors import FileError, MvgError
from mvg.tasks import tasks_for
from tests.data.folders import described, make_ct, make_mri, write_image

SHAPE = (20, 24, 4)


def test_card_and_cases_come_from_the_description(tmp_path: Path) -> None:
    found = open_folder(make_mri(tmp_path / "heads", {"pat2_a": SHAPE, "pat1_a": SHAPE, "pat1_b": SHAPE}, channels=2))
    assert (found.card.name, found.card.modality, found.card.region, found.card.units) == ("heads", "MRI", "brain", "")
    assert found.card.channels == ("contrast 0", "contrast 1")
    assert found.card.labels == {1: "left organ", 2: "right tumor"}
    assert [(case.name, case.patient) for case in found.cases] == [
        ("pat1_a", "pat1"),
        ("pat1_b", "pat1"),
        ("pat2_a", "pat2"),
    ]
    assert [path.name for path in found.cases[0].images] == ["pat1_a_0000.nii.gz", "pat1_a_0001.nii.gz"]
    assert found.cases[0].labels == tmp_path / "heads/labelsTr/pat1_a.nii.gz"


def test_without_a_description_labels_come_from_values_and_patients_from_names(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1_a": SHAPE, "pat1_b": SHAPE})
    (folder / "dataset.json").unlink()
    found = open_folder(folder)
    assert found.card.labels == {1: "label 1", 2: "label 2"}
    assert found.card.channels == ("channel 0",)
    assert found.card.modality == "other"
    assert [case.patient for case in found.cases] == ["pat1_a", "pat1_b"]


def test_both_forms_of_labels_and_regions(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    described(folder, labels={"0": "background", "1": "liver", "2": "spleen"}, modality={"0": "MR"})
    assert open_folder(folder).card.labels == {1: "liver", 2: "spleen"}
    assert open_folder(folder).card.channels == ("MR",)
    described(folder, labels={"background": 0, "whole": [1, 2], "core": 2})
    assert open_folder(folder).card.labels == {1: "label 1", 2: "core"}


def test_hu_are_recognised_and_image_targets_found(tmp_path: Path) -> None:
    plain, paired = open_folder(make_ct(tmp_path / "ct")), open_folder(make_ct(tmp_path / "pairs", target=True))
    assert (plain.card.units, plain.card.image_target, plain.card.image_task) == ("HU", None, "")
    assert (paired.card.image_target, paired.card.image_task) == ("CT, full dose", "denoising")
    assert paired.cases[1].target == tmp_path / "pairs/targetsTr/scan1.nii.gz"


@pytest.mark.parametrize("said", [{}, {"modality": "CT"}])
@pytest.mark.parametrize("beside", ["imagesTr/scan{}_0001.nii.gz", "targetsTr/scan{}.nii.gz"])
def test_what_lies_beside_a_ct_in_other_units_is_not_taken_for_hu(
    beside: str, said: dict[str, str], tmp_path: Path
) -> None:
    folder = described(make_ct(tmp_path / "pairs"), **said)
    assert open_folder(folder).card.units == "HU"
    for case in range(2):
        write_image(folder / beside.format(case), np.ones((96, 96, 1), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0]))
    assert open_folder(folder).card.units == ""


def test_channels_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE}, channels=3)
    described(folder, channel_names={"0": "MRI", "1": "MRI", "2": "CT"})
    card = open_folder(folder).card
    assert card.channels == ("MRI 0", "MRI 1", "CT")
    names = [task.name for task in tasks_for(card)]
    assert len(set(names)) == len(names)


def test_a_windowed_ct_is_not_in_hu(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "abdomen", {"pat1": SHAPE})
    described(folder, modality="CT")
    assert open_folder(folder).card.units == ""


def test_pictures_and_cases_without_labels(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "film", {"pat1": (20, 24, 1), "pat2": (31, 12, 1)}, ending=".png")
    (folder / "labelsTr/pat2.png").unlink()
    first, second = open_folder(folder).cases
    assert first.labels is not None
    assert second.labels is None


def test_a_table_of_patients_says_who_was_scanned_twice(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"left7": SHAPE, "right8": SHAPE, "left9": SHAPE})
    described(folder, patient={"left7": "anna", "right8": "anna", "left9": "ben", "gone": "carl"})
    found = open_folder(folder)
    assert {case.name: case.patient for case in found.cases} == {"left7": "anna", "right8": "anna", "left9": "ben"}
    assert len({case.split for case in found.cases if case.patient == "anna"}) == 1


def empty(folder: Path) -> None:
    (folder / "imagesTr").mkdir()


def no_channel(folder: Path) -> None:
    write_image(folder / "imagesTr/scan.nii.gz", np.zeros(SHAPE, np.uint8))


def a_gap(folder: Path) -> None:
    for name in ("a_0000", "a_0001", "b_0001"):
        write_image(folder / f"imagesTr/{name}.nii.gz", np.zeros(SHAPE, np.uint8))


def a_broken_description(folder: Path) -> None:
    make_mri(folder, {"pat1": SHAPE})
    (folder / "dataset.json").write_text('{"labels": ')


def a_broken_pattern(folder: Path) -> None:
    described(make_mri(folder, {"pat1": SHAPE}), patient="(")


def odd_labels(folder: Path) -> None:
    described(make_mri(folder, {"pat1": SHAPE}), labels={"liver": "one"})


def a_list_of_channels(folder: Path) -> None:
    described(make_mri(folder, {"pat1": SHAPE}), channel_names=["T1"])


def an_unknown_target_task(folder: Path) -> None:
    described(make_ct(folder, target=True), target_task="denoisin")


def another_patient_pattern(folder: Path) -> None:
    described(make_mri(folder, {"pat1": SHAPE}), patient=r"case\d+")


def a_table_without_a_case(folder: Path) -> None:
    described(make_mri(folder, {"pat1": SHAPE, "pat2": SHAPE}), patient={"pat1": "anna", "pat2": 2})


def labels_of_others(folder: Path) -> None:
    make_mri(folder, {"pat1": SHAPE})
    (folder / "labelsTr/pat1.nii.gz").rename(folder / "labelsTr/other.nii.gz")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (empty, "imagesTr"),
        (no_channel, "_0000"),
        (a_gap, "case b"),
        (a_broken_description, "dataset.json"),
        (a_broken_pattern, "patient"),
        (odd_labels, "labels"),
        (a_list_of_channels, "channel_names"),
        (an_unknown_target_task, "target_task = 'denoisin'; expected one of denoising, inpainting, synthesis"),
        (another_patient_pattern, r"case\d+"),
        (a_table_without_a_case, "pat2"),
        (labels_of_others, "other.nii.gz"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, damage, says: str) -> None:  # type: ignore[no-untyped-def]
    damage(tmp_path)
    with pytest.raises(FileError) as caught:
        nnunet.open(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_no_layout_and_a_missing_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MvgError, match="imagesTr"):
            open_folder(folder)


def test_the_description_is_read_as_utf8(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    (folder / "dataset.json").write_text(json.dumps({"name": "Schädel"}, ensure_ascii=False), encoding="utf-8")
    assert open_folder(folder).card.title == "Schädel"
