"""The demo's restorations: one exhibit for each kind that can degrade pictures, found by its file."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from mvg._plugins import contributions
from mvg.app.demo import specimens
from mvg.app.demo.cuts import coronal_slices
from mvg.app.demo.exhibit import Exhibit
from mvg.tasks import kinds
from mvg.tasks.restoration import Degradation

_CT_COPIES = 4  # of the one CT slice that is a prompt, each degraded anew


def restorations(seed: int) -> Iterator[Callable[[], Exhibit]]:
    """What makes them: kinds for CT alone on CT of two patients, all others on MR of the average brain and a person."""
    for name, module in contributions(kinds).items():
        if hasattr(module, "DEGRADATION"):
            summary = (module.__doc__ or "").split("\n\n")[0]
            yield partial(_restoration, name, " ".join(summary.split()), module.DEGRADATION, seed)


def _restoration(name: str, summary: str, degradation: Degradation, seed: int) -> Exhibit:
    if degradation.modalities == ("CT",):
        modality, truth, targets = "CT", specimens.ct_of_a_head(), (specimens.ct_of_a_back(),) * _CT_COPIES
        whose = "The prompts are a slice of one patient's back, the query is another patient's head."
        region = truth.voxels > -500
    else:
        modality, truth, targets = "MRI", specimens.person(), coronal_slices(specimens.average("t1"))[::2]
        whose = "Prompts are slices of the average brain (ICBM 152), the query is one person's brain."
        region = truth.voxels > 0
    rng = np.random.default_rng(seed)
    images = tuple(degradation.degraded(target, degradation.levels[0], rng, modality) for target in targets)
    return Exhibit(
        name=name,
        task=name,
        title=f"Restoration: {name.replace('_', ' ')}",
        description=f"{summary} {whose} All were degraded by the program.",
        images=images,
        targets=targets,
        query=degradation.degraded(truth, degradation.levels[0], rng, modality),
        truth=truth,
        truth_caption="truth: not degraded",
        region=region,
        in_overview=False,
    )
