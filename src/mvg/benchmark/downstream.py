"""The segmentation of real images that shows what synthetic images are good for (the metric `downstream_dice`)."""

from mvg.benchmark.execution import Execution, Job, Segment, fit
from mvg.benchmark.protocol.method import Request
from mvg.benchmark.rivals import unet
from mvg.benchmark.suite import Entry
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import Task, tasks_for

ENTRY = Entry("unet", "downstream", unet.Options())


def downstream_task(execution: Execution, task: Task) -> Task | None:
    """The segmentation of the contrast that a task predicts; None without one, without labels or without a budget."""
    suite = execution.suite
    if task.target_channel is None or "downstream_dice" not in suite.used_metrics:
        return None
    val_cases = dict(execution.sets)[task.card.name].of_split("val").cases
    if not any(case.labels is not None for case in val_cases) or not (suite.minutes or suite.samples):
        return None
    segmentations = (known for known in tasks_for(task.card) if known.spec.target_type == "labels")
    return next((known for known in segmentations if known.channel == task.target_channel), None)


def downstream_segmentation(execution: Execution, job: Job, worker: int) -> Segment | None:
    """The trained segmentation for the job's task, None where there is none."""
    task = None if job.task is None else downstream_task(execution, job.task)
    if task is None:
        return None
    method = fit(execution, ENTRY, job.seed, task, worker)

    def segment(image: Volume) -> LabelMap:
        labels = method(Request(task, image, ()))
        assert isinstance(labels, LabelMap)
        return labels

    return segment
