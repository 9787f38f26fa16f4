"""Session files (`.mvgsession`): a volume and its corrections in one file; safetensors with JSON inside, no pickle.

    voxels, affine                     the volume
    correction.I.numbers, .known       each correction, uint8, in order; undone ones come last

The JSON names the label values, the modality, the fingerprint of the model, and which slice each correction is.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError, WeightsError
from mvg.imaging.volume import Volume
from mvg.prediction.annotations import Annotations, Correction

SUFFIX = ".mvgsession"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class SessionContents:
    """What a session file holds.

    values, modality: see `SessionStart`; fingerprint: of the model; corrections: all of them; the last `undone` ones
    were taken back.
    """

    volume: Volume
    values: tuple[int, ...]
    modality: str
    fingerprint: str
    corrections: tuple[Correction, ...]
    undone: int

    @classmethod
    def of(
        cls, volume: Volume, values: tuple[int, ...], modality: str, fingerprint: str, annotations: Annotations
    ) -> "SessionContents":
        """The present state of a session."""
        undone = annotations.undone
        return cls(volume, values, modality, fingerprint, (*annotations.history, *undone), len(undone))

    def check(self, fingerprint: str, path: Path) -> None:
        """Raises WeightsError for another model than the one that the session was saved with."""
        if fingerprint != self.fingerprint:
            raise WeightsError(
                f"'{path}' was saved with other weights ({self.fingerprint[:12]}...)",
                f"those that are loaded ({fingerprint[:12]}...)",
                "load the weights that the session was saved with",
            )


def save(contents: SessionContents, path: Path) -> None:
    """Write a session whole or not at all. Raises FileError for a wrong suffix or where it cannot be written."""
    if path.suffix != SUFFIX:
        raise FileError(f"a session to be saved as '{path.name}'", f"a name that ends in {SUFFIX}", "rename it")
    tensors: dict[str, NDArray[Any]] = {"voxels": contents.volume.voxels, "affine": contents.volume.affine}
    for number, correction in enumerate(contents.corrections):
        tensors[f"correction.{number}.numbers"] = correction.numbers
        tensors[f"correction.{number}.known"] = correction.known
    about = {
        "format": _FORMAT,
        "values": contents.values,
        "modality": contents.modality,
        "fingerprint": contents.fingerprint,
        "slices": [[correction.axis, correction.index] for correction in contents.corrections],
        "undone": contents.undone,
    }
    with atomic_file(path, partial(unwritable, path)) as temporary:
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        save_file(contiguous, temporary, metadata={"mvg": json.dumps(about)})


def load(path: Path) -> SessionContents:
    """Read a session. Raises FileError for a file that is none, or damaged."""
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["mvg"])
            if about["format"] != _FORMAT:
                raise _unreadable(path, f"its format is {about['format']}")
            volume = Volume(file.get_tensor("voxels"), file.get_tensor("affine"))
            corrections = tuple(
                Correction(axis, index, *(file.get_tensor(f"correction.{n}.{part}") for part in ("numbers", "known")))
                for n, (axis, index) in enumerate(about["slices"])
            )
        return SessionContents(
            volume, tuple(about["values"]), about["modality"], about["fingerprint"], corrections, about["undone"]
        )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _unreadable(path: Path, reason: str) -> FileError:
    return FileError(f"'{path}' cannot be read as a session ({reason})", f"a {SUFFIX} file", "check the path")
