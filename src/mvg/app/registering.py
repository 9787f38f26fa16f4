"""What `mvg register` does: reads images, registers them, and writes all results or none."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mvg.app.display import OnProgress
from mvg.errors import FileError, GeometryError, PromptError
from mvg.imaging.displacement import write_field
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.grid_difference import grid_difference
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.registration.examples import read_examples, transform_of
from mvg.prediction.registration.register import LEAST_RESEMBLANCE, Registration, RegistrationOptions, comparable
from mvg.prediction.registration.register import register as align


@dataclass(frozen=True)
class RegistrationFiles:
    """The images, the folder of the results, and labels of the moving image, if there are any."""

    moving: Path
    fixed: Path
    output: Path
    labels: Path | None = None

    @property
    def results(self) -> dict[str, Path]:
        """The files that are written, by name."""
        names = ("warped", "field") if self.labels is None else ("warped", "field", "labels")
        return {name: self.output / f"{name}.nii.gz" for name in names}


@dataclass(frozen=True)
class RegistrationRequest:
    """How images are registered.

    prompts: a folder of examples, which decide the transform; transform: by name, None for the default.
    """

    prompts: Path | None = None
    transform: str | None = None


@dataclass(frozen=True)
class RegistrationReport:
    """The files that were written, a line about the registration, and one that doubts it, if there is reason to."""

    written: tuple[Path, ...]
    note: str
    doubt: str | None = None


def register_files(
    files: RegistrationFiles, request: RegistrationRequest, on_progress: OnProgress
) -> RegistrationReport:
    """Register two images in files. Nothing is computed before all inputs are checked. Raises MvgErrors."""
    _check_outputs(files)
    options = _options(request)
    moving, fixed = comparable(read(files.moving), read(files.fixed))
    labels = None if files.labels is None else _labels_of(files.labels, moving)
    if request.prompts is not None:
        on_progress("examples", 0, 1)
        options = replace(options, transform=transform_of(read_examples(request.prompts), options))
        on_progress("examples", 1, 1)
    on_progress("registration", 0, 1)
    registration = align(moving, fixed, options)
    on_progress("registration", 1, 1)
    written = _write(registration, labels, files)
    distance = float(np.linalg.norm(registration.field.vectors, axis=-1).mean())
    return RegistrationReport(
        written,
        f"{options.transform} registration: displacements of {distance:.1f} mm on average, "
        f"{registration.field.folded:.2%} of the voxels fold",
        _doubt(registration),
    )


def _doubt(registration: Registration) -> str | None:
    if registration.resemblance >= LEAST_RESEMBLANCE:
        return None
    return (
        f"the warped image does not follow the fixed one (local correlation {registration.resemblance:.2f}, usually "
        f"above {LEAST_RESEMBLANCE}): other contrasts, or not aligned; look at the result before you use it"
    )


def _options(request: RegistrationRequest) -> RegistrationOptions:
    if request.prompts is not None and request.transform is not None:
        raise PromptError("--transform beside --prompts", "one of them", "leave one out: examples show the transform")
    return RegistrationOptions() if request.transform is None else RegistrationOptions(request.transform)


def _labels_of(path: Path, moving: Volume) -> LabelMap:
    labels = read_labels(path)
    difference = grid_difference(labels, moving)
    if difference:
        raise GeometryError(
            f"labels on another grid than the moving image ({difference})",
            "labels of the moving image",
            "resample the labels, or name those of the moving image",
        )
    return labels


def _check_outputs(files: RegistrationFiles) -> None:
    inputs = {path.resolve() for path in (files.moving, files.fixed, files.labels) if path is not None}
    for path in files.results.values():
        if path.resolve() in inputs:
            raise FileError(
                f"the result '{path}' would overwrite an input", "a folder without inputs", "choose another output"
            )


def _write(registration: Registration, labels: LabelMap | None, files: RegistrationFiles) -> tuple[Path, ...]:
    """Write all results; where one cannot be written, those before it are removed."""
    written = list[Path]()
    try:
        for name, path in files.results.items():
            if name == "field":
                write_field(registration.field, path)
            elif name == "labels":
                assert labels is not None
                write(registration.field.warp_labels(labels), path)
            else:
                write(registration.warped, path)
            written.append(path)
    except FileError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return tuple(written)
