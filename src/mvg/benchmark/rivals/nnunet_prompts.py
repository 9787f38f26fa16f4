"""nnU-Net that learns from the prompts of a request alone, for some time: what its user has from as many volumes.

The real program plans, preprocesses, trains and predicts in its 2D configuration, in one thread. Only training counts
as its time. Its folders are FOLDER/PROMPTS/, as in `nnunet`; FOLDER/PROMPTS/trained.json is written when training is
over.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvg.benchmark.protocol.method import Prompt, Request, Scope, TrainingData
from mvg.benchmark.rivals._nnunet_program import (
    DATASET,
    NnUNetProgram,
    classes_of,
    label_numbers,
    write_description,
    write_volume,
)
from mvg.benchmark.rivals._supervised import output_labels
from mvg.benchmark.rivals._training import TrainingClock
from mvg.imaging.volume import IGNORED, LabelMap, Plane, Volume
from mvg.prediction.inference.query_volume import smallest_integers
from mvg.tasks import Task

SCOPE: Scope = "untrained"
"""Nothing is learned before the request."""
USES_PROMPTS = True


@dataclass(frozen=True)
class Options:
    """python: the interpreter of the environment with nnunetv2 ("": the one that runs mvg).

    seconds: of training on each set of prompts; clock: what counts them.
    """

    python: str = ""
    seconds: float = 120.0
    clock: TrainingClock = "wall"


def serves(task: Task) -> bool:
    """Segmentation of whole slices."""
    return task.spec.target_type == "labels" and task.spec.sampling == "whole"


def check(options: Options) -> None:
    """BenchmarkError if nnU-Net's commands are missing."""
    NnUNetProgram(options.python, Path(), "cpu").check()


def fit(options: Options, data: TrainingData) -> "PromptTrainedNnUNet":
    """Nothing yet: each request brings what is learned from. Raises BenchmarkError without nnU-Net."""
    check(options)
    return PromptTrainedNnUNet(options, data)


class PromptTrainedNnUNet:
    """Trains for the first request of each set of prompts; finished training is only loaded.

    steps: of the training for the last prompts.
    """

    def __init__(self, options: Options, data: TrainingData) -> None:
        self.options, self.data, self.steps = options, data, 0

    def __call__(self, request: Request) -> Volume | LabelMap:
        """Labels on the query's own grid, from a network that learned from the request's prompts."""
        program, plane = self._trained(request)
        query = request.query
        cut = query.cut_along(plane)
        pictures = query.pictures(cut).astype(np.float32)

        def predict(inputs: Path, outputs: Path) -> None:
            program.run_by_clock("predict", str(inputs), str(outputs))

        classes = classes_of(predict, pictures, query.pixel_spacing(cut))
        return query.from_pictures(smallest_integers(output_labels(request.task)[1:])[classes], cut)

    def _trained(self, request: Request) -> tuple[NnUNetProgram, Plane]:
        """The program in the folder of its training, and the plane that it cuts volumes along."""
        prompts, options = sorted(request.prompts, key=lambda prompt: prompt.case), self.options
        name = "/".join((request.task.card.name, request.task.name, *(prompt.case for prompt in prompts)))
        folder = self.data.folder / f"{len(prompts)}-{hashlib.md5(name.encode()).hexdigest()[:12]}"
        program = NnUNetProgram(options.python, folder, self.data.device)
        plane = Counter(prompt.image.plane for prompt in prompts).most_common(1)[0][0]
        finished = folder / "trained.json"
        if not finished.exists():
            _write_prompts(program.raw, prompts, request.task, plane)
            program.preprocess()
            program.run_by_clock("train", str(options.seconds), options.clock, str(self.data.seed))
            steps = json.loads((folder / "results" / DATASET / "steps.json").read_text())
            finished.write_text(json.dumps({"steps": steps}))
        self.steps = int(json.loads(finished.read_text())["steps"])
        return program, plane


def _write_prompts(folder: Path, prompts: Sequence[Prompt], task: Task, plane: Plane) -> None:
    """The prompts in nnU-Net's raw format: raw intensities, 1..K labels, and its "ignore" for unknown voxels."""
    values = output_labels(task)
    labels = label_numbers(values)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, prompt in enumerate(prompts):
        cut = prompt.image.cut_along(plane)
        spacing, target = prompt.image.pixel_spacing(cut), prompt.target.pictures(cut)
        write_volume(
            folder / f"imagesTr/case{number:04d}_0000.nii.gz", prompt.image.pictures(cut).astype(np.float32), spacing
        )
        numbers = np.searchsorted(values, target.clip(0, None))
        if (target == IGNORED).any():
            labels["ignore"] = len(values)
            numbers[target == IGNORED] = len(values)
        write_volume(folder / f"labelsTr/case{number:04d}.nii.gz", numbers.astype(np.uint8), spacing)
    write_description(folder, task, labels, len(prompts))
