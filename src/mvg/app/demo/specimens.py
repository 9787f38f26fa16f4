"""Real medical images that ship inside public packages: no download, no file of ours.

nilearn   the ICBM 152 brain, T1, gray and white matter: an average of 152 people, symmetric
dipy      one coronal T1 slice of one person's brain
pydicom   a CT slice of one patient's head and one of another patient's back
"""

import logging
from functools import lru_cache
from pathlib import Path

import numpy as np

from mvg.errors import FileError
from mvg.imaging.files import read
from mvg.imaging.volume import LabelMap, Volume


@lru_cache
def average(what: str) -> Volume:
    """The ICBM 152 brain at 1 mm: "t1" (brain only), or the probability of "gray" or "white" matter."""
    try:
        from nilearn import datasets
    except ImportError as problem:
        raise _missing("nilearn") from problem
    load = {
        "t1": datasets.load_mni152_template,
        "gray": datasets.load_mni152_gm_template,
        "white": datasets.load_mni152_wm_template,
    }
    image = load[what](resolution=1)
    return Volume(np.asarray(image.dataobj, np.float32), image.affine)


@lru_cache
def tissue_labels() -> LabelMap:
    """The likeliest of gray matter (1), white matter (2) and neither (0) in the average brain."""
    gray, white = average("gray"), average("white")
    none = 1 - gray.voxels - white.voxels
    likeliest = np.argmax(np.stack([none, gray.voxels, white.voxels]), axis=0)
    return LabelMap(likeliest.astype(np.uint8), gray.affine)


@lru_cache
def person() -> Volume:
    """One person's coronal T1 slice, skull removed; its pixels are taken as 1 mm, and which side is left is unknown."""
    try:
        from dipy.data import get_fnames
    except ImportError as problem:
        raise _missing("dipy") from problem
    picture = np.load(get_fnames(name="t1_coronal_slice")).astype(np.float32)
    return Volume(picture[::-1].T[:, None, :], np.diag([-1.0, 1.0, 1.0, 1.0]))


def classified(volume: Volume) -> LabelMap:
    """Gray and white matter by dipy's classifier, which knows fluid, gray and white by brightness."""
    from dipy.segment.tissue import TissueClassifierHMRF

    logging.getLogger("dipy").setLevel(logging.ERROR)  # it tells every iteration
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
    return Volume(np.maximum(volume.voxels, np.float32(-1024)), volume.affine)  # beyond the scanner's field: air


def _missing(package: str) -> FileError:
    return FileError(f"no package '{package}'", "the packages of the demo", "run pip install '.[demo]' in mvg's source")
