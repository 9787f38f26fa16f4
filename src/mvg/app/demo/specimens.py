"""Real medical images that ship inside public packages: nothing is downloaded, nothing is ours.

nilearn   the ICBM 152 brain, T1, gray and white matter: an average of 152 people, symmetric
dipy      one coronal T1 slice of one person's brain
pydicom   a CT slice of one patient's head and one of another patient's back
"""

import logging
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mvg.errors import FileError
from mvg.imaging.files import read
from mvg.imaging.volume import LabelMap, Volume


def check_packages() -> None:
    """Raises FileError where a package of the extra `demo` is missing."""
    for name in ("dipy", "jinja2", "nilearn"):
        if find_spec(name) is None:
            raise FileError(
                f"no package '{name}'", "the packages of the demo", "run pip install '.[demo]' in mvg's source"
            )


@lru_cache
def average(contrast: str) -> Volume:
    """The ICBM 152 brain at 1 mm: "t1" (brain only), or the probability of "gray" or "white" matter."""
    from nilearn import datasets

    load = {
        "t1": datasets.load_mni152_template,
        "gray": datasets.load_mni152_gm_template,
        "white": datasets.load_mni152_wm_template,
    }
    image = load[contrast](resolution=1)
    return Volume(np.asarray(image.dataobj, np.float32), image.affine)


@lru_cache
def tissue_labels() -> LabelMap:
    """The most probable of gray matter (1), white matter (2) and neither (0) in the average brain."""
    gray, white = average("gray"), average("white")
    neither = 1 - gray.voxels - white.voxels
    most_probable = np.argmax(np.stack([neither, gray.voxels, white.voxels]), axis=0)
    return LabelMap(most_probable.astype(np.uint8), gray.affine)


@lru_cache
def person() -> Volume:
    """One person's coronal T1 slice without skull; pixels are assumed to be 1 mm, and which side is left is unknown."""
    from dipy.data import get_fnames

    pixels = np.load(get_fnames(name="t1_coronal_slice")).astype(np.float32)
    return Volume(pixels[::-1].T[:, None, :], np.diag([-1.0, 1.0, 1.0, 1.0]))


def classified(volume: Volume) -> LabelMap:
    """Gray and white matter by dipy's classifier, which finds fluid, gray and white matter by brightness."""
    from dipy.segment.tissue import TissueClassifierHMRF

    logging.getLogger("dipy").setLevel(logging.ERROR)  # it logs each iteration
    thick = np.repeat(np.asarray(volume.voxels[:, 0, :, None], np.float64) * 255, 3, axis=2)
    classes = TissueClassifierHMRF(verbose=False).classify(thick, 3, 0.1)[1][:, :, 1]
    return LabelMap(np.maximum(classes.astype(np.int16) - 1, 0)[:, None, :].astype(np.uint8), volume.affine)


def ct_of_a_head() -> Volume:
    """An axial slice in HU, 512 x 512."""
    return _dicom("J2K_pixelrep_mismatch.dcm")


def ct_of_a_back() -> Volume:
    """An axial slice in HU of another patient, 128 x 128: spine and muscles."""
    return _dicom("CT_small.dcm")


@lru_cache
def _dicom(name: str) -> Volume:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        raise FileError(f"pydicom without its test file {name}", "a pydicom that ships it", "install pydicom>=3")
    volume = read(Path(str(path)))
    return Volume(np.maximum(volume.voxels, np.float32(-1024)), volume.affine)  # outside the scanner's field: air
