"""Task files: encoded prompts are shared as a file, without pickle; damaged files are refused with one line."""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mvg.errors import FileError, WeightsError
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import CT_WINDOW, Window
from mvg.model.weights import fingerprint
from mvg.prediction.inference.prompt_cache import PromptCache
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.prompt_set import PromptSet
from mvg.prediction.refinement import rejection
from mvg.prediction.task_file import weights_of
from mvg.tasks import spec_of
from tests.prediction.learner import Learner, changed, prompted, random_model
from tests.prediction.scans import AFFINE, scan


def refuse_to_encode(*_: object) -> None:
    raise AssertionError("prompts were encoded again")


@pytest.mark.parametrize("form", ["matching", "painting", "merged"])
@pytest.mark.parametrize("zoom", ["auto", "off"])
def test_a_loaded_task_predicts_the_same_and_encodes_nothing(form: str, zoom: str, tmp_path: Path) -> None:
    query, _ = scan(seed=9)
    model = random_model(form)
    task = prompted(model, 1, num_prompts=3, strategy="most_similar", zoom=zoom)
    prediction = task(query).volume
    task.save(tmp_path / "boxes.mvgtask")
    model.encode = refuse_to_encode  # type: ignore[method-assign, assignment]
    loaded = Predictor(model).load_task(tmp_path / "boxes.mvgtask")
    assert loaded.options == task.options
    assert loaded.spec == task.spec
    assert np.array_equal(
        changed(loaded, zoom="off")(query).volume.voxels, changed(task, zoom="off")(query).volume.voxels
    )
    if task.zoom is None:
        assert np.array_equal(loaded(query).volume.voxels, prediction.voxels)
    assert weights_of(tmp_path / "boxes.mvgtask") == "made"


def test_pictures_of_a_task_that_labels_what_is_kept_are_refused(tmp_path: Path) -> None:
    (image, _), predictor = scan(seed=0), Predictor(random_model())
    task = predictor.prompt([image], [image], "denoising")
    task.spec = spec_of("skull_stripping")
    task.save(tmp_path / "old.mvgtask")
    with pytest.raises(FileError, match=r"holds pictures for a task of labels.*make the task again"):
        predictor.load_task(tmp_path / "old.mvgtask")


@pytest.mark.parametrize("kind", ["denoising", "synthesis", "inpainting"])
def test_a_loaded_task_of_pictures_predicts_the_same(kind: str, tmp_path: Path) -> None:
    (image, _), (query, _) = scan(seed=0), scan(seed=9)
    predictor = Predictor(random_model())
    task = predictor.prompt([image], [Volume(255 - image.voxels, image.affine)], kind)
    task.save(tmp_path / "a.mvgtask")
    loaded = predictor.load_task(tmp_path / "a.mvgtask")
    assert loaded.spec == task.spec
    assert np.array_equal(loaded(query).volume.voxels, task(query).volume.voxels)


def test_other_weights_encode_the_prompts_again(tmp_path: Path) -> None:
    query, truth = scan(seed=9)
    prompted(random_model(), 1).save(tmp_path / "boxes.mvgtask")
    learner = Learner()
    with torch.no_grad():
        next(learner.parameters()).add_(1)
    loaded = Predictor(learner).load_task(tmp_path / "boxes.mvgtask")
    assert np.array_equal(loaded(query).volume.voxels, truth.voxels)
    assert learner.encoded > 0


def small_labels(seed: int) -> tuple[Volume, LabelMap]:
    """A small block in a large slice, so that the task has magnified prompts."""
    labels = np.zeros((96, 96, 6), np.int32)
    labels[30 + seed : 42 + seed, 40:52] = 7
    voxels = np.where(labels > 0, 200.0, 20.0) + np.random.default_rng(seed).uniform(-20, 20, labels.shape)
    return Volume(voxels.astype(np.float32), AFFINE), LabelMap(labels, AFFINE)


def caches_of(task: PromptedTask) -> tuple[PromptCache, ...]:
    return (task.cache, *(task.zoom_pass.caches if task.zoom_pass else ()))


@pytest.mark.parametrize("magnified", [False, True])
def test_thresholds_of_rejection_are_kept(magnified: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [small_labels(seed) if magnified else scan(seed=seed) for seed in range(3)]
    predictor = Predictor(random_model())
    task = predictor.prompt(*zip(*cases, strict=True))
    assert (task.zoom is not None) == magnified
    task.save(tmp_path / "a.mvgtask")
    kept = [cache.thresholds for cache in caches_of(task)]
    assert all(kept)
    monkeypatch.setattr(rejection, "_determined", lambda *_: pytest.fail("thresholds were determined again"))
    loaded = predictor.load_task(tmp_path / "a.mvgtask")
    for cache, thresholds in zip(caches_of(loaded), kept, strict=True):
        assert cache.thresholds.keys() == thresholds.keys()
        for key in thresholds:
            assert np.array_equal(cache.thresholds[key], thresholds[key])
            assert cache.thresholds[key].dtype == np.float32
    query = scan(seed=9)[0]
    rejection.thresholds(loaded.cache, loaded.options)
    assert np.array_equal(loaded(query).volume.voxels, task(query).volume.voxels)


def test_thresholds_of_another_model_are_not_taken_over(tmp_path: Path) -> None:
    prompted(random_model(), 3).save(tmp_path / "a.mvgtask")
    loaded = Predictor(Learner()).load_task(tmp_path / "a.mvgtask")
    assert not loaded.cache.thresholds


def ct(seed: int) -> tuple[Volume, LabelMap]:
    """Air around a box of soft tissue, in HU."""
    image, labels = scan(seed=seed)
    return Volume(np.where(labels.voxels > 0, 100.0, image.voxels - 1000).astype(np.float32), AFFINE), labels


def with_ct_window(path: Path, window: dict[str, float] | None) -> Path:
    """The task file with another window in its description, or without one."""
    return rewritten(path, {"ct_window": window})


def rewritten(path: Path, changes: dict[str, Any]) -> Path:
    """The task file of an older version, with other entries in its description (None: without)."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["mvg"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    removed = ["checksum", *(name for name, value in changes.items() if value is None)]
    description = {name: value for name, value in (description | changes).items() if name not in removed}
    save_file(tensors, path.with_stem("rewritten"), metadata={"mvg": json.dumps(description)})
    return path.with_stem("rewritten")


def test_queries_are_scaled_through_the_window_of_the_prompts(tmp_path: Path) -> None:
    predictor, (query, _) = Predictor(random_model()), ct(9)
    task = predictor.prompt(*zip(ct(0), strict=True), options=PredictionOptions(zoom="off"))
    task.save(tmp_path / "a.mvgtask")
    former = predictor.load_task(with_ct_window(tmp_path / "a.mvgtask", None))
    assert former.prompts.ct_window == CT_WINDOW, "of files that name none"
    other = predictor.load_task(with_ct_window(tmp_path / "a.mvgtask", {"low": -1000, "high": 1000}))
    size = predictor.model.config.size
    assert QueryVolume.of(query, task.prompts, task.spec, size).windows == (CT_WINDOW,)
    assert QueryVolume.of(query, other.prompts, other.spec, size).windows == (Window(-1000, 1000),)
    other.save(tmp_path / "again.mvgtask")
    assert predictor.load_task(tmp_path / "again.mvgtask").prompts.ct_window == Window(-1000, 1000)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.999])
def test_a_single_wrong_bit_is_noticed(share: float, tmp_path: Path) -> None:
    path = tmp_path / "boxes.mvgtask"
    prompted(random_model(), 1).save(path)
    content = bytearray(path.read_bytes())
    (header,) = struct.unpack("<Q", content[:8])
    content[8 + header + int(share * (len(content) - header - 8))] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="its contents do not have its checksum"):
        Predictor(random_model()).load_task(path)


@pytest.mark.parametrize(
    "change",
    [{"values": [1]}, {"pose": {"directions": ["a"] * 9, "stack": 2}}, {"pose": {"directions": [1.0], "stack": 2}}],
)
def test_descriptions_that_cannot_be_are_refused_without_a_checksum_too(change: dict[str, Any], tmp_path: Path) -> None:
    prompted(random_model(), 1).save(tmp_path / "a.mvgtask")
    with pytest.raises(FileError, match="not a whole task file"):
        Predictor(random_model()).load_task(rewritten(tmp_path / "a.mvgtask", change))


def test_a_task_that_another_version_tuned_is_refused(tmp_path: Path) -> None:
    prompted(random_model(), 1).save(tmp_path / "a.mvgtask")
    former = {"adapter": {"config": {}, "whole": 0.5, "zoom": 0.5}}
    with pytest.raises(FileError, match=r"tuned by another version of mvg; .*tune it again"):
        Predictor(random_model()).load_task(rewritten(tmp_path / "a.mvgtask", former))


def test_a_model_of_another_size_is_refused(tmp_path: Path) -> None:
    prompted(random_model(), 1).save(tmp_path / "boxes.mvgtask")
    with pytest.raises(WeightsError, match="32 pixels"):
        Predictor(random_model(size=64)).load_task(tmp_path / "boxes.mvgtask")


def test_files_are_safetensors_with_json_inside(tmp_path: Path) -> None:
    prompted(random_model(), 1).save(tmp_path / "boxes.mvgtask")
    with safe_open(tmp_path / "boxes.mvgtask", framework="np") as file:
        assert '"segmentation"' in file.metadata()["mvg"]
        assert {"images", "targets"} <= set(file.keys())


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "foreign", "shapes", "options"])
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.mvgtask"
    prompted(random_model(), 1).save(path)
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "text": b"prompts",
        "cut": whole[: len(whole) // 2],
        "foreign": whole.replace(b'\\"format\\": 4', b'\\"format\\": 9'),
        "options": whole.replace(b'\\"num_prompts\\"', b'\\"num_pronpts\\"'),
        "shapes": whole.replace(b'"index"', b'"indxe"'),
    }
    if damage == "missing":
        path.unlink()
    else:
        assert damaged[damage] != whole
        path.write_bytes(damaged[damage])
    with pytest.raises(FileError, match=r"boxes\.mvgtask"):
        Predictor(random_model()).load_task(path)


def test_nothing_is_left_where_a_task_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = prompted(random_model(), 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mvg.prediction.task_file.save_file", full)
    with pytest.raises(FileError, match="No space left"):
        task.save(tmp_path / "boxes.mvgtask")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileError, match=r"ends in \.mvgtask"):
        task.save(tmp_path / "boxes.pt")
    with pytest.raises(FileError, match="could not be written"):
        task.save(tmp_path / "nowhere" / "boxes.mvgtask")


class TestFormerFormat:
    """Files of format 2 are written here as they were, and still open."""

    @staticmethod
    def arrays(prompts: PromptSet, prefix: str) -> dict[str, torch.Tensor]:
        """Format 2 has images (m, s, s)."""
        arrays = {
            "images": prompts.images[:, 0], "targets": prompts.targets, "volume": prompts.volume,
            "index": prompts.index, "count": prompts.count,
        }  # fmt: skip
        return {prefix + name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    @classmethod
    def write(cls, task: PromptedTask, path: Path, changes: Mapping[str, Any] | None = None) -> None:
        prompts, options, zoom = task.prompts, task.options, task.zoom
        tensors, views = cls.arrays(prompts, ""), []
        for number, region in enumerate(zoom.regions if zoom else ()):
            tensors |= cls.arrays(region.prompts, f"close.{number}.")
        for number, (view, state) in enumerate(task.cache.saved_states(2**28)):
            views.append(
                {"chosen": view.indices, "mirrored": view.mirrored, "colors": view.colors, "panels": len(view.indices)}
            )
            parts = state.tensors()
            assert {name.split(".")[0] for name in parts} <= {"keys", "values", "sums"}, "the names of format 2"
            tensors |= {f"encoded.{number}.{name}": tensor for name, tensor in parts.items()}
        spec = task.spec
        description = {
            "format": 2,
            "weights": task.weights,
            "model": fingerprint(task.model),
            "asked": {
                "kind": spec.kind,
                "answers": spec.target_type,
                "framing": {"whole": "letterbox", "tiles": "native"}[spec.sampling],
                "keeps_intensity": spec.residual,
            },
            "settings": {
                "strategy": options.strategy, "num_prompts": options.num_prompts, "members": options.members,
                "seed": options.seed, "look": {"auto": "close", "off": "whole"}[options.zoom],
                "propagate": options.propagate, "reject": options.min_probability, "colors": options.colors,
            },
            "values": prompts.values,
            "plane": prompts.plane,
            "modality": prompts.modality,
            "target_window": asdict(prompts.target_window),
            "encoded": views,
            "close": zoom
            and {
                "closer": zoom.regions[0].magnification,
                "at": [region.position for region in zoom.regions],
            },
        }  # fmt: skip
        save_file(tensors, path, metadata={"mvg": json.dumps(description | dict(changes or {}))})

    @pytest.mark.parametrize("form", ["matching", "painting", "merged"])
    def test_a_segmentation_predicts_the_same_and_encodes_nothing(self, form: str, tmp_path: Path) -> None:
        query, _ = scan(seed=9)
        model = random_model(form)
        task = prompted(model, 2, num_prompts=3, strategy="most_similar", zoom="off", min_probability=0.4)
        prediction = task(query)
        self.write(task, tmp_path / "former.mvgtask")
        model.encode = refuse_to_encode  # type: ignore[method-assign, assignment]
        loaded = Predictor(model).load_task(tmp_path / "former.mvgtask")
        assert loaded.options == task.options
        assert loaded.spec == task.spec
        assert np.array_equal(loaded(query).volume.voxels, prediction.volume.voxels)
        assert weights_of(tmp_path / "former.mvgtask") == "made"

    def test_magnified_prompts(self, tmp_path: Path) -> None:
        predictor, (query, _) = Predictor(random_model()), small_labels(9)
        task = predictor.prompt(*zip(small_labels(0), small_labels(1), strict=True))
        assert task.zoom is not None
        self.write(task, tmp_path / "former.mvgtask")
        loaded = predictor.load_task(tmp_path / "former.mvgtask")
        assert loaded.zoom is not None
        assert loaded.zoom.regions[0].magnification == task.zoom.regions[0].magnification
        assert [region.position for region in loaded.zoom.regions] == [region.position for region in task.zoom.regions]
        assert np.array_equal(loaded(query).volume.voxels, task(query).volume.voxels)

    @pytest.mark.parametrize("kind", ["denoising", "synthesis", "inpainting"])
    def test_pictures(self, kind: str, tmp_path: Path) -> None:
        (image, _), (query, _) = scan(seed=0), scan(seed=9)
        predictor = Predictor(random_model())
        task = predictor.prompt([image], [Volume(255 - image.voxels, image.affine)], kind)
        self.write(task, tmp_path / "former.mvgtask")
        loaded = predictor.load_task(tmp_path / "former.mvgtask")
        assert loaded.spec == task.spec
        assert np.array_equal(loaded(query).volume.voxels, task(query).volume.voxels)

    def test_a_file_from_before_colors_were_an_option(self, tmp_path: Path) -> None:
        task = prompted(random_model(), 1)
        options = {
            "strategy": "paper_rule", "num_prompts": 2, "members": 1, "seed": 3, "look": "whole", "propagate": 0.0,
            "reject": None,
        }  # fmt: skip
        self.write(task, tmp_path / "former.mvgtask", {"settings": options})
        loaded = Predictor(random_model()).load_task(tmp_path / "former.mvgtask")
        assert (loaded.options.strategy, loaded.options.zoom, loaded.options.colors) == ("paper_rule", "off", ())

    @pytest.mark.parametrize("missing", ["asked", "settings", "close", "encoded", "values"])
    def test_an_incomplete_description_is_refused(self, missing: str, tmp_path: Path) -> None:
        self.write(prompted(random_model(), 1), tmp_path / "former.mvgtask", {missing: 7})
        with pytest.raises(FileError, match=r"former\.mvgtask"):
            Predictor(random_model()).load_task(tmp_path / "former.mvgtask")


def test_states_beyond_the_budget_are_not_saved() -> None:
    task = prompted(random_model(), 2)
    cache: PromptCache = task.cache
    every = list(cache.saved_states(2**28))
    assert len(every) == len(task.prompts)
    assert list(cache.saved_states(0)) == []
