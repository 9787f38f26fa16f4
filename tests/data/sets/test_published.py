"""What every published set promises, on made folders in its owners' layout."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mvg._plugins import contributions
from mvg.data import Store, open_folder, open_set, prepare, sets, sets_in
from mvg.data.case import Card, Case, DataSet, split_of
from mvg.data.slicing import read_label_files, slice_case
from mvg.errors import FileError, UnknownNameError
from tests.data.folders import make_mri, write_image
from tests.data.sets.trees import TREES, Tree, image, labels, promise12_before_2023

PUBLISHED = {name: module for name, module in contributions(sets).items() if name != "nnunet"}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tree]]:
    """Every set, in a folder of another name than the set's."""
    where = tmp_path_factory.mktemp("downloads")
    return {name: (where / f"of_{name}", make(where / f"of_{name}")) for name, make in TREES.items()}


def test_every_set_has_a_tree() -> None:
    assert set(PUBLISHED) == set(TREES)


@pytest.mark.parametrize("name", TREES)
def test_it_is_recognised_by_itself_alone(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    folder, _ = trees[name]
    assert [other for other, module in PUBLISHED.items() if module.recognises(folder)] == [name]
    assert open_folder(folder) == open_set(name, folder)


@pytest.mark.parametrize("name", TREES)
def test_cases_and_sides(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    folder, tree = trees[name]
    found = open_folder(folder)
    assert found.card.name == name
    assert found.cases[0].name == tree.first
    train, val = found.of_split("train").cases, found.of_split("val").cases
    assert (len(train), len(val)) == (tree.train, tree.val)
    assert not {case.patient for case in train} & {case.patient for case in val}
    assert len({case.name for case in found.cases}) == len(found.cases)


@pytest.mark.parametrize("name", TREES)
def test_every_case_can_be_cut_and_holds_what_the_card_says(trees: dict[str, tuple[Path, Tree]], name: str) -> None:
    found = open_folder(trees[name][0])
    seen: set[int] = set()
    for case in found.cases:
        piece = slice_case(case, found.card)
        assert piece.images.shape[1] == len(found.card.channels)
        assert (piece.target is not None) == bool(found.card.image_task)
        seen |= set() if piece.labels is None else set(np.unique(piece.labels).tolist())
    assert seen - {0} == set(found.card.labels)


@pytest.mark.parametrize("name", TREES)
def test_a_missing_file_is_named_with_where_to_get_it(tmp_path: Path, name: str) -> None:
    vital = tmp_path / TREES[name](tmp_path).vital
    if vital.is_dir():
        shutil.rmtree(vital)
    else:
        vital.unlink()
    with pytest.raises(FileError) as caught:
        open_folder(tmp_path)
    said = str(caught.value)
    assert (vital.parent.name if name == "ldct" else vital.name) in said
    assert PUBLISHED[name].SET.access in said


@pytest.mark.parametrize("name", ["acdc", "amos_ct", "amos_mri", "btcv", "msd_liver", "msd_lung", "msd_spleen", "word"])
def test_labels_without_their_image_are_not_passed_over(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    gone = next(case for case in open_set(name, tmp_path).cases if case.split == "train").images[0]
    gone.unlink()
    with pytest.raises(FileError, match="lacks the image of") as caught:
        open_set(name, tmp_path)
    assert str(gone.parent) in str(caught.value)


@pytest.mark.parametrize("name", TREES)
def test_another_folder_is_told_what_was_expected(tmp_path: Path, name: str) -> None:
    published = PUBLISHED[name].SET
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileError) as caught:
            open_set(name, folder)
        assert all(words in str(caught.value) for words in (str(folder), published.tree, published.access))


@pytest.mark.parametrize("name", TREES)
def test_terms_and_access_are_told(name: str) -> None:
    module = PUBLISHED[name]
    card, page = module.SET.card, (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    for words in (card.license, card.citation, card.region, module.SET.split, module.SET.access):
        assert words
    assert "http" in module.SET.access
    assert all(f"{word}:" in module.__doc__ for word in ("Owners", "Terms", "Access", "Split")) or name == "amos_mri"
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    assert all(words in row for words in (card.license, module.SET.split.split(": ")[-1]))
    assert card.citation in page


def test_masks_become_label_values(trees: dict[str, tuple[Path, Tree]]) -> None:
    film = open_folder(trees["cxr_lungs"][0]).cases[0]
    assert film.labels is not None
    merged = read_label_files(film.labels).voxels[:, :, 0].T
    assert merged[6, 20] == merged[6, 5] == 1
    assert merged.sum() == 2 * 15 * 9


def test_one_download_of_two_sets_gives_both(tmp_path: Path) -> None:
    for name in ("amos_ct", "amos_mri"):
        TREES[name](tmp_path / "amos22")
    assert [found.card.name for found in sets_in(tmp_path / "amos22")] == ["amos_ct", "amos_mri"]
    assert [case.name for case in open_set("amos_mri", tmp_path).cases] == ["amos_0501", "amos_0517", "amos_0600"]
    with pytest.raises(FileError, match="amos_ct and amos_mri"):
        open_folder(tmp_path / "amos22")
    prepare([tmp_path / "amos22"], tmp_path / "store")
    assert {name: len(found) for name, found in Store.open(tmp_path / "store").sets.items()} == {
        "amos_ct": 9,
        "amos_mri": 9,
    }


def test_a_patient_whom_owners_put_on_both_sides_is_held_out(trees: dict[str, tuple[Path, Tree]]) -> None:
    found = open_folder(trees["brats_gli"][0])
    assert {case.name for case in found.of_split("val").cases} == {
        "BraTS-GLI-00001-000",
        "BraTS-GLI-00005-000",
        "BraTS-GLI-00005-001",
    }


def test_patients_of_both_brats_sets_are_on_one_side(trees: dict[str, tuple[Path, Tree]], tmp_path: Path) -> None:
    """Whatever part of a download is there."""
    gli, whole = (open_folder(trees[name][0]) for name in ("brats_gli", "brats_local"))
    for folder in (case.images[0].parent for case in whole.cases if case.name[-9:] in ("00000-000", "00003-000")):
        shutil.copytree(folder, tmp_path / folder.name)
    learnt, asked = ({case.patient for case in gli.of_split(side).cases} for side in ("train", "val"))
    for local in (whole, open_folder(tmp_path)):
        assert not learnt & {case.patient for case in local.of_split("val").cases}
        assert not asked & {case.patient for case in local.of_split("train").cases}


def test_no_set_has_a_patient_on_both_sides() -> None:
    cases = (Case("a1", "a", (Path("a1"),), owner_split="train"), Case("a2", "a", (Path("a2"),), owner_split="val"))
    with pytest.raises(FileError, match="patient 'a' of heads"):
        DataSet(Card("heads", "heads", "MRI", "", ("T1",)), cases)


def test_older_downloads_without_labelled_test_cases_are_split(tmp_path: Path) -> None:
    tree = promise12_before_2023(tmp_path)
    found = open_folder(tmp_path)
    assert (len(found.of_split("train").cases), len(found.of_split("val").cases)) == (tree.train, tree.val)
    (tmp_path / tree.vital).unlink()
    with pytest.raises(FileError, match="Case04_segmentation"):
        open_folder(tmp_path)


def test_who_is_held_out_does_not_depend_on_the_order_and_never_changes(trees: dict[str, tuple[Path, Tree]]) -> None:
    held = {name: [c.name for c in open_folder(trees[name][0]).of_split("val").cases] for name in ("btcv", "cxr_lungs")}
    assert held == {"btcv": ["0004", "0023", "0025"], "cxr_lungs": ["MCUCXR_0004_0", "MCUCXR_0007_1"]}


@pytest.mark.parametrize(
    ("name", "inner"),
    [("acdc", "database"), ("btcv", "RawData/Training"), ("ldct", "LDCT-and-Projection-data"), ("word", "WORD-V0.1.0"),
     ("brats_local", "ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-Training"), ("msd_lung", "Task06_Lung")],
)  # fmt: skip
def test_either_end_of_the_folders_around_may_be_handed_over(
    trees: dict[str, tuple[Path, Tree]], name: str, inner: str
) -> None:
    folder = trees[name][0]
    assert open_folder(folder / inner).cases == open_folder(folder).cases


def test_half_of_brats_says_which_half(trees: dict[str, tuple[Path, Tree]]) -> None:
    with pytest.raises(FileError, match="ValidationData"):
        open_folder(trees["brats_gli"][0] / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData")


def test_converted_sets_are_nnunets(tmp_path: Path) -> None:
    write_image(tmp_path / "imagesTr/word_0001_0000.nii.gz", image(0))
    write_image(tmp_path / "labelsTr/word_0001.nii.gz", labels([1]))
    assert open_folder(tmp_path).card.name == tmp_path.name


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"amos_ct.*btcv.*word"):
        open_set("amos", tmp_path)


def test_the_store_keeps_the_owners_side(trees: dict[str, tuple[Path, Tree]], tmp_path: Path) -> None:
    """Also where `split_of` would have it otherwise; a store from before sides were written goes by `split_of`."""
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


def test_a_case_that_changes_sides_between_two_runs_is_cut_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    promise12_before_2023(data)
    with pytest.raises(KeyboardInterrupt):
        prepare([data], tmp_path / "store", _stop_after_six)
    TREES["promise12"](tmp_path / "newer")
    shutil.copytree(tmp_path / "newer/test_data", data / "test_data", dirs_exist_ok=True)
    prepare([data], tmp_path / "store")
    rows = Store.open(tmp_path / "store").sets["promise12"].rows
    assert {row.case for row in rows if row.split == "val"} == {"test_Case00"}


def test_sets_of_ones_own_still_go_by_patient(tmp_path: Path) -> None:
    found = open_folder(make_mri(tmp_path / "heads", {f"pat{n}": (20, 24, 2) for n in range(8)}))
    assert [case.split for case in found.cases] == [split_of(case.patient) for case in found.cases]
