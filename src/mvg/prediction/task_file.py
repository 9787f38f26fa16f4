"""Task files (`.mvgtask`): prompts, ready and encoded, in one file that can be shared; safetensors with JSON inside,
no pickle.

    images, targets, volume, index, count        the prompt slices, see `PromptSet`
    zoom.I.images, ...                           the same, magnified, in one or several regions, where the task has them
    adapter.NAME                                 the weights of the adapter, where the task was tuned
    states.I.keys.J, ....values.J, ....sums.J    the encoded prompts, see `PromptState`; up to 256 MB

The JSON names the weights, the fingerprint of the model and what was determined with it: a model with another
fingerprint encodes the prompts again. Its checksum is that of all else in the file; older files have none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mvg._atomic import atomic_file, unwritable
from mvg.errors import FileError, WeightsError
from mvg.imaging.pose import Pose
from mvg.imaging.window import CT_WINDOW, Window
from mvg.model.outputs import PromptState
from mvg.prediction.inference.adaptation import NETWORK, TaskAdapter
from mvg.prediction.inference.prompt_cache import PromptCache, PromptView
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.prompts.scan_facts import ScanFacts
from mvg.prediction.prompts.zoom_plan import ZoomPlan
from mvg.prediction.task_arrays import check_arrays, described_regions, prompt_arrays, prompt_tensors, restored_plan
from mvg.prediction.task_checksum import checksum
from mvg.tasks import TaskSpec, spec_of

SUFFIX = ".mvgtask"
_FORMAT = 4
_FORMER_FORMATS = (2, 3)
_BUDGET = 256 * 2**20  # bytes of encoded prompts in a file
# Format 2 had other names and prompt images (m, s, s).
_FORMER_NAMES = {
    "settings": "options",
    "close": "zoom",
    "encoded": "states",
    "closer": "magnification",
    "at": "positions",
}

Determined = dict[object, NDArray[np.float32]]
"""Thresholds or gains, by the options that they were determined with."""


@dataclass(frozen=True, eq=False)
class TaskContents:
    """What a task file holds.

    weights: id or path; fingerprint: of the model; states: encoded prompts; thresholds: of the prompts and of each zoom
    region; gains: of the regions, see `PromptCache`. adapter: of a task that was tuned.
    """

    weights: str
    fingerprint: str
    spec: TaskSpec
    options: PredictionOptions
    prompts: PromptSet
    zoom: ZoomPlan | None
    states: tuple[tuple[PromptView, PromptState], ...] = ()
    thresholds: tuple[Determined, ...] = ()
    gains: Determined = field(default_factory=dict)
    adapter: TaskAdapter | None = None


def save(contents: TaskContents, cache: PromptCache, path: Path) -> None:
    """Write a task whole or not at all, with as many states of `cache` as fit.

    Raises FileError for a wrong suffix or where it cannot be written.
    """
    if path.suffix != SUFFIX:
        raise FileError(f"a task to be saved as '{path.name}'", f"a name that ends in {SUFFIX}", "rename it")
    tensors, views = prompt_tensors(contents.prompts, ""), []
    for number, region in enumerate(contents.zoom.regions if contents.zoom else ()):
        tensors |= prompt_tensors(region.prompts, f"zoom.{number}.")
    for number, (view, state) in enumerate(cache.saved_states(_BUDGET)):
        views.append(asdict(view))
        tensors |= {f"states.{number}.{name}": tensor.cpu() for name, tensor in state.tensors().items()}
    if contents.adapter is not None:
        weights = contents.adapter.network.state_dict()
        tensors |= {f"adapter.{name}": tensor.cpu().contiguous() for name, tensor in weights.items()}
    description = _described(contents) | {"states": views}
    description["checksum"] = checksum(description, tensors)
    with atomic_file(path, partial(unwritable, path), (OSError, SafetensorError)) as temporary:
        save_file(tensors, temporary, metadata={"mvg": json.dumps(description)})


def load(path: Path) -> TaskContents:
    """The contents of a task file. Raises FileError for what is not a whole task file."""
    description, tensors = _description(path), _tensors(path)
    if "checksum" in description and description["checksum"] != checksum(description, tensors):
        raise _not_a_task(path, "its contents do not have its checksum")
    if isinstance(adapter := description.get("adapter"), Mapping) and adapter.get("network") != NETWORK:
        problem = f"'{path}' was tuned by another version of mvg"
        raise FileError(problem, "a task that this version tuned", "make and tune it again from its examples")
    try:
        contents = _contents(description, tensors)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _not_a_task(path, f"{type(error).__name__}: {error}") from error
    if contents.spec.erases and not contents.prompts.has_labels:
        problem = f"'{path}' holds pictures for a task of labels"
        raise FileError(problem, f"labels, for {contents.spec.kind}", "make the task again from its prompts")
    return contents


def check_size(contents: TaskContents, size: int, path: Path) -> None:
    """Raises WeightsError where the model takes pictures of another size than the prompts."""
    side = contents.prompts.images.shape[-1]
    if side != size:
        raise WeightsError(
            f"'{path}' holds pictures of {side} pixels and the model takes {size}",
            f"the weights it was made with ('{contents.weights}')",
            "choose these weights or make the task again from its prompts",
        )


def weights_of(path: Path) -> str:
    """The id or path of the weights that a task file was made with. Raises FileError, WeightsError."""
    description = _description(path)
    if not description.get("weights"):
        raise WeightsError(f"'{path}' names no weights", "the weights it was made with", "name them")
    return str(description["weights"])


def _described(contents: TaskContents) -> dict[str, Any]:
    prompts, zoom = contents.prompts, contents.zoom
    return {
        "format": _FORMAT,
        "weights": contents.weights,
        "model": contents.fingerprint,
        "kind": contents.spec.kind,
        "options": asdict(contents.options),
        "values": prompts.values,
        "plane": prompts.plane,
        "modality": prompts.modality,
        "target_window": asdict(prompts.target_window),
        "ct_window": asdict(prompts.ct_window),
        "pose": prompts.pose and asdict(prompts.pose),
        "scans": [asdict(replace(scan, patient="")) for scan in prompts.scans],
        "zoom": zoom and described_regions(zoom),
        "adapter": contents.adapter and contents.adapter.description,
        "thresholds": [_rows(thresholds) for thresholds in contents.thresholds],
        "gains": _rows(contents.gains),
    }


def _contents(description: Mapping[str, Any], tensors: dict[str, Tensor]) -> TaskContents:
    ct_window = description.get("ct_window")  # older files have none: theirs is the window that is named now
    prompts = PromptSet(
        **prompt_arrays(tensors, ""),
        values=tuple(description["values"]),
        plane=description["plane"],
        modality=description["modality"],
        target_window=Window(**description["target_window"]),
        ct_window=CT_WINDOW if ct_window is None else Window(**ct_window),
        pose=_pose(pose) if (pose := description.get("pose")) else None,
        scans=tuple(_scan(facts) for facts in description.get("scans", ())),
    )
    check_arrays(prompts)
    zoom = description["zoom"]
    return TaskContents(
        str(description.get("weights", "")),
        str(description.get("model", "")),
        spec_of(description["kind"]),
        PredictionOptions.from_saved(description["options"]),
        prompts,
        None if zoom is None else restored_plan(zoom, tensors, prompts),
        tuple(_states(description["states"], tensors)),
        tuple(_determined(rows) for rows in description.get("thresholds", ())),
        _determined(description.get("gains", ())),
        TaskAdapter.restored(description["adapter"], _under("adapter.", tensors))
        if description.get("adapter")
        else None,
    )


def _pose(pose: Mapping[str, Any]) -> Pose:
    directions, stack = tuple(float(part) for part in pose["directions"]), pose["stack"]
    if len(directions) != 9 or stack not in (None, 0, 1, 2):
        raise ValueError("a pose that is none")
    return Pose(directions, stack)


def _scan(facts: Mapping[str, Any]) -> ScanFacts:
    values: dict[str, Any] = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    return ScanFacts(**{"placed": None} | values)  # which older files do not say


def _states(views: list[dict[str, Any]], tensors: dict[str, Tensor]) -> Iterator[tuple[PromptView, PromptState]]:
    for number, view in enumerate(views):
        prefix = f"states.{number}."
        parts = _under(prefix, tensors)
        colors = None if view["colors"] is None else tuple(view["colors"])
        indices = tuple(view["indices"] if "indices" in view else view["chosen"])
        yield PromptView(indices, view["mirrored"], colors), PromptState.from_tensors(parts)


def _rows(determined: Determined) -> list[Any]:
    return [[key, values.tolist()] for key, values in determined.items()]


def _determined(rows: Sequence[Any]) -> Determined:
    """JSON turns the key, a tuple, into a list."""
    return {
        (strategy, count, seed, tuple(colors)): np.array(values, np.float32)
        for (strategy, count, seed, colors), values in rows
    }


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileError(f"no file '{path}'", f"a task file ({SUFFIX})", "check the path")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise _not_a_task(path, str(error)) from error


def _description(path: Path) -> dict[str, Any]:
    """The JSON of a file, in the names of the present format; nothing large is read."""
    with _opened(path) as file:
        description = json.loads((file.metadata() or {}).get("mvg", "null"))
    if not isinstance(description, dict) or description.get("format") not in (*_FORMER_FORMATS, _FORMAT):
        raise _not_a_task(path, "no description of a task of this version")
    if description["format"] != 2:
        return description
    description = _renamed(description)
    if isinstance(description.get("zoom"), dict):
        description["zoom"] = _renamed(description["zoom"])
    if isinstance(description.get("asked"), dict):
        description["kind"] = description["asked"].get("kind")
    return description


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}


def _tensors(path: Path) -> dict[str, Tensor]:
    """All tensors, under the names of the present format."""
    with _opened(path) as file:
        names = file.keys()
        return {_present_name(name): file.get_tensor(name) for name in names}


def _present_name(name: str) -> str:
    first, dot, rest = name.partition(".")
    return _FORMER_NAMES.get(first, first) + dot + rest


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _not_a_task(path: Path, reason: str) -> FileError:
    return FileError(
        f"'{path}' is not a whole task file ({reason})", f"a {SUFFIX} file of this version", "make or copy it again"
    )
