"""The demo: all tasks on real images, through the public interface; writes volumes and a report."""

import time
from pathlib import Path

import mvg
from mvg.app.demo.drawing import ExhibitResult
from mvg.app.demo.exhibit import Exhibit
from mvg.app.demo.exhibits import exhibits
from mvg.app.demo.measures import Measure, image_measures, label_measures
from mvg.app.demo.overview import write_overview
from mvg.app.demo.report import RunInfo, write_report
from mvg.app.demo.specimens import check_packages
from mvg.app.display import OnProgress
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor

_SEED = 0


def run_demo(output: Path, device: str, on_progress: OnProgress, weights: str = "tiny") -> Path:
    """Predict every exhibit with shipped weights (or those of a folder); returns the path of the report.

    Writes OUTPUT/NAME/{query,answer,truth}.nii.gz, the prompts as folders that `mvg predict` takes, and
    OUTPUT/report.html and overview.png. Under two minutes on two cores. Raises WeightsError, FileError.
    """
    start = time.perf_counter()
    check_packages()
    predictor = mvg.load(weights, device)
    results, makers = [], exhibits(_SEED)
    for number, make in enumerate(makers):
        on_progress("demo", number, len(makers))
        exhibit = make()
        results.append(_predict(predictor, exhibit))
        _save(results[-1], output / exhibit.name)
    on_progress("demo", len(makers), len(makers))
    report = output / "report.html"
    write_overview([result for result in results if result.exhibit.in_overview], output / "overview.png")
    write_report(results, report, RunInfo(predictor.name, time.perf_counter() - start))
    return report


def _predict(predictor: Predictor, exhibit: Exhibit) -> ExhibitResult:
    start = time.perf_counter()
    prediction = exhibit.way.predict(predictor, exhibit)
    seconds = time.perf_counter() - start
    rival, name = exhibit.way.rival(exhibit)
    return ExhibitResult(exhibit, prediction, _measures(exhibit, prediction, rival), name, seconds)


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
    exhibit.way.save(folder)
