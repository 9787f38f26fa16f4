"""Every published set is recognized and read, on small generated folders in the layout of its owners."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg._plugins import contributions
from mvg.data import Store, open_folder, open_set, prepare, sets, sets_in
from mvg.data.case import Card, Case, DataSet, split_of
from mvg.data.case_labels import read_label_files
from mvg.data.slicing import slice_case
from mvg.errors import FileError, UnknownNameError
from tests.data.folders import make_mri, write_image
from tests.data.sets.trees import TREES, Tree, image, labels, promise12_before_2023

PUBLISHED = {name: module for name, module in contributions(sets).items() if name != "nnunet"}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tree]]:
    """Every set, in a folder whose name is not that of the set."""
    downloads = tmp_path_factory.mktemp("downloads")
    return {name: (downloads / f"of_{name}", make(downloads / f"of_{name}")) for name, make in TREES.items()}


def test_every_set_has_a_generated_folder() -> None:
    assert set(PUBLISHED) == set(TREES)


@pytest.mark.parametrize("name", TREES)
def test_only_its_file_recognizes_a_set(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    folder, _ = trees[name]
    assert [other for other, module in PUBLISHED.items() if module.recognizes(folder)] == [name]
    assert open_folder(folder) == open_set(name, folder)


@pytest.mark.parametrize("name", TREES)
def test_cases_are_complete_and_splits_share_no_patient(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    folder, tree = trees[name]
    data_set = open_folder(folder)
    assert data_set.card.name == name
    assert data_set.cases[0].name == tree.first
    train, val = data_set.of_split("train").cases, data_set.of_split("val").cases
    assert (len(train), len(val)) == (tree.train, tree.val)
    assert not {case.patient for case in train} & {case.patient for case in val}
    assert len({case.name for case in data_set.cases}) == len(data_set.cases)


@pytest.mark.parametrize("name", TREES)
def test_slices_of_every_case_match_the_card(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    data_set = open_folder(trees[name][0])
    label_values: set[int] = set()
    for case in data_set.cases:
        slices = slice_case(case, data_set.card)
        assert slices.images.shape[1] == len(data_set.card.channels)
        assert (slices.target is not None) == bool(data_set.card.image_task)
        label_values |= set() if slices.labels is None else set(np.unique(slices.labels).tolist())
    assert label_values - {0} == set(data_set.card.labels)


@pytest.mark.parametrize("name", TREES)
def test_a_missing_file_is_named_with_the_source_of_the_set(tmp_path: Path, name: str) -> None:
    required = tmp_path / TREES[name](tmp_path).required
    if required.is_dir():
        shutil.rmtree(required)
    else:
        required.unlink()
    with pytest.raises(FileError) as caught:
        open_folder(tmp_path)
    message = str(caught.value)
    assert (required.parent.name if name == "ldct" else required.name) in message
    assert PUBLISHED[name].SET.access in message


@pytest.mark.parametrize("name", ["acdc", "amos_ct", "amos_mri", "btcv", "msd_liver", "msd_lung", "msd_spleen", "word"])
def test_a_label_map_without_its_image_is_refused(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    missing = next(case for case in open_set(name, tmp_path).cases if case.split == "train").images[0]
    missing.unlink()
    with pytest.raises(FileError, match="lacks the image of") as caught:
        open_set(name, tmp_path)
    assert str(missing.parent) in str(caught.value)


@pytest.mark.parametrize("name", TREES)
def test_a_folder_without_the_set_gives_an_error_with_layout_and_source(tmp_path: Path, name: str) -> None:
    published = PUBLISHED[name].SET
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileError) as caught:
            open_set(name, folder)
        assert all(detail in str(caught.value) for detail in (str(folder), published.tree, published.access))


@pytest.mark.parametrize("name", TREES)
def test_terms_access_and_citation_are_documented(name: str) -> None:
    module = PUBLISHED[name]
    card, page = module.SET.card, (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert all((card.license, card.citation, card.region, module.SET.split, module.SET.access))
    assert "http" in module.SET.access
    assert (
        all(f"{section}:" in module.__doc__ for section in ("Owners", "Terms", "Access", "Split")) or name == "amos_mri"
    )
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    assert all(entry in row for entry in (card.license, module.SET.split.split(": ")[-1]))
    assert card.citation in page


def test_both_lung_masks_become_one_label(trees: dict[str, tuple[Path, Tree]]) -> None:
    case = open_folder(trees["cxr_lungs"][0]).cases[0]
    assert case.labels is not None
    label_map = read_label_files(case.labels).voxels[:, :, 0].T
    assert label_map[6, 20] == label_map[6, 5] == 1
    assert label_map.sum() == 2 * 15 * 9


def test_a_download_of_two_sets_gives_both_sets(tmp_path: Path) -> None:
    for name in ("amos_ct", "amos_mri"):
        TREES[name](tmp_path / "amos22")
    assert [data_set.card.name for data_set in sets_in(tmp_path / "amos22")] == ["amos_ct", "amos_mri"]
    assert [case.name for case in open_set("amos_mri", tmp_path).cases] == ["amos_0501", "amos_0517", "amos_0600"]
    with pytest.raises(FileError, match="amos_ct and amos_mri"):
        open_folder(tmp_path / "amos22")
    prepare([tmp_path / "amos22"], tmp_path / "store")
    assert {name: len(stored) for name, stored in Store.open(tmp_path / "store").sets.items()} == {
        "amos_ct": 9,
        "amos_mri": 9,
    }


def test_a_patient_whom_the_owners_put_in_both_splits_is_held_out(trees: dict[str, tuple[Path, Tree]]) -> None:
    data_set = open_folder(trees["brats_gli"][0])
    assert {case.name for case in data_set.of_split("val").cases} == {
        "BraTS-GLI-00001-000",
        "BraTS-GLI-00005-000",
        "BraTS-GLI-00005-001",
    }


def test_a_patient_of_both_brats_sets_is_in_the_same_split(trees: dict[str, tuple[Path, Tree]], tmp_path: Path) -> None:
    """Also when only a part of a download is on disk."""
    gli, complete = (open_folder(trees[name][0]) for name in ("brats_gli", "brats_local"))
    for folder in (case.images[0].parent for case in complete.cases if case.name[-9:] in ("00000-000", "00003-000")):
        shutil.copytree(folder, tmp_path / folder.name)
    train, val = ({case.patient for case in gli.of_split(split).cases} for split in ("train", "val"))
    for local in (complete, open_folder(tmp_path)):
        assert not train & {case.patient for case in local.of_split("val").cases}
        assert not val & {case.patient for case in local.of_split("train").cases}


def test_a_patient_in_both_splits_is_refused() -> None:
    cases = (Case("a1", "a", (Path("a1"),), owner_split="train"), Case("a2", "a", (Path("a2"),), owner_split="val"))
    with pytest.raises(FileError, match="patient 'a' of heads"):
        DataSet(Card("heads", "heads", "MRI", "", ("T1",)), cases)


def test_the_training_cases_of_an_older_promise12_download_are_split(tmp_path: Path) -> None:
    tree = promise12_before_2023(tmp_path)
    data_set = open_folder(tmp_path)
    assert (len(data_set.of_split("train").cases), len(data_set.of_split("val").cases)) == (tree.train, tree.val)
    (tmp_path / tree.required).unlink()
    with pytest.raises(FileError, match="Case04_segmentation"):
        open_folder(tmp_path)


def test_the_same_patients_are_always_held_out(trees: dict[str, tuple[Path, Tree]]) -> None:
    held = {name: [c.name for c in open_folder(trees[name][0]).of_split("val").cases] for name in ("btcv", "cxr_lungs")}
    assert held == {"btcv": ["0004", "0023", "0025"], "cxr_lungs": ["MCUCXR_0004_0", "MCUCXR_0007_1"]}


@pytest.mark.parametrize(
    ("name", "inner"),
    [("acdc", "database"), ("btcv", "RawData/Training"), ("ldct", "LDCT-and-Projection-data"), ("word", "WORD-V0.1.0"),
     ("brats_local", "ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-Training"), ("msd_lung", "Task06_Lung")],
)  # fmt: skip
def test_outer_and_inner_folders_open_the_same_set(trees: dict[str, tuple[Path, Tree]], name: str, inner: str) -> None:
    folder = trees[name][0]
    assert open_folder(folder / inner).cases == open_folder(folder).cases


def test_a_missing_part_of_brats_is_named(trees: dict[str, tuple[Path, Tree]]) -> None:
    with pytest.raises(FileError, match="ValidationData"):
        open_folder(trees["brats_gli"][0] / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData")


def test_a_set_converted_to_the_nnunet_layout_is_read_as_nnunet(tmp_path: Path) -> None:
    write_image(tmp_path / "imagesTr/word_0001_0000.nii.gz", image(0))
    write_image(tmp_path / "labelsTr/word_0001.nii.gz", labels([1]))
    assert open_folder(tmp_path).card.name == tmp_path.name


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"amos_ct.*btcv.*word"):
        open_set("amos", tmp_path)


def test_the_store_keeps_the_split_of_the_owners(trees: dict[str, tuple[Path, Tree]], tmp_path: Path) -> None:
    """Also where `split_of` gives another split. An older store, which has no splits, uses `split_of`."""
    folder, tree = trees["acdc"]
    prepare([folder], tmp_path / "store")
    stored = Store.open(tmp_path / "store").sets["acdc"]
    rows = {row.case: row for row in stored.rows}
    assert {name for name, row in rows.items() if row.split == "val"} == {
        "patient101_frame01",
        "patient101_frame12",
    }
    assert any(row.split != split_of(row.patient) for row in stored.rows)
    assert (len(stored.numbers("train")), len(stored.numbers("val"))) == (3 * tree.train, 3 * tree.val)
    index = tmp_path / "store/acdc/slices.json"
    index.write_text("\n".join(line for line in index.read_text().splitlines() if '"split"' not in line))
    older = Store.open(tmp_path / "store").sets["acdc"]
    assert all(row.split == split_of(row.patient) for row in older.rows)


def _stop_after_six(_set: str, done: int, _total: int) -> None:
    if done == 6:
        raise KeyboardInterrupt


def test_a_case_whose_split_changes_after_an_interruption_is_sliced_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    promise12_before_2023(data)
    with pytest.raises(KeyboardInterrupt):
        prepare([data], tmp_path / "store", _stop_after_six)
    TREES["promise12"](tmp_path / "newer")
    shutil.copytree(tmp_path / "newer/test_data", data / "test_data", dirs_exist_ok=True)
    prepare([data], tmp_path / "store")
    rows = Store.open(tmp_path / "store").sets["promise12"].rows
    assert {row.case for row in rows if row.split == "val"} == {"test_Case00"}


def test_sets_in_the_nnunet_layout_are_split_by_patient(tmp_path: Path) -> None:
    data_set = open_folder(make_mri(tmp_path / "heads", {f"pat{n}": (20, 24, 2) for n in range(8)}))
    assert [case.split for case in data_set.cases] == [split_of(case.patient) for case in data_set.cases]
