"""The nnU-Net raw layout, with and without dataset.json, and the errors for folders with mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest

from mvg.data import open_folder
from mvg.data.sets import nnunet
from mvg.errors import FileError, MvgError
from mvg.imaging.files import read_labels, write
from mvg.tasks import tasks_for
from tests.data.folders import make_ct, make_mri, write_description, write_image

SHAPE = (20, 24, 4)


def test_card_and_patients_follow_the_description(tmp_path: Path) -> None:
    data_set = open_folder(
        make_mri(tmp_path / "heads", {"pat2_a": SHAPE, "pat1_a": SHAPE, "pat1_b": SHAPE}, channels=2)
    )
    assert (data_set.card.name, data_set.card.modality, data_set.card.region, data_set.card.units) == (
        "heads",
        "MRI",
        "brain",
        "",
    )
    assert data_set.card.channels == ("contrast 0", "contrast 1")
    assert data_set.card.labels == {1: "left organ", 2: "right tumor"}
    assert [(case.name, case.patient) for case in data_set.cases] == [
        ("pat1_a", "pat1"),
        ("pat1_b", "pat1"),
        ("pat2_a", "pat2"),
    ]
    assert [path.name for path in data_set.cases[0].images] == ["pat1_a_0000.nii.gz", "pat1_a_0001.nii.gz"]
    assert data_set.cases[0].labels == tmp_path / "heads/labelsTr/pat1_a.nii.gz"


def test_without_a_description_labels_follow_voxel_values_and_patients_follow_case_names(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1_a": SHAPE, "pat1_b": SHAPE})
    (folder / "dataset.json").unlink()
    data_set = open_folder(folder)
    assert data_set.card.labels == {1: "label 1", 2: "label 2"}
    assert data_set.card.channels == ("channel 0",)
    assert data_set.card.modality == "other"
    assert [case.patient for case in data_set.cases] == ["pat1_a", "pat1_b"]


def test_both_forms_of_label_names_and_regions_are_read(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    write_description(folder, labels={"0": "background", "1": "liver", "2": "spleen"}, modality={"0": "MR"})
    assert open_folder(folder).card.labels == {1: "liver", 2: "spleen"}
    assert open_folder(folder).card.channels == ("MR",)
    write_description(folder, labels={"background": 0, "whole": [1, 2], "core": 2})
    assert open_folder(folder).card.labels == {1: "label 1", 2: "core"}


def test_hounsfield_units_and_image_targets_are_detected(tmp_path: Path) -> None:
    plain, paired = open_folder(make_ct(tmp_path / "ct")), open_folder(make_ct(tmp_path / "pairs", target=True))
    assert (plain.card.units, plain.card.image_target, plain.card.image_task) == ("HU", None, "")
    assert (paired.card.image_target, paired.card.image_task) == ("CT, full dose", "denoising")
    assert paired.cases[1].target == tmp_path / "pairs/targetsTr/scan1.nii.gz"


@pytest.mark.parametrize("entries", [{}, {"modality": "CT"}])
@pytest.mark.parametrize("other_image", ["imagesTr/scan{}_0001.nii.gz", "targetsTr/scan{}.nii.gz"])
def test_a_ct_with_an_image_in_other_units_is_not_in_hu(
    other_image: str, entries: dict[str, str], tmp_path: Path
) -> None:
    folder = write_description(make_ct(tmp_path / "pairs"), **entries)
    assert open_folder(folder).card.units == "HU"
    for case in range(2):
        write_image(folder / other_image.format(case), np.ones((96, 96, 1), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0]))
    assert open_folder(folder).card.units == ""


def test_channels_of_one_name_get_their_numbers(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE}, channels=3)
    write_description(folder, channel_names={"0": "MRI", "1": "MRI", "2": "CT"})
    card = open_folder(folder).card
    assert card.channels == ("MRI 0", "MRI 1", "CT")
    names = [task.name for task in tasks_for(card)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e999", "[Infinity]"])
def test_labels_that_are_no_numbers_are_refused(value: str, tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    (folder / "dataset.json").write_text(f'{{"labels": {{"organ": {value}}}}}')
    with pytest.raises(FileError, match="not valid"):
        open_folder(folder)


def test_a_description_that_windows_wrote(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    (folder / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1}}', encoding="utf-8-sig")
    assert open_folder(folder).card.labels == {1: "liver"}


def test_a_windowed_ct_is_not_in_hu(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "abdomen", {"pat1": SHAPE})
    write_description(folder, modality="CT")
    assert open_folder(folder).card.units == ""


def test_png_images_and_cases_without_labels_are_accepted(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "film", {"pat1": (20, 24, 1), "pat2": (31, 12, 1)}, ending=".png")
    (folder / "labelsTr/pat2.png").unlink()
    first, second = open_folder(folder).cases
    assert first.labels is not None
    assert second.labels is None


def test_a_table_of_patients_joins_several_cases_of_one_patient(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"left7": SHAPE, "right8": SHAPE, "left9": SHAPE})
    write_description(folder, patient={"left7": "anna", "right8": "anna", "left9": "ben", "gone": "carl"})
    data_set = open_folder(folder)
    assert {case.name: case.patient for case in data_set.cases} == {"left7": "anna", "right8": "anna", "left9": "ben"}
    assert len({case.split for case in data_set.cases if case.patient == "anna"}) == 1


def empty_image_folder(folder: Path) -> None:
    (folder / "imagesTr").mkdir()


def image_without_channel_number(folder: Path) -> None:
    write_image(folder / "imagesTr/scan.nii.gz", np.zeros(SHAPE, np.uint8))


def missing_channel(folder: Path) -> None:
    for name in ("a_0000", "a_0001", "b_0001"):
        write_image(folder / f"imagesTr/{name}.nii.gz", np.zeros(SHAPE, np.uint8))


def invalid_json(folder: Path) -> None:
    make_mri(folder, {"pat1": SHAPE})
    (folder / "dataset.json").write_text('{"labels": ')


def invalid_pattern(folder: Path) -> None:
    write_description(make_mri(folder, {"pat1": SHAPE}), patient="(")


def label_value_as_text(folder: Path) -> None:
    write_description(make_mri(folder, {"pat1": SHAPE}), labels={"liver": "one"})


def channel_names_as_list(folder: Path) -> None:
    write_description(make_mri(folder, {"pat1": SHAPE}), channel_names=["T1"])


def unknown_target_task(folder: Path) -> None:
    write_description(make_ct(folder, target=True), target_task="denoisin")


def pattern_that_matches_no_case(folder: Path) -> None:
    write_description(make_mri(folder, {"pat1": SHAPE}), patient=r"case\d+")


def table_without_patient_of_a_case(folder: Path) -> None:
    write_description(make_mri(folder, {"pat1": SHAPE, "pat2": SHAPE}), patient={"pat1": "anna", "pat2": 2})


def labels_of_other_cases(folder: Path) -> None:
    make_mri(folder, {"pat1": SHAPE})
    (folder / "labelsTr/pat1.nii.gz").rename(folder / "labelsTr/other.nii.gz")


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (empty_image_folder, "imagesTr"),
        (image_without_channel_number, "_0000"),
        (missing_channel, "case b"),
        (invalid_json, "dataset.json"),
        (invalid_pattern, "patient"),
        (label_value_as_text, "labels"),
        (channel_names_as_list, "channel_names"),
        (
            unknown_target_task,
            "target_task = 'denoisin'; expected one of bias_field, contrast_change, denoising, inpainting",
        ),
        (pattern_that_matches_no_case, r"case\d+"),
        (table_without_patient_of_a_case, "pat2"),
        (labels_of_other_cases, "other.nii.gz"),
    ],
)
def test_each_mistake_in_a_folder_gives_one_line_that_names_it(tmp_path: Path, damage, detail: str) -> None:  # type: ignore[no-untyped-def]
    damage(tmp_path)
    with pytest.raises(FileError) as caught:
        nnunet.open(tmp_path)
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_data_set_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MvgError, match="imagesTr"):
            open_folder(folder)


def test_the_description_is_read_as_utf8(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    (folder / "dataset.json").write_text(json.dumps({"name": "Schädel"}, ensure_ascii=False), encoding="utf-8")
    assert open_folder(folder).card.title == "Schädel"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "liver": 1, "spleen": 1}, "'liver' and 'spleen' both have the value 1"),
        ({"background": 0, "liver": "2", "spleen": 2}, "'liver' and 'spleen' both have the value 2"),
        ({"background": 1, "liver": 0}, "the background has the value 1, not 0"),
        ({"0": "liver", "1": "background"}, "the background has the value 1, not 0"),
    ],
)
def test_label_tables_that_mean_two_things_are_refused(labels: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = write_description(make_mri(tmp_path / "heads", {"pat1": SHAPE}), labels=labels)
    with pytest.raises(FileError, match=message):
        open_folder(folder)


@pytest.mark.parametrize("part", ["imagesTr/pat1_0000", "labelsTr/pat1"])
@pytest.mark.parametrize("other", [".nrrd", ".mha", ".nii"])
@pytest.mark.parametrize("ending", [".nii.gz", "", ".png"])
def test_two_files_of_one_name(
    part: str, other: str, ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a conversion: nnU-Net reads those with the file_ending; without one, nothing says which is meant."""
    folder = write_description(
        make_mri(tmp_path / "heads", {"pat1": SHAPE}), **({"file_ending": ending} if ending else {})
    )
    write(read_labels(folder / "labelsTr" / "pat1.nii.gz"), folder / f"{part}{other}")
    if ending != ".nii.gz":
        with pytest.raises(FileError, match=r"pat1\S* and pat1\S*; expected one file for each name"):
            open_folder(folder)
        return
    (case,) = open_folder(folder).cases
    assert [path.name for path in (*case.images, case.labels)] == ["pat1_0000.nii.gz", "pat1.nii.gz"]
    assert f"with equal names are left out: {Path(part).name}{other}" in caplog.text
