"""The fixed requests that both versions answer: prompts and queries of other patients, written as files."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Option = str | int | float


@dataclass(frozen=True)
class RequestPlan:
    """What is asked of a data set.

    dataset: a folder in the nnU-Net raw layout. task: the kind. channel, target: the image's channel; "labels", "full
    dose" (the folder targetsTr), "before voids" or the number of the channel that is the target. step: every so many
    slices are kept. through: "api", "command line" or "task file" (written by the old version, opened by both).
    """

    dataset: str
    task: str = "segmentation"
    target: str | int = "labels"
    channel: int = 0
    prompts: int = 8
    queries: int = 2
    step: int = 1
    options: Mapping[str, Option] = field(default_factory=dict)
    through: str = "api"

    @property
    def name(self) -> str:
        """Unique among the plans; also a folder."""
        words = [self.task, self.dataset, f"{self.prompts} prompts", *(f"{k} {v}" for k, v in self.options.items())]
        if self.through != "api":
            words.append(self.through)
        return ", ".join(words)


@dataclass(frozen=True)
class Query:
    """Files: the image, the truth, and for inpainting the voids (else None: all voxels count)."""

    image: Path
    truth: Path
    region: Path | None = None


@dataclass(frozen=True)
class Request:
    """A plan with its files."""

    plan: RequestPlan
    prompts: tuple[tuple[Path, Path], ...]
    queries: tuple[Query, ...]


_SEGMENTATION = (
    RequestPlan("hippocampus"),
    RequestPlan("acdc"),
    RequestPlan("prostate_mr", step=2),
    RequestPlan("btcv", step=3),
    RequestPlan("oasis", step=4),
    RequestPlan("busi"),
)
_PICTURES = (
    RequestPlan("lgg", "synthesis", target=1),
    RequestPlan("brain_contrasts", "synthesis", target=2, step=4),
    RequestPlan("oasis", "inpainting", "before voids", step=4),
    RequestPlan("ldct", "denoising", "full dose"),
)
STRATEGIES = ("most_similar", "nearest_slice", "own_features", "paper_rule")
_OPTIONS = (
    *(RequestPlan("acdc", prompts=4, queries=1, options={"strategy": name, "num_prompts": 3}) for name in STRATEGIES),
    RequestPlan("prostate_mr", prompts=3, queries=1, step=4, options={"members": 3}),
    RequestPlan("lgg", "synthesis", target=1, prompts=3, queries=1, options={"members": 3}),
    RequestPlan("acdc", prompts=3, queries=1, options={"propagate": 0.8}),
    RequestPlan("btcv", prompts=3, queries=1, step=5, options={"reject": 0.75}),
    RequestPlan("hippocampus", prompts=3, queries=1, step=2, options={"zoom": "off"}),
    RequestPlan("oasis", prompts=1, queries=1, step=8, options={"seed": 3}),
    RequestPlan("hippocampus", prompts=3, queries=1, step=2, through="task file"),
    RequestPlan("acdc", prompts=3, queries=1, options={"zoom": "off"}, through="task file"),
    RequestPlan("lgg", "synthesis", target=1, prompts=3, queries=1, through="task file"),
    RequestPlan("ldct", "denoising", "full dose", prompts=3, queries=1, through="task file"),
)
_COMMANDS = (
    RequestPlan("hippocampus", queries=1, through="command line"),
    RequestPlan("acdc", queries=1, through="command line"),
)
FULL = (*_SEGMENTATION, *_PICTURES, *_OPTIONS, *_COMMANDS)
QUICK = (
    RequestPlan("hippocampus", prompts=3, queries=1, step=3),
    RequestPlan("acdc", prompts=2, queries=1, step=2),
    RequestPlan("busi", prompts=3, queries=1),
    RequestPlan("lgg", "synthesis", target=1, prompts=2, queries=1, step=2),
    RequestPlan("oasis", "inpainting", "before voids", prompts=2, queries=1, step=12),
    RequestPlan("ldct", "denoising", "full dose", prompts=2, queries=1),
    RequestPlan("prostate_mr", prompts=2, queries=1, step=8, options={"members": 2}),
    RequestPlan("acdc", prompts=2, queries=1, step=3, through="task file"),
)


def build(plan: RequestPlan, data: Sequence[Path], folder: Path, seed: int) -> Request | None:
    """Choose cases and write what is not a file of the set; None where the set is not below `data`.

    The queries are of the last patients, the prompts of the others; patients of `held_out.json` are not used.
    """
    dataset = next((root / plan.dataset for root in data if (root / plan.dataset / "dataset.json").exists()), None)
    if dataset is None:
        return None
    prompts, queries = _split(_cases(dataset), plan)
    folder.mkdir(parents=True, exist_ok=True)
    return Request(
        plan,
        tuple((query.image, query.truth) for query in (_files(dataset, case, plan, folder, seed) for case in prompts)),
        tuple(_files(dataset, case, plan, folder, seed) for case in queries),
    )


def read_array(path: Path) -> NDArray[Any]:
    """The voxels (X, Y, Z) in a NIfTI file, or the pixels (columns, rows, 1) of a picture, without mvg."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)).T[:, :, None]
    return np.asarray(nibabel.load(path).dataobj)


def _cases(dataset: Path) -> dict[str, list[str]]:
    """The cases of every patient that is not held out, without those whose labels are empty."""
    about = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    names = sorted(path.name.removesuffix(f"_0000{about['file_ending']}") for path in dataset.glob("imagesTr/*_0000.*"))
    patients: dict[str, list[str]] = {}
    for name in names:
        labels = dataset / "labelsTr" / f"{name}{about['file_ending']}"
        if labels.exists() and not read_array(labels).any():
            continue
        match = re.match(about["patient"], name)
        patients.setdefault(match[0] if match else name, []).append(name)
    listed = _held_out(dataset)
    return {patient: cases for patient, cases in patients.items() if not _plain(patient) & listed}


def _held_out(dataset: Path) -> set[str]:
    file = dataset.parent / "held_out.json"
    lists = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    entries = [entry for name, ids in lists.items() if dataset.name in name.split(" and ")
               for entry in ([ids] if isinstance(ids, str) else ids)]  # fmt: skip
    return {word for entry in entries for word in _plain(entry)}


def _plain(entry: str) -> set[str]:
    """The entry without signs, and its number alone: "benign (10)" is "benign10" and "10"; a range is its numbers."""
    numbers = [int(digits) for digits in re.findall(r"\d+", entry)]
    if re.fullmatch(r"cases \d+ to \d+", entry):
        return {str(number) for number in range(numbers[0], numbers[1] + 1)}
    plain = re.sub(r"[^a-z0-9]", "", entry.lower())
    return {plain, str(numbers[-1])} if len(numbers) == 1 else {plain}


def _split(patients: dict[str, list[str]], plan: RequestPlan) -> tuple[list[str], list[str]]:
    """Cases of prompts and of queries; several cases of a patient only where patients do not suffice."""
    names = list(patients)
    last = names[-min(plan.queries, max(1, len(names) - 2)) :]
    prompts = _in_turn([patients[name] for name in names if name not in last])
    queries = _in_turn([patients[name] for name in last])
    return list(prompts)[: plan.prompts], list(queries)[: plan.queries]


def _in_turn(cases: list[list[str]]) -> Iterator[str]:
    for number in range(max(map(len, cases))):
        yield from (cases_of_set[number] for cases_of_set in cases if number < len(cases_of_set))


def _files(dataset: Path, case: str, plan: RequestPlan, folder: Path, seed: int) -> Query:
    """The files of a case; thinned and voided copies are written into the folder."""
    ending = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
    image = dataset / "imagesTr" / f"{case}_{plan.channel:04d}{ending}"
    if plan.target == "before voids":
        return _voided(image, plan.step, folder, zlib.crc32(case.encode()) + seed)
    if isinstance(plan.target, int):
        truth = dataset / "imagesTr" / f"{case}_{plan.target:04d}{ending}"
    else:
        truth = dataset / {"labels": "labelsTr", "full dose": "targetsTr"}[plan.target] / f"{case}{ending}"
    return Query(_thinned(image, plan.step, folder), _thinned(truth, plan.step, folder))


def _thinned(path: Path, step: int, folder: Path) -> Path:
    if step == 1:
        return path
    thin = folder / f"{path.parent.name}-{path.name.split('.')[0]}.nii"
    nibabel.save(nibabel.load(path).slicer[:, :, ::step], thin)
    return thin


def _voided(path: Path, step: int, folder: Path, seed: int) -> Query:
    """The image with an ellipse of the body set to 0 in each slice, the image itself, and the ellipses."""
    image = nibabel.load(path).slicer[:, :, ::step]
    voxels, rng = np.asarray(image.dataobj), np.random.default_rng(seed)
    voids = np.stack([_ellipse(voxels[:, :, at] > 0, rng) for at in range(voxels.shape[2])], axis=2)
    files = []
    for name, array in (("voided", np.where(voids, 0, voxels)), ("whole", voxels), ("voids", voids)):
        files.append(folder / f"{path.name.split('.')[0]}-{name}.nii")
        nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8), image.affine), files[-1])
    return Query(*files)


def _ellipse(body: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    if not body.any():
        return body
    inside = np.argwhere(ndimage.binary_fill_holes(body))
    center, radii = rng.choice(inside), rng.uniform(0.06, 0.16, 2) * np.sqrt(len(inside))
    rows, columns = np.ogrid[: body.shape[0], : body.shape[1]]
    return np.asarray(body & (np.hypot((rows - center[0]) / radii[0], (columns - center[1]) / radii[1]) <= 1))
