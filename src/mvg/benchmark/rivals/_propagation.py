"""Labels of prompts, warped onto the query by a registration: what an atlas gives."""

from collections.abc import Callable

import numpy as np

from mvg.benchmark.protocol.method import Method, Request
from mvg.errors import PromptError
from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.tasks import Task

Align = Callable[[Volume, Volume], DisplacementField]
"""(moving, fixed) -> the field on the grid of the fixed image."""


def serves(task: Task) -> bool:
    """Label maps, whose values can be warped."""
    return task.spec.target_type == "labels"


def propagation(align: Align) -> Method:
    """Each prompt is registered to the query; each voxel takes the value that most warped label maps have there.

    Of values that are as frequent, the lowest. Raises PromptError without prompts.
    """

    def predict(request: Request) -> Volume | LabelMap:
        if not request.prompts:
            raise PromptError("no prompts to warp", "at least one", "give a prompt")
        fixed, warped = luminance(request.query), []
        for prompt in request.prompts:
            assert isinstance(prompt.target, LabelMap), "only tasks that are served"
            warped.append(align(luminance(prompt.image), fixed).warp_labels(prompt.target))
        if len(warped) == 1:
            return warped[0]
        values = np.unique([value for labels in warped for value in labels.counts])
        votes = np.stack([np.sum([labels.voxels == value for labels in warped], axis=0) for value in values])
        return LabelMap(values[votes.argmax(axis=0)], request.query.affine, request.query.header)

    return predict
