"""The demo: all four tasks on real images, through the public interface; result volumes and a report."""

import time
from pathlib import Path

import numpy as np

import mvg
from mvg.app.demo.drawing import Shown
from mvg.app.demo.exhibits import Exhibit, exhibits
from mvg.app.demo.measures import Measure, likenesses, overlaps
from mvg.app.demo.overview import write_overview
from mvg.app.demo.report import write_report
from mvg.app.display import Show
from mvg.errors import FileError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import Predictor

_COUNT = 8  # exhibits
_SEED = 0


def run_demo(output: Path, device: str, show: Show, weights: str = "tiny") -> Path:
    """Answer every exhibit with shipped weights (or a folder of them); the path of the report.

    Writes OUTPUT/NAME/{query,answer,truth}.nii.gz, the prompts as folders that `mvg predict` takes, and
    OUTPUT/report.html and overview.png. Under two minutes on two cores. Raises WeightsError, FileError.
    """
    start = time.perf_counter()
    predictor = mvg.load(weights, device)
    shown = []
    for at, exhibit in enumerate(exhibits(_SEED)):
        show("demo", at, _COUNT)
        shown.append(_answered(predictor, exhibit))
        _save(shown[-1], output / exhibit.name)
    show("demo", _COUNT, _COUNT)
    report = output / "report.html"
    write_overview(shown, output / "overview.png")
    write_report(shown, report, predictor.name, time.perf_counter() - start)
    return report


def _answered(predictor: Predictor, exhibit: Exhibit) -> Shown:
    start = time.perf_counter()
    task = predictor.prompt(exhibit.images, exhibit.targets, exhibit.task)
    answer = task(exhibit.query).volume
    seconds = time.perf_counter() - start
    rival, words = _rival(exhibit)
    measures = _measured(exhibit, answer, rival)
    return Shown(exhibit, answer, measures, words if rival is not None else "", seconds)


def _rival(exhibit: Exhibit) -> tuple[LabelMap | Volume | None, str]:
    """What one gets without a model: the nearest prompt's target on the same grid, or the query as it is."""
    if exhibit.task in ("inpainting", "denoising"):
        return exhibit.query, "leaving the query as it is"
    if exhibit.query.plane != "axial":
        return None, ""
    places = [image.affine[2, 3] for image in exhibit.images]
    depths = exhibit.query.affine[2, 3] + exhibit.query.affine[2, 2] * np.arange(exhibit.query.shape[2])
    nearest = [exhibit.targets[int(np.argmin(np.abs(np.subtract(places, depth))))] for depth in depths]
    copied = np.concatenate([target.voxels for target in nearest], axis=2)
    kind = type(nearest[0])
    return kind(copied, exhibit.query.affine), "copying the nearest prompt's target"


def _measured(exhibit: Exhibit, answer: LabelMap | Volume, rival: LabelMap | Volume | None) -> tuple[Measure, ...]:
    truth = exhibit.truth
    if isinstance(answer, LabelMap) and isinstance(truth, LabelMap):
        return tuple(overlaps(answer, truth, rival if isinstance(rival, LabelMap) else None, exhibit.labels))
    if isinstance(answer, Volume) and isinstance(truth, Volume):
        return tuple(likenesses(answer, truth, rival if isinstance(rival, Volume) else None, exhibit.region))
    assert truth is None, "an answer and its truth are of one kind"
    return ()


def _save(shown: Shown, folder: Path) -> None:
    exhibit = shown.exhibit
    try:
        for part in ("images", "targets"):
            (folder / "prompts" / part).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FileError(
            f"the folder '{folder}' cannot be made ({problem.strerror})", "a folder to write to", "choose another"
        ) from problem
    mvg.write(exhibit.query, folder / "query.nii.gz")
    mvg.write(shown.answer, folder / "answer.nii.gz")
    if exhibit.truth is not None:
        mvg.write(exhibit.truth, folder / "truth.nii.gz")
    for number, (image, target) in enumerate(zip(exhibit.images, exhibit.targets, strict=True), 1):
        mvg.write(image, folder / "prompts" / "images" / f"example{number}.nii.gz")
        mvg.write(target, folder / "prompts" / "targets" / f"example{number}.nii.gz")
