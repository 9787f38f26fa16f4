"""One small whole input of each kind, which the fuzz program damages."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, RLELossless

from mvg.imaging.dicom.reference import reference_of
from mvg.imaging.dicom.segmentation import write_segmentation
from mvg.imaging.dicom.terms import terms_of
from mvg.imaging.files import read, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import save_weights
from mvg.prediction.predictor import Predictor, load
from mvg.prediction.prompted_task import PromptedTask
from tests.prediction.learner import random_model
from tests.prediction.scans import scan

SHAPE = (24, 24, 3)


def make_seeds(folder: Path) -> dict[str, Path]:
    """The whole inputs by their kind, in a folder: images of every format, a data set's JSON, a task file, weights."""
    image, labels = scan(SHAPE, seed=0)
    folder.mkdir()
    paths = {}
    for suffix in (".nii", ".nii.gz", ".mgh", ".mgz", ".mha", ".nrrd", ".npz", ".h5"):
        paths[suffix] = folder / f"scan{suffix}"
        write(image, paths[suffix])
    pixels = (np.clip(image.voxels[:, :, 0], 0, 1) * 255).astype(np.uint8)
    for suffix in (".png", ".tif", ".jpg", ".bmp"):
        paths[suffix] = folder / f"film{suffix}"
        Image.fromarray(pixels).save(paths[suffix])
    for name, change in _DICOM.items():
        paths[name] = folder / f"{name.removeprefix('.')}.dcm"
        dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
        change(dataset)
        dataset.save_as(paths[name])
    paths[".seg"] = _make_segmentation(paths[".dcm"], folder / "seg.dcm")
    paths[".zip"] = folder / "export.zip"
    paths[".zip"].write_bytes(_zipped(paths[".dcm"].read_bytes()))
    _make_prompts(folder / "prompts", image, labels)
    paths["dataset.json"] = folder / "prompts" / "dataset.json"
    paths["weights"] = save_weights(random_model(), folder / "weights", "# toy\n").folder / "model.safetensors"
    paths["config.json"] = folder / "weights" / "config.json"
    task = Predictor(random_model()).prompt([image], [labels])
    paths["task"] = folder / "task.mvgtask"
    task.save(paths["task"])
    return paths


def toy_task(folder: Path) -> PromptedTask:
    """A task of random weights, to predict damaged queries with; its prompts are encoded already."""
    image, labels = scan(SHAPE, seed=1)
    task = load(folder / "weights", "cpu").prompt([image], [labels])
    task(image)
    return task


def _make_prompts(folder: Path, image: Volume, labels: LabelMap) -> None:
    for part, volume in (("imagesTr/a_0000", image), ("labelsTr/a", labels)):
        (folder / part).parent.mkdir(parents=True)
        write(volume, folder / f"{part}.nii.gz")
    names = {"background": 0, **{f"organ {value}": value for value in labels.values}}
    description = {"channel_names": {"0": "T1"}, "labels": names, "file_ending": ".nii.gz", "numTraining": 1}
    (folder / "dataset.json").write_text(json.dumps(description))


def _make_segmentation(image: Path, path: Path) -> Path:
    """A SEG of two segments on one image."""
    voxels = read(image).voxels
    labels = LabelMap(np.where(voxels > np.median(voxels), 1, 2), np.eye(4))
    write_segmentation(labels, terms_of([1, 2], {}), reference_of(image, "", labels.shape), path)
    return path


def _zipped(content: bytes) -> bytes:
    import zipfile

    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study/IM0001", content)
    return stream.getvalue()


def _enhance(dataset: pydicom.Dataset) -> None:
    dataset.NumberOfFrames, dataset.Rows = 4, dataset.Rows // 4


_DICOM: dict[str, Callable[[pydicom.Dataset], object]] = {
    ".dcm": lambda dataset: None,
    ".rle": lambda dataset: dataset.compress(RLELossless),
    ".j2k": lambda dataset: dataset.compress(JPEG2000Lossless),
    ".frames": _enhance,
}
