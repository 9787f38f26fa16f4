"""In-context rivals: they train, continue after an interruption, and predict with the prompts of our predictor."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mvg.benchmark.protocol.method import Budget, Prompt, Request, TrainingData
from mvg.benchmark.rivals import _episodes, _training, lvm, painter, seggpt_public, universeg, universeg_public
from mvg.benchmark.rivals._in_context import InContext
from mvg.canvas import Pairs
from mvg.data import Store, prepare
from mvg.data.case import Card, split_of
from mvg.errors import BenchmarkError
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.tasks import Task, tasks_for
from tests.data.folders import make_mri
from tests.prediction.learner import SIZE, Learner
from tests.prediction.scans import scan

PATIENTS = [name for name in (f"p{i}" for i in range(40)) if split_of(name) == "train"][:6]
SMALL: dict[ModuleType, dict[str, Any]] = {
    universeg: {"widths": (8, 8, 8), "panels": (3, 3)},
    painter: {"width": 32, "depth": 3, "heads": 2, "levels": (2, 3), "merge_after": 1, "inner": 8, "half": 0.8},
    lvm: {"steps": (5, 5), "features": 16, "width": 32, "depth": 2, "heads": 2, "tokenizer": 0.2, "prompts": 1},
}
FORMS = [pytest.param(form, id=form.__name__.rsplit(".", 1)[-1]) for form in SMALL]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A set with two contrasts and two organs, and another one without a given task."""
    folder = tmp_path_factory.mktemp("store")
    for name in ("mri", "other"):
        make_mri(folder / f"raw/{name}", dict.fromkeys(PATIENTS, (24, 20, 5)), channels=2)
    prepare([folder / "raw/mri", folder / "raw/other"], folder / "prepared")
    return Store.open(folder / "prepared")


def tasks(store: Store, *kinds: str) -> tuple[Task, ...]:
    return tuple(task for task in tasks_for(store.sets["mri"].card) if task.kind in kinds)


def options(form: ModuleType, **changes: Any) -> Any:
    return form.Options(**{"size": SIZE, "workers": 0, **SMALL[form], **changes})


def training_data(store: Store, folder: Path, samples: int, *kinds: str) -> TrainingData:
    return TrainingData(store, tasks(store, *(kinds or ("segmentation",))), Budget(samples=samples), 3, folder)


def pictures(count: int, seed: int) -> Tensor:
    return torch.rand(2, count, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=FORMS)
def trained(request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory) -> InContext:
    """A form after some steps of segmentation."""
    form = request.param
    data = training_data(store, tmp_path_factory.mktemp("trained"), 100 if form is lvm else 80)
    method: InContext = form.fit(options(form, batch=2, rate=3e-3), data)
    assert (method.steps, method.samples) == (data.budget.samples / 2, data.budget.samples)
    return method


def test_the_loss_falls(trained: InContext) -> None:
    losses = trained.log.losses[-35:]  # those of LVM's tokenizer come before
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


@pytest.mark.parametrize("form", FORMS)
def test_interrupted_training_ends_as_uninterrupted_training(
    form: ModuleType, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_training, "SAVE_EVERY", -1.0)
    kinds = ("segmentation",) if form is universeg else ("segmentation", "synthesis")
    chosen = options(form, tokenizer=0.5) if form is lvm else options(form)
    whole = form.fit(chosen, training_data(store, tmp_path / "whole", 16, *kinds))
    real_loader = _episodes.loader

    def cut(*given: Any) -> Iterator[Pairs]:
        yield from (pairs for pairs, _ in zip(real_loader(*given), range(2), strict=False))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_episodes, "loader", cut)
        for _ in range(2 if form is lvm else 1):  # once during the tokenizer's training, once during the predictor's
            with pytest.raises(KeyboardInterrupt):
                form.fit(chosen, training_data(store, tmp_path / "cut", 16, *kinds))
    again = form.fit(chosen, training_data(store, tmp_path / "cut", 16, *kinds))
    assert again.log.losses == whole.log.losses
    inputs = (pictures(1, 0)[:, 0], pictures(1, 1), (pictures(1, 2) > 0.5).float())
    assert torch.equal(again.predict(*inputs), whole.predict(*inputs))
    with monkeypatch.context() as patched:
        patched.setattr(_episodes, "loader", None)  # finished training is only loaded
        over = form.fit(chosen, training_data(store, tmp_path / "cut", 16, *kinds))
    assert torch.equal(over.predict(*inputs), whole.predict(*inputs))


def test_prompts_change_the_prediction(trained: InContext) -> None:
    query, images, targets = pictures(1, 0)[:, 0], pictures(1, 1), (pictures(1, 2) > 0.5).float()
    output = trained.predict(query, images, targets)
    assert output.shape == query.shape
    if trained.predict.__module__ != lvm.__name__:  # after so few steps it repeats one token, see its own test below
        assert not torch.equal(output, trained.predict(query, images, torch.zeros_like(targets)))
    alone = trained.predict(query[:1], images[:1], targets[:1])
    assert torch.allclose(output[:1], alone, atol=1e-5), "queries of one batch do not mix"


def test_a_prediction_uses_no_more_slices_than_the_request_has_prompts(trained: InContext, store: Store) -> None:
    query, _ = scan(shape=(40, 28, 3), seed=9)
    counts: set[int] = set()

    def spied(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        counts.add(images.shape[1])
        return trained.predict(queries, images, targets)

    method = replace(trained, predict=spied, options=replace(trained.options, num_prompts=3))
    for prompts in (prompt_scans()[:1], prompt_scans()):
        counts.clear()
        method(Request(tasks(store, "segmentation")[0], query, prompts))
        assert counts == {min(3, len(prompts))}


def test_predictions_lie_on_the_grid_of_the_query(trained: InContext, store: Store) -> None:
    query, _ = scan(shape=(40, 28, 3), seed=9)
    request = Request(tasks(store, "segmentation")[0], query, prompt_scans())
    prediction = trained(request)
    assert isinstance(prediction, LabelMap)
    assert prediction.shape == query.shape
    assert prediction.affine.tobytes() == query.affine.tobytes()
    assert set(prediction.values) <= {3, 700}
    assert np.array_equal(prediction.voxels, trained(request).voxels)


def prompt_scans(change: float | None = None) -> tuple[Prompt, ...]:
    """Two scans with their labels, or with the scan itself, brighter, as the target."""
    prompts = []
    for seed in (1, 2):
        image, labels = scan(seed=seed)
        target = labels if change is None else Volume(image.voxels + np.float32(change), image.affine)
        prompts.append(Prompt(f"case{seed}", f"patient{seed}", image, target))
    return tuple(prompts)


def test_classes_are_predicted_as_by_our_predictor() -> None:
    model, query = Learner(), scan(seed=5)[0]
    task = next(task for task in tasks_for(CARD) if task.kind == "segmentation")
    prompts = prompt_scans()
    ours = Predictor(model).prompt(
        [p.image for p in prompts], [p.target for p in prompts], options=PredictionOptions(num_prompts=3)
    )(query)

    def predict(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        return torch.cat(
            [
                model.answer(model.embed(one[None]), model.encode(model.embed(image), target[None], "labels"), "labels")
                for one, image, target in zip(queries, images, targets, strict=True)
            ]
        )

    theirs = InContext(predict, SIZE, "binary", PredictionOptions(num_prompts=3))(Request(task, query, prompts))
    assert np.array_equal(theirs.voxels, ours.volume.voxels)
    assert set(np.unique(theirs.voxels)) == {0, 3, 700}


def test_painted_classes_are_decoded() -> None:
    """A network that paints every pixel like the prompt's pixels of the nearest intensity is right everywhere."""

    def predict(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        output = torch.zeros_like(queries)
        for number, (query, image, target) in enumerate(zip(queries, images, targets, strict=True)):
            levels = {color: image[target == color].mean() for color in target.unique().tolist()}
            away = torch.stack([(query - level).abs() for level in levels.values()])
            output[number] = torch.tensor(list(levels))[away.argmin(0)]
        return output

    query, truth = scan(seed=5)
    task = next(task for task in tasks_for(CARD) if task.kind == "segmentation")
    prediction = InContext(predict, SIZE, "colors", PredictionOptions(num_prompts=2))(
        Request(task, query, prompt_scans())
    )
    assert np.array_equal(prediction.voxels, truth.voxels)


def test_restorations_keep_the_scale_of_the_query() -> None:
    def predict(queries: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        return queries + (targets - images).mean((1, 3, 4))[..., None, None]

    task = next(task for task in tasks_for(replace(CARD, units="HU", modality="CT")) if task.kind == "denoising")
    image = scan(shape=(70, 60, 2), seed=5)[0]  # several tiles
    query = Volume(image.voxels - 100, image.affine)
    prediction = InContext(predict, SIZE, "colors", PredictionOptions())(
        Request(task, query, _darker(prompt_scans(change=10.0)))
    )
    assert isinstance(prediction, Volume)
    assert np.allclose(prediction.voxels, query.voxels + 10, atol=1.5)


def _darker(prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Within the soft-tissue window, in HU."""
    parts = []
    for prompt in prompts:
        image, target = (Volume(part.voxels - 100, part.affine) for part in (prompt.image, prompt.target))
        parts.append(replace(prompt, image=image, target=target))
    return tuple(parts)


CARD = Card("scans", "synthetic scans", "MRI", "brain", ("T1",), {3: "box", 700: "small box"})


def test_only_the_given_tasks_are_learned(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    real_loader = _episodes.loader

    def watched(*given: Any) -> Iterator[Pairs]:
        for pairs in real_loader(*given):
            names.update(pairs.names)
            yield pairs

    monkeypatch.setattr(_episodes, "loader", watched)
    painter.fit(options(painter), training_data(store, tmp_path, 40, "synthesis"))
    assert names == {f"mri/{task.name}" for task in tasks(store, "synthesis")}
    strange = replace(CARD, name="nowhere")
    with pytest.raises(BenchmarkError, match="nowhere"):
        painter.fit(options(painter), replace(training_data(store, tmp_path / "b", 4), tasks=tuple(tasks_for(strange))))


def test_minutes_end_the_training(store: Store, tmp_path: Path) -> None:
    timed = replace(training_data(store, tmp_path, 0), budget=Budget(minutes=0.005))
    assert 0.3 <= universeg.fit(options(universeg), timed).log.seconds < 2


def test_a_checkpoint_of_another_network_is_refused(store: Store, tmp_path: Path) -> None:
    universeg.fit(options(universeg), training_data(store, tmp_path, 4))
    with pytest.raises(BenchmarkError, match="remove it"):
        universeg.fit(options(universeg, widths=(4, 4)), training_data(store, tmp_path, 8))


def test_universeg_ignores_the_order_of_prompts_and_averages_pairs() -> None:
    network = universeg.CrossUNet((6, 6, 6))
    query, images, targets = pictures(1, 0)[:, 0], pictures(3, 1), (pictures(3, 2) > 0.5).float()
    output = network(query, images, targets)
    assert torch.allclose(output, network(query, images[:, [2, 0, 1]], targets[:, [2, 0, 1]]), atol=1e-5)
    block = network.up[-1]
    deep, shallow = torch.rand(2, 12, 8, 8), torch.rand(2, 3, 12, 8, 8)
    assert torch.allclose(block(deep, shallow)[0], block.last(deep, shallow), atol=1e-5)
    pair = torch.nn.functional.conv2d(
        torch.cat([deep, shallow[:, 1]], dim=1), block.cross.weight, block.cross.bias, padding=1
    )
    assert torch.allclose(block.cross(deep, shallow)[:, 1], pair, atol=1e-5)


def test_hidden_targets_have_no_influence_on_painter() -> None:
    network = painter.StackedCanvas(options(painter))
    images, targets, visible = pictures(2, 0), pictures(2, 1), torch.ones(2, 2, 4, 4, dtype=torch.bool)
    visible[:, -1] = False
    other = torch.cat([targets[:, :1], 1 - targets[:, 1:]], dim=1)
    assert torch.equal(network(images, targets, visible), network(images, other, visible))
    assert torch.equal(network(images, targets, visible)[:, 1:], network(images, targets, visible, 1))
    half = painter.visible_patches(visible | True, options(painter, half=1.0), torch.Generator())
    assert torch.equal(half, visible)
    few = painter.visible_patches(visible | True, options(painter, half=0.0), torch.Generator())
    assert (~few).flatten(1).sum(1).tolist() == [24, 24]


def test_lvm_predicts_token_by_token_what_it_predicts_at_once() -> None:
    torch.manual_seed(0)
    predictor = lvm.TokenPredictor(options(lvm))
    for block in predictor.blocks:
        torch.nn.init.normal_(block.attention.qkv.weight, std=0.5)  # weights with a strong influence of earlier tokens
    tokens = torch.randint(0, 25, (2, 48))
    output = predictor.continuation(tokens, 16)
    whole = predictor.next(predictor(torch.cat([tokens, output[:, :-1]], dim=1))).argmax(-1)
    assert torch.equal(output, whole[:, -16:])
    other = torch.cat([tokens[:, :16], (tokens[:, 16:32] + 7) % 25, tokens[:, 32:]], dim=1)
    assert not torch.equal(output, predictor.continuation(other, 16)), "another prompt target, another prediction"


def test_lvm_tokens_represent_the_quantized_numbers() -> None:
    torch.manual_seed(0)
    tokenizer = lvm.Tokenizer(options(lvm))
    images = pictures(1, 0)[:, 0]
    tokens = tokenizer.tokens(images)
    assert tokens.shape == (2, 16)
    assert tokens.min() >= 0
    assert tokens.max() < 25
    assert torch.allclose(tokenizer.pictures(tokens, 4), tokenizer.decode(tokenizer.quantized(images)), atol=1e-5)


def public_weights() -> dict[str, Tensor]:
    """Weights with the names and shapes of the authors' file."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = {"enc_blocks": [3, 128, 128, 128], "dec_blocks": [256, 256, 256]}
    for side, widths in inputs.items():
        for level, width in enumerate(widths):
            name = f"{side}.{level}"
            shapes[f"{name}.cross.cross_conv"] = (64, width, 3, 3)
            shapes[f"{name}.target.vmapped.conv"] = shapes[f"{name}.support.vmapped.conv"] = (64, 64, 3, 3)
    shapes["out_conv.conv"] = (1, 64, 1, 1)
    torch.manual_seed(0)
    return {f"{name}.weight": 0.05 * torch.randn(shape) for name, shape in shapes.items()} | {
        f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()
    }


def test_public_universeg_weights_fit(store: Store, tmp_path: Path) -> None:
    file, wanted = tmp_path / universeg_public.WEIGHTS, training_data(store, tmp_path, 0)
    with pytest.raises(BenchmarkError, match="JJGO/UniverSeg"):
        universeg_public.fit(universeg_public.Options(), wanted)
    weights = public_weights()
    torch.save(weights, file)
    method = universeg_public.fit(universeg_public.Options(str(file), prompts=1), wanted)
    assert method.steps == method.samples == 0
    distinct = universeg_public.translated(weights)
    assert distinct["up.2.prompt.weight"] is weights["dec_blocks.2.support.vmapped.conv.weight"]
    prediction = method(Request(tasks(store, "segmentation")[0], scan(shape=(20, 20, 1), seed=9)[0], prompt_scans()))
    assert set(prediction.voxels.ravel()) <= {0, 3, 700}
    torch.save({name: part for name, part in weights.items() if "out_conv" not in name}, file)
    with pytest.raises(BenchmarkError, match="another network"):
        universeg_public.fit(universeg_public.Options(str(file)), wanted)


class Gpt(torch.nn.Module):
    """Stands for SegGPT: brightness of its output is that of the mean mask where the query is bright."""

    config = SimpleNamespace(image_size=[2 * SIZE, SIZE])

    @classmethod
    def from_pretrained(cls, folder: str, *, local_files_only: bool) -> "Gpt":
        assert local_files_only
        return cls()

    def forward(
        self, pixel_values: Tensor, prompt_pixel_values: Tensor, prompt_masks: Tensor, feature_ensemble: bool,
        embedding_type: str,
    ) -> Any:  # fmt: skip
        assert pixel_values.shape == prompt_pixel_values.shape == prompt_masks.shape
        assert pixel_values.shape[1:] == (3, SIZE, SIZE)
        assert (feature_ensemble, embedding_type) == (len(pixel_values) > 1, "instance")
        return SimpleNamespace(pred_masks=torch.cat([torch.zeros_like(prompt_masks), prompt_masks], dim=2))


def test_seggpt_gets_inputs_as_it_expects_them(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, chosen = training_data(store, tmp_path, 0), seggpt_public.Options(str(tmp_path), prompts=1)
    with pytest.raises(BenchmarkError, match="huggingface"):
        seggpt_public.fit(chosen, data)
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BenchmarkError, match="pip install transformers"):
        seggpt_public.fit(chosen, data)
    stand_in = ModuleType("transformers")
    stand_in.SegGptForImageSegmentation = Gpt  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    image, labels = scan(shape=(32, 32, 1), seed=1)
    request = Request(tasks(store, "segmentation")[0], image, (Prompt("case1", "p1", image, labels),))
    prediction = seggpt_public.fit(chosen, data)(request)
    assert np.array_equal(prediction.voxels, labels.voxels), "the stand-in repeats the prompt's masks"
    several = replace(request, prompts=prompt_scans())
    seggpt_public.fit(replace(chosen, prompts=2), data)(several)
