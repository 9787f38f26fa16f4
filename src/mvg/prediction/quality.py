"""How good an answer probably is, without its truth: whether the prompts' own targets come back from it.

The query and its answer become the prompts, the prompts' slices the queries (reverse classification accuracy, after
Valindria et al. 2017): an answer that is right teaches what the prompts teach.
"""

from dataclasses import replace

import numpy as np
import torch

from mvg.errors import PromptError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.inference.ensemble import answer, views
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.predictor import PromptedTask
from mvg.prediction.prompts.prompt_set import prepare
from mvg.prediction.selection.retrieval import spaced

_PROMPTS = 4  # slices of the query that a prompt slice is answered from
_VOLUMES = 8  # prompt volumes that are asked about, one slice of each


def quality(task: PromptedTask, query: Volume, labels: LabelMap) -> float:
    """An estimate in [0, 1] of the answer's mean Dice over classes; 0 where it holds none of the asked labels.

    labels: what the task answered to `query`. Raises PromptError for tasks that answer with pictures.
    """
    if task.asked.target_type != "labels":
        raise PromptError("an answer that is a picture", "labels", "ask for the quality of segmentations alone")
    examples, model = task.examples, task.predictor.model
    modality = None if examples.modality == "other" else examples.modality
    plane = query.cut_along(examples.plane)  # as it was answered
    every = prepare([query], [labels], task.asked, model.config.size, modality, (), None, examples.values, plane)
    telling = np.flatnonzero(every.present.any(axis=1))
    if not len(telling):
        return 0.0
    own = every.some(telling)
    cache, painted = PromptCache(model, own), model.config.paints
    settings = replace(task.settings, strategy="nearest_slice", num_prompts=_PROMPTS, members=1)
    scores = []
    for at in _asked(task):
        shown = views(examples.shelf.as_query(at), own, own.shelf, settings, painted)
        square = torch.from_numpy(examples.image([at]))[:, None]
        found = answer(model, cache, own, square, shown).mean[0].argmax(0).numpy()
        truth = examples.targets[at]
        for number in np.unique(truth[truth > 0]):
            right = float(((found == number) & (truth == number)).sum())
            scores.append(2 * right / float((found == number).sum() + (truth == number).sum()))
    return float(np.mean(scores)) if scores else 0.0


def _asked(task: PromptedTask) -> list[int]:
    """Of some prompt volumes the slice that shows most."""
    examples = task.examples
    shown = (examples.targets > 0).sum(axis=(1, 2))
    volumes = np.unique(examples.volume[shown > 0])
    return [int(np.argmax(np.where(examples.volume == volume, shown, -1))) for volume in spaced(volumes, _VOLUMES)]
