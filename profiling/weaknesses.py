"""What the weights know: where segmentation of validation patients fails, per label, and what such labels look like.

python -m profiling.weaknesses DATA --output runs/weaknesses [--cases 4] [--slices 12]
python -m profiling.weaknesses --page        # writes docs/results/weaknesses/README.md from the result file there

DATA is a folder of data sets. OUTPUT gets `labels.jsonl` (a line per case and label) and `pictures/SET.png`: query,
truth and prediction of the slice with the most wrong pixels. Eight prompt volumes of training patients, as the
benchmark draws them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr

import mvg
from mvg.benchmark.protocol.cases import EvalCase, EvalSize
from mvg.benchmark.provenance import provenance
from mvg.benchmark.statistics import Group, interval
from mvg.data import DataSet
from mvg.errors import MvgError
from mvg.imaging.overlay import fill, plain
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task
from profiling.validation_cases import prompted_cases, segmentations

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "weaknesses"
_SIDE = 128  # pixels of a slice as the network sees it
_RING = 3  # pixels around a label that it is compared with
_MIN_LABELS = 4  # of a group in the table


@dataclass(frozen=True)
class Row:
    """One label of one case: its quality, and what the truth looks like, in pixels of a slice of 128 x 128.

    share: of a slice's pixels, in the slices that show it; width: twice the largest distance to its outline, mean over
    these slices; contrast: distance of its mean intensity from that of a ring around it, over the spread of the slice.
    Shares of all wrong voxels: ends, in slices where truth or prediction lacks the label; rim, within one voxel of the
    outline of the truth.
    """

    set: str
    label: str
    patient: str
    case: str
    iou: float
    share: float
    width: float
    contrast: float
    ends: float
    rim: float


def rows_of(case: EvalCase, predicted: LabelMap) -> Iterator[Row]:
    """A row for each label that the truth shows."""
    assert isinstance(case.truth, LabelMap)
    plane = case.query.plane
    images = np.asarray(case.query.pictures(plane), np.float32)
    images = images if images.ndim == 3 else images.mean(1)
    truth, prediction = case.truth.pictures(plane), predicted.pictures(plane)
    for value, name in case.card.labels.items():
        if (truth == value).any():
            measured = measure(images, truth == value, prediction == value)
            yield Row(case.card.name, name, case.case.patient, case.case.name, **measured)


def measure(images: NDArray[np.float32], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> dict[str, float]:
    """The figures of a `Row` of one label; all arrays are (n, rows, cols)."""
    visible = np.flatnonzero(truth.any(axis=(1, 2)))
    scale = _SIDE / max(truth.shape[1:])
    shapes = [_shape(images[at], truth[at], scale) for at in visible]
    wrong, union = truth ^ predicted, truth | predicted
    one_sided = truth.any(axis=(1, 2)) != predicted.any(axis=(1, 2))
    both = wrong[~one_sided] & _rims(truth[~one_sided])
    count = max(1, int(wrong.sum()))
    return {
        "iou": float((truth & predicted).sum() / union.sum()),
        **{name: float(np.mean([shape[name] for shape in shapes])) for name in ("share", "width", "contrast")},
        "ends": float(wrong[one_sided].sum() / count),
        "rim": float(both.sum() / count),
    }


def _shape(image: NDArray[np.float32], mask: NDArray[np.bool_], scale: float) -> dict[str, float]:
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    ring = ndimage.binary_dilation(mask, iterations=max(1, round(_RING / scale))) & ~mask
    inside, around = image[mask].mean(), image[ring].mean() if ring.any() else image.mean()
    return {
        "share": float(mask.mean()),
        "width": float(2 * distance.max() * scale),
        "contrast": float(abs(inside - around) / (image.std() + 1e-6)),
    }


def _rims(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels on both sides of the outlines of each slice."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    return np.asarray(ndimage.binary_dilation(masks, cross) & ~ndimage.binary_erosion(masks, cross, border_value=1))


def main(arguments: Sequence[str]) -> None:
    """Run it as the module's first lines say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--output", type=Path, default=Path("runs/weaknesses"))
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args(arguments)
    if options.page:
        (RESULTS / "README.md").write_text(page(RESULTS / "labels.jsonl"), encoding="utf-8")
        return
    if options.data is None:
        parser.error("DATA is missing")
    options.output.mkdir(parents=True, exist_ok=True)
    size = EvalSize(options.cases, options.slices)
    command = f"python -m profiling.weaknesses DATA --cases {size.cases} --slices {size.slices}"
    predictor = mvg.load(options.weights)
    with (options.output / "labels.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"header": provenance(command, 0)}) + "\n")
        for data_set, task in segmentations(options.data):
            for row in _measured(predictor, data_set, task, size, options.output / "pictures"):
                file.write(json.dumps({name: _short(value) for name, value in asdict(row).items()}) + "\n")
                file.flush()


def _short(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


def _measured(predictor: mvg.Predictor, data_set: DataSet, task: Task, size: EvalSize, pictures: Path) -> Iterator[Row]:
    worst = None
    for case, prompted in prompted_cases(predictor, data_set, task, size):
        try:
            predicted = prompted(case.query).volume
        except MvgError as error:
            print(f"{task.card.name} {case.case.name}: {error}", file=sys.stderr)
            continue
        assert isinstance(predicted, LabelMap)
        assert isinstance(case.truth, LabelMap)
        yield from rows_of(case, predicted)
        errors = int((predicted.voxels != case.truth.voxels).sum())
        if worst is None or errors > worst[0]:
            worst = errors, case.query, case.truth, predicted
    if worst is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(*worst[1:])).save(pictures / f"{task.card.name}.png")


def _picture(query: Volume, truth: LabelMap, predicted: LabelMap) -> NDArray[np.uint8]:
    """Query, truth and prediction of the slice with the most wrong pixels, side by side."""
    plane = query.plane
    labels = [volume.pictures(plane) for volume in (truth, predicted)]
    at = int((labels[0] != labels[1]).sum(axis=(1, 2)).argmax())
    image = np.asarray(query.pictures(plane)[at], np.float32)
    image = image if image.ndim == 2 else image.mean(0)
    low, high = np.percentile(image, (1, 99))
    image = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    numbers = [np.searchsorted(np.unique(labels[0]), part[at]).astype(np.int64) for part in labels]
    return np.concatenate([plain(image), *(fill(image, part) for part in numbers)], axis=1)


def page(results: Path) -> str:
    """The page in Markdown: groups of labels, the worst labels, and what goes with quality."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    header, rows = lines[0]["header"], [Row(**line) for line in lines[1:]]
    about = f"`{header['command']}`, commit {header['commit'][:12]}, seed {header['seed']}, {header['date'][:10]}"
    return _PAGE.format(
        about=about, cases=len({(row.set, row.case) for row in rows}), sets=len({row.set for row in rows}),
        correlations="\n".join(_correlations(rows)), groups="\n".join(_groups(rows)), worst="\n".join(_worst(rows)),
    )  # fmt: skip


_PAGE = """# What the weights know, and what they do not

Segmentation by `tiny` with eight prompt volumes, {cases} validation patients' cases of {sets} sets, per label. {about}
(`labels.jsonl`). Pictures of the worst slices show patients, so they are not part of this repository: the command
writes them.

## What goes with quality

Spearman's rank correlation of a label's mean IoU with what the truth looks like, over labels:

{correlations}

## Groups of labels

Mean IoU with 95 % intervals by patient. A label counts in the quarter of all labels that its mean falls in. "ends":
share of wrong voxels in slices where only truth or only prediction shows the label; "rim": within one voxel of the
truth's outline; the rest lies elsewhere in slices that both show.

{groups}

## The labels that fail most

{worst}
"""


def _by_label(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    result: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        result.setdefault((row.set, row.label), []).append(row)
    return result


def _mean(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([getattr(row, name) for row in rows]))


_LOOKS = {"share": "share of the slice", "width": "width in pixels of 128", "contrast": "contrast to its surroundings"}


def _correlations(rows: Sequence[Row]) -> Iterator[str]:
    labels = list(_by_label(rows).values())
    yield "| what | correlation | p |\n|---|---|---|"
    for name, text in _LOOKS.items():
        result = spearmanr([_mean(part, name) for part in labels], [_mean(part, "iou") for part in labels])
        yield f"| {text} | {result.statistic:.2f} | {result.pvalue:.2g} |"


def _groups(rows: Sequence[Row]) -> Iterator[str]:
    labels = list(_by_label(rows).values())
    yield "| group | labels | mean IoU | ends | rim |\n|---|---|---|---|---|"
    for name, text in _LOOKS.items():
        edges = np.quantile([_mean(part, name) for part in labels], (0.25, 0.5, 0.75))
        quarter = [int(np.searchsorted(edges, _mean(part, name))) for part in labels]
        for number, title in enumerate(("lowest", "second", "third", "highest")):
            members = [part for part, at in zip(labels, quarter, strict=True) if at == number]
            if len(members) >= _MIN_LABELS:
                yield _group(f"{text}, {title} quarter", members)


def _group(title: str, labels: Sequence[Sequence[Row]]) -> str:
    groups = [Group(part[0].set, {(row.patient, row.case): row.iou for row in part}) for part in labels]
    result = interval(groups)
    rows = [row for part in labels for row in part]
    quality = f"{result.mean:.3f} ({result.low:.3f} to {result.high:.3f})"
    return f"| {title} | {len(labels)} | {quality} | {_mean(rows, 'ends'):.2f} | {_mean(rows, 'rim'):.2f} |"


def _worst(rows: Sequence[Row]) -> Iterator[str]:
    labels = sorted(_by_label(rows).items(), key=lambda item: _mean(item[1], "iou"))[:20]
    yield "| set | label | mean IoU | share | width | contrast | ends | rim |\n|---|---|---|---|---|---|---|---|"
    for (name, label), part in labels:
        looks = f"{_mean(part, 'share'):.3f} | {_mean(part, 'width'):.1f} | {_mean(part, 'contrast'):.2f}"
        errors = f"{_mean(part, 'ends'):.2f} | {_mean(part, 'rim'):.2f}"
        yield f"| {name} | {label} | {_mean(part, 'iou'):.3f} | {looks} | {errors} |"


if __name__ == "__main__":
    main(sys.argv[1:])
