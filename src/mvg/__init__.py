"""mvg, a medical vision generalist: it takes a few example pairs and does the same to new medical images.

    predictor = mvg.load("tiny")
    task = predictor.prompt(images, targets)        # Volumes, and LabelMaps or Volumes on the same grids
    prediction = task(mvg.read("scan.nii.gz"))      # prediction.volume lies on the scan's own grid
    mvg.write(prediction.volume, "liver.nii.gz")

Names are loaded on first use: `import mvg` takes milliseconds and does not import torch.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvg.errors import (
        BenchmarkError,
        FileError,
        GeometryError,
        MvgError,
        ProcessError,
        PromptError,
        RecipeError,
        UnknownNameError,
        WeightsError,
    )
    from mvg.imaging.files import read, read_labels, write
    from mvg.imaging.volume import LabelMap, Volume
    from mvg.prediction.options import PredictionOptions
    from mvg.prediction.predictor import Predictor, load, load_task
    from mvg.prediction.prompted_task import PromptedTask
    from mvg.prediction.result import Prediction
    from mvg.prediction.session import Session

__version__ = "0.1.0"
__all__ = [
    "BenchmarkError",
    "FileError",
    "GeometryError",
    "LabelMap",
    "MvgError",
    "Prediction",
    "PredictionOptions",
    "Predictor",
    "ProcessError",
    "PromptError",
    "PromptedTask",
    "RecipeError",
    "Session",
    "UnknownNameError",
    "Volume",
    "WeightsError",
    "__version__",
    "load",
    "load_task",
    "read",
    "read_labels",
    "write",
]

_MODULES = {
    "mvg.errors": (
        "BenchmarkError",
        "FileError",
        "GeometryError",
        "MvgError",
        "ProcessError",
        "PromptError",
        "RecipeError",
        "UnknownNameError",
        "WeightsError",
    ),
    "mvg.imaging.files": ("read", "read_labels", "write"),
    "mvg.imaging.volume": ("LabelMap", "Volume"),
    "mvg.prediction.options": ("PredictionOptions",),
    "mvg.prediction.session": ("Session",),
    "mvg.prediction.result": ("Prediction",),
    "mvg.prediction.predictor": ("Predictor", "load", "load_task"),
    "mvg.prediction.prompted_task": ("PromptedTask",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

_PRODUCTS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def _let_waiting_threads_sleep() -> None:
    """Sets OMP_WAIT_POLICY=passive for this process and those it starts, unless the user has chosen how threads wait.

    By default the threads of OpenMP spin while they wait for one another: with another busy process on the machine, a
    prediction then takes more than ten times the processor time. OpenMP reads the variable when torch is loaded.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def _keep_products_on_one_thread() -> None:
    """Sets OPENBLAS_NUM_THREADS=1 for NumPy, unless the user has chosen a number; PyTorch keeps its threads.

    Predictions share their slices among the cores instead, see `mvg.prediction.inference.parallel`. NumPy's products
    are small here, and its waiting threads spin. OpenBLAS reads the variable when NumPy is loaded.
    """
    if "numpy" not in sys.modules and not any(name in os.environ for name in _PRODUCTS):
        os.environ["OPENBLAS_NUM_THREADS"] = "1"


_let_waiting_threads_sleep()
_keep_products_on_one_thread()


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mvg' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
