"""The demo: all tasks on real images, through the public interface; writes volumes and a report."""

import time
from pathlib import Path

import numpy as np

import mvg
from mvg.app.demo.drawing import ExhibitResult
from mvg.app.demo.exhibits import Exhibit, exhibits
from mvg.app.demo.measures import Measure, image_measures, label_measures
from mvg.app.demo.overview import write_overview
from mvg.app.demo.report import RunInfo, write_report
from mvg.app.demo.specimens import check_packages
from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor
from mvg.tasks import spec_of

_COUNT = 8  # exhibits
_SEED = 0


def run_demo(output: Path, device: str, on_progress: OnProgress, weights: str = "tiny") -> Path:
    """Predict every exhibit with shipped weights (or those of a folder); returns the path of the report.

    Writes OUTPUT/NAME/{query,answer,truth}.nii.gz, the prompts as folders that `mvg predict` takes, and
    OUTPUT/report.html and overview.png. Under two minutes on two cores. Raises WeightsError, FileError.
    """
    start = time.perf_counter()
    check_packages()
    predictor = mvg.load(weights, device)
    results = []
    for number, exhibit in enumerate(exhibits(_SEED)):
        on_progress("demo", number, _COUNT)
        results.append(_predict(predictor, exhibit))
        _save(results[-1], output / exhibit.name)
    on_progress("demo", _COUNT, _COUNT)
    report = output / "report.html"
    write_overview(results, output / "overview.png")
    write_report(results, report, RunInfo(predictor.name, time.perf_counter() - start))
    return report


def _predict(predictor: Predictor, exhibit: Exhibit) -> ExhibitResult:
    start = time.perf_counter()
    prediction = predictor.prompt(exhibit.images, exhibit.targets, exhibit.task)(exhibit.query).volume
    seconds = time.perf_counter() - start
    rival, name = _rival(exhibit)
    return ExhibitResult(exhibit, prediction, _measures(exhibit, prediction, rival), name, seconds)


def _rival(exhibit: Exhibit) -> tuple[LabelMap | Volume | None, str]:
    """What one gets without a model, and its name: the query itself, or the nearest prompt's target on the same grid.

    None and "" where prompts and query have no common grid.
    """
    if spec_of(exhibit.task).residual:
        return exhibit.query, "leaving the query as it is"
    if exhibit.query.plane != "axial":
        return None, ""
    prompts = [image.affine[2, 3] for image in exhibit.images]
    slices = exhibit.query.affine[2, 3] + exhibit.query.affine[2, 2] * np.arange(exhibit.query.shape[2])
    nearest = [exhibit.targets[int(np.argmin(np.abs(np.subtract(prompts, position))))] for position in slices]
    copied = np.concatenate([target.voxels for target in nearest], axis=2)
    return type(nearest[0])(copied, exhibit.query.affine), "copying the nearest prompt's target"


def _measures(exhibit: Exhibit, prediction: LabelMap | Volume, rival: LabelMap | Volume | None) -> tuple[Measure, ...]:
    truth = exhibit.truth
    if isinstance(prediction, LabelMap) and isinstance(truth, LabelMap):
        labels = rival if isinstance(rival, LabelMap) else None
        return tuple(label_measures(prediction, truth, labels, exhibit.labels))
    if isinstance(prediction, Volume) and isinstance(truth, Volume):
        image = rival if isinstance(rival, Volume) else None
        return tuple(image_measures(prediction, truth, image, exhibit.region))
    assert truth is None, "a prediction and its truth have one type"
    return ()


def _save(result: ExhibitResult, folder: Path) -> None:
    exhibit, images, targets = result.exhibit, folder / "prompts" / "images", folder / "prompts" / "targets"
    try:
        images.mkdir(parents=True, exist_ok=True)
        targets.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"the folder '{folder}' could not be made ({error.strerror})", "a writable folder", "choose another"
        ) from error
    mvg.write(exhibit.query, folder / "query.nii.gz")
    mvg.write(result.prediction, folder / "answer.nii.gz")
    if exhibit.truth is not None:
        mvg.write(exhibit.truth, folder / "truth.nii.gz")
    for number, (image, target) in enumerate(zip(exhibit.images, exhibit.targets, strict=True), 1):
        mvg.write(image, images / f"example{number}.nii.gz")
        mvg.write(target, targets / f"example{number}.nii.gz")
