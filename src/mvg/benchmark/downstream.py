"""The segmentation of real images that shows what synthetic images are good for (the metric `downstream_dice`)."""

from mvg.benchmark.execution import Execution, Job, Segment, fit
from mvg.benchmark.protocol.method import Prompt, Request
from mvg.benchmark.protocol.pairs import case_pair
from mvg.benchmark.rivals import mvg, unet
from mvg.benchmark.suite import Entry
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.predictor import load
from mvg.tasks import Task, tasks_for

ENTRY = Entry("unet", "downstream", unet.Options())
_WEIGHTS = "tiny"  # that segment where nothing is trained
_PROMPTS = 4  # cases


def downstream_task(execution: Execution, task: Task) -> Task | None:
    """The segmentation that is trained for the contrast that a task predicts; None where none is."""
    suite = execution.suite
    return _segmentation(execution, task) if suite.minutes or suite.samples else None


def _segmentation(execution: Execution, task: Task) -> Task | None:
    """The segmentation of the contrast that a task predicts; None without one or without labels."""
    if task.target_channel is None or "downstream_dice" not in execution.suite.used_metrics:
        return None
    val_cases = dict(execution.sets)[task.card.name].of_split("val").cases
    if not any(case.labels is not None for case in val_cases):
        return None
    segmentations = (known for known in tasks_for(task.card) if known.spec.target_type == "labels")
    return next((known for known in segmentations if known.channel == task.target_channel), None)


def downstream_segmentation(execution: Execution, job: Job, worker: int) -> Segment | None:
    """A segmentation that learned from real images for the job's task, None where there is none.

    It is trained where the suite has a budget; without, it is that of the weights that ship, prompted by real images.
    """
    task = None if job.task is None else _segmentation(execution, job.task)
    if job.task is None or task is None:
        return None
    prompts: tuple[Prompt, ...] = ()
    if downstream_task(execution, job.task) is not None:
        method = fit(execution, ENTRY, job.seed, task, worker)
    else:
        method = mvg.PromptedMethod(load(_WEIGHTS, execution.device_of(worker)), mvg.Options(weights=_WEIGHTS))
        prompts = _prompts(execution, task)

    def segment(image: Volume) -> LabelMap:
        labels = method(Request(task, image, prompts))
        assert isinstance(labels, LabelMap)
        return labels

    return segment


def _prompts(execution: Execution, task: Task) -> tuple[Prompt, ...]:
    """Real images of training patients and their labels, one case of each patient."""
    cases = {case.patient: case for case in dict(execution.sets)[task.card.name].of_split("train").cases}
    labeled = [case for case in cases.values() if task.serves(case)][:_PROMPTS]
    pairs = [(case, case_pair(task, case, 0)) for case in labeled]
    return tuple(Prompt(case.name, case.patient, pair.image, pair.target) for case, pair in pairs)
