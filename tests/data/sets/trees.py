"""Writes every published set in the layout of its owners: real folder and file names, small random images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from mvg.data.case import split_of
from mvg.data.sets.amos_ct import ORGANS
from tests.data.folders import write_image

SHAPE = (20, 17, 3)


@dataclass(frozen=True)
class Tree:
    """A generated set: cases per split, name of the first case, and a file without which it is refused."""

    train: int
    val: int
    first: str
    required: str


def image(seed: int, hu: bool = False) -> NDArray[np.int16]:
    """Noise from -1000 to 400 for HU, else from 10 to 400."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1000 if hu else 10, 400, SHAPE).astype(np.int16)


def labels(values: Sequence[int]) -> NDArray[np.uint8]:
    """Stripes of background and of each value."""
    stripes = np.array([0, *values], np.uint8)
    return np.broadcast_to(stripes[np.arange(SHAPE[0]) % len(stripes)][:, None, None], SHAPE).copy()


def _write_scans(folder: Path, cases: Sequence[tuple[str, str]], values: Sequence[int], hu: bool) -> None:
    """Writes images*/NAME.nii.gz and labels*/NAME.nii.gz for each (*, NAME), with hidden files of macOS beside them."""
    for seed, (part, name) in enumerate(cases):
        write_image(folder / f"images{part}/{name}.nii.gz", image(seed, hu))
        write_image(folder / f"labels{part}/{name}.nii.gz", labels(values))
        (folder / f"images{part}/._{name}.nii.gz").write_bytes(b"Mac OS X")
    write_image(folder / "imagesTs" / f"{cases[0][1][:-1]}9.nii.gz", image(99, hu))
    (folder / "dataset.json").write_text('{"name": "as published"}')


def amos_ct(folder: Path) -> Tree:
    """AMOS without MRI."""
    cases = [("Tr", "amos_0001"), ("Tr", "amos_0500"), ("Va", "amos_0008")]
    _write_scans(folder, cases, list(ORGANS), hu=True)
    return Tree(2, 1, "amos_0001", "labelsVa/amos_0008.nii.gz")


def amos_mri(folder: Path) -> Tree:
    """AMOS without CT."""
    cases = [("Tr", "amos_0501"), ("Tr", "amos_0600"), ("Va", "amos_0517")]
    _write_scans(folder, cases, list(ORGANS), hu=False)
    return Tree(2, 1, "amos_0501", "labelsTr/amos_0600.nii.gz")


def word(folder: Path) -> Tree:
    """WORD-V0.1.0 with two training scans, one validation scan and one test scan."""
    cases = [("Tr", "word_0002"), ("Tr", "word_0004"), ("Val", "word_0001"), ("Ts", "word_0007")]
    _write_scans(folder / "WORD-V0.1.0", cases, range(1, 17), hu=True)
    return Tree(2, 1, "word_0001", "WORD-V0.1.0/labelsVal/word_0001.nii.gz")


def btcv(folder: Path) -> Tree:
    """RawData with ten of its thirty scans."""
    root = folder / "RawData/Training"
    for number in (*range(1, 6), *range(21, 26)):
        write_image(root / f"img/img{number:04d}.nii.gz", image(number, hu=True))
        write_image(root / f"label/label{number:04d}.nii.gz", labels(range(1, 14)))
    write_image(folder / "RawData/Testing/img/img0061.nii.gz", image(0, hu=True))
    return Tree(7, 3, "0001", "RawData/Training/label/label0022.nii.gz")


def microsegnet(folder: Path) -> Tree:
    """Annotations of an expert, stored as 255, beside those of others."""
    root = folder / "Micro_Ultrasound_Prostate_Segmentation_Dataset"
    for part, number in (("train", 1), ("train", 2), ("train", 55), ("test", 1)):
        write_image(root / part / f"micro_ultrasound_scans/microUS_{part}_{number:02d}.nii.gz", image(number))
        for annotator, prefix in (("expert", "expert_annotation"), ("non_expert", "nonexpert_annotation")):
            write_image(root / part / f"{annotator}_annotations/{prefix}_{part}_{number:02d}.nii.gz", labels([255]))
    return Tree(3, 1, "test_01", f"{root.name}/test/expert_annotations/expert_annotation_test_01.nii.gz")


def _write_itk(path: Path, voxels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    picture.SetSpacing((0.6, 0.6, 3.0))
    sitk.WriteImage(picture, str(path))


def promise12(folder: Path) -> Tree:
    """Training and test cases that are both numbered from 0, and live cases without segmentations."""
    for part, number in (("training", 0), ("training", 1), ("test", 0)):
        _write_itk(folder / f"{part}_data/Case{number:02d}.mhd", image(number))
        _write_itk(folder / f"{part}_data/Case{number:02d}_segmentation.mhd", labels([1]))
    _write_itk(folder / "livechallenge_test_data/Case00.mhd", image(5))
    return Tree(2, 1, "test_Case00", "training_data/Case01.raw")


def promise12_before_2023(folder: Path) -> Tree:
    """Three parts of training cases, and test cases without segmentations."""
    for number in range(8):
        part = folder / f"TrainingData_Part{1 + number // 3}"
        _write_itk(part / f"Case{number:02d}.mhd", image(number))
        _write_itk(part / f"Case{number:02d}_segmentation.mhd", labels([1]))
    _write_itk(folder / "test_data/Case00.mhd", image(9))
    return Tree(5, 3, "train_Case00", "TrainingData_Part2/Case04_segmentation.mhd")


def brats_gli(folder: Path) -> Tree:
    """Patient 00003 has two training scans, patient 00005 one scan in each split; `brats_local` holds out 00002."""
    training = ("00000-000", "00002-000", "00003-000", "00003-001", "00005-000")
    validation = (("Validation", "00001-000"), ("Validation", "00005-001"))
    for part, name in [*(("Training", name) for name in training), *validation]:
        case = folder / f"ASNR-MICCAI-BraTS2023-GLI-Challenge-{part}Data" / f"BraTS-GLI-{name}"
        for seed, contrast in enumerate(("t1n", "t1c", "t2w", "t2f")):
            write_image(case / f"{case.name}-{contrast}.nii.gz", image(seed))
        if part == "Training":
            write_image(case / f"{case.name}-seg.nii.gz", labels([1, 2, 3]))
    first = "BraTS-GLI-00000-000"
    return Tree(3, 3, first, f"ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/{first}/{first}-t2f.nii.gz")


def brats_local(folder: Path) -> Tree:
    """Five pairs with their masks, and a validation case without a target."""
    for number in (0, 2, 3, 4, 7, 9):
        part = "Training" if number < 9 else "Validation"
        case = folder / f"ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-{part}" / f"BraTS-GLI-{number:05d}-000"
        whole, void = image(number), labels([1])
        write_image(case / f"{case.name}-t1n-voided.nii.gz", np.where(void, 0, whole).astype(np.int16))
        write_image(case / f"{case.name}-mask.nii.gz", void)
        if part == "Training":
            write_image(case / f"{case.name}-t1n.nii.gz", whole)
            write_image(case / f"{case.name}-mask-healthy.nii.gz", void)
    first = "BraTS-GLI-00000-000"
    return Tree(4, 1, first, f"ASNR-MICCAI-BraTS2023-Local-Synthesis-Challenge-Training/{first}/{first}-t1n.nii.gz")


def _write_series(folder: Path, voxels: NDArray[np.int16]) -> None:
    """Writes a CT series of axial slices."""
    folder.mkdir(parents=True)
    for number in range(voxels.shape[2]):
        dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
        dataset.Columns, dataset.Rows = voxels.shape[:2]
        dataset.PixelData = voxels[:, :, number].T.astype(np.int16).tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5.0 * number]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"1-{number + 1:03d}.dcm")


def ldct(folder: Path) -> Tree:
    """Four patients with both doses, in the spellings of the archive, and one without low-dose images."""
    root = folder / "LDCT-and-Projection-data"
    for seed, (patient, full) in enumerate(
        [("C002", "Full Dose Images-71581"), ("L123", "Full dose images-67226"), ("L131", "Full dose images-1"),
         ("N005", "Full Dose Images-2"), ("C145", "Full Dose Images-3")]
    ):  # fmt: skip
        study = root / patient / "12-23-2021-NA-NA-62464"
        _write_series(study / f"1.000000-{full}", image(seed, hu=True))
        if patient != "C145":
            _write_series(study / "1.000000-Low Dose Images-39882", image(seed + 50, hu=True))
        (study / "1.000000-Low Dose Projections-123").mkdir()
    return Tree(3, 1, "C002", "LDCT-and-Projection-data/L123/12-23-2021-NA-NA-62464/1.000000-Full dose images-67226")


def cxr_lungs(folder: Path) -> Tree:
    """Seven X-rays with two masks each."""
    for number in range(1, 8):
        name = f"MCUCXR_{number:04d}_{number % 2}.png"
        left, right = np.zeros((2, 24, 30), np.uint8)
        left[5:20, 18:27], right[5:20, 3:12] = 255, 255
        image_pixels = (np.arange(24 * 30).reshape(24, 30) % 200 + number).astype(np.uint8)
        for subfolder, pixels in (
            ("CXR_png", image_pixels),
            ("ManualMask/leftMask", left),
            ("ManualMask/rightMask", right),
        ):
            path = folder / "MontgomerySet" / subfolder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return Tree(5, 2, "MCUCXR_0001_1", "MontgomerySet/ManualMask/rightMask/MCUCXR_0003_1.png")


def acdc(folder: Path) -> Tree:
    """Two training patients and one test patient, with two frames each and the complete cine."""
    for part, patient in (("training", 1), ("training", 2), ("testing", 101)):
        path = folder / "database" / part / f"patient{patient:03d}"
        for frame in (1, 12):
            write_image(path / f"{path.name}_frame{frame:02d}.nii.gz", image(patient))
            write_image(path / f"{path.name}_frame{frame:02d}_gt.nii.gz", labels([1, 2, 3]))
        write_image(path / f"{path.name}_4d.nii.gz", np.zeros((4, 4, 2, 3), np.int16))
        (path / "Info.cfg").write_text("ED: 1\nES: 12\n")
    return Tree(4, 2, "patient001_frame01", "database/testing/patient101/patient101_frame12_gt.nii.gz")


def la2018(folder: Path) -> Tree:
    """Five training scans whose atrium is 255, and one test scan."""
    scans = ["Training Set/1D7CUD1955YZPGK8XHJX", *(f"Training Set/{letter * 20}" for letter in "2345")]
    for seed, name in enumerate([*scans, "Testing Set/Z"]):
        _write_itk(folder / name / "lgemri.nrrd", image(seed))
        _write_itk(folder / name / "laendo.nrrd", labels([255]))
    return Tree(4, 1, "1D7CUD1955YZPGK8XHJX", f"{scans[1]}/laendo.nrrd")


def _msd(folder: Path, task: str, name: str, numbers: Sequence[str], values: Sequence[int]) -> Tree:
    cases = [("Tr", f"{name}_{number}") for number in numbers]
    _write_scans(folder / task, cases, values, hu=True)
    val = sum(split_of(case) == "val" for _, case in cases)
    return Tree(len(cases) - val, val, cases[0][1], f"{task}/labelsTr/{cases[-1][1]}.nii.gz")


def msd_liver(folder: Path) -> Tree:
    """Numbers without leading zeros."""
    return _msd(folder, "Task03_Liver", "liver", ["0", "1", "10", "100", "2", "3"], [1, 2])


def msd_spleen(folder: Path) -> Tree:
    """Numbers with gaps."""
    return _msd(folder, "Task09_Spleen", "spleen", ["10", "12", "2", "3", "63"], [1])


def msd_lung(folder: Path) -> Tree:
    """Numbers of three digits."""
    return _msd(folder, "Task06_Lung", "lung", ["001", "003", "004", "005", "006"], [1])


TREES: dict[str, Callable[[Path], Tree]] = {
    make.__name__: make
    for make in (
        acdc, amos_ct, amos_mri, brats_gli, brats_local, btcv, cxr_lungs, la2018, ldct, microsegnet, msd_liver,
        msd_lung, msd_spleen, promise12, word,
    )
}  # fmt: skip
