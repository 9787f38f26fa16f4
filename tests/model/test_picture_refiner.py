"""The refiner of pictures: what it changes and what it never changes, and how it is stored and dropped."""

from pathlib import Path

import pytest
import torch

from mvg.model.generalist import Generalist
from mvg.model.matching import MatchingForm
from mvg.model.weights import fingerprint, load_weights, save_weights
from tests.model.small import drawn, network, pictures


def refined(model: Generalist, seed: int = 5) -> Generalist:
    """The model with a refiner, all of whose weights are drawn at random."""
    assert isinstance(model.form, MatchingForm)
    model.form.add_refiner()
    kept = {name: value.clone() for name, value in model.state_dict().items() if ".refiner." not in name}
    drawn(model, seed).load_state_dict(kept, strict=False)
    return model


@torch.inference_mode()
def answer(model: Generalist, target_type: str, channels: int = 3) -> torch.Tensor:
    images, targets = pictures("matching", panels=3, batch=1)
    prompts = model.encode(model.embed(images[0, :2]), targets[:, :2, :channels].round(), target_type)  # type: ignore[arg-type]
    return model.answer(model.embed(images[0, 2:]), prompts, target_type)  # type: ignore[arg-type]


def test_without_training_no_answer_changes() -> None:
    model = network("matching")
    plain = answer(model, "image")
    assert isinstance(model.form, MatchingForm)
    model.form.add_refiner()
    assert torch.equal(answer(model, "image"), plain)


@pytest.mark.parametrize(("target_type", "changes"), [("image", True), ("labels", False), ("field", False)])
def test_pictures_alone_are_changed(target_type: str, changes: bool) -> None:
    plain, other = answer(network("matching"), target_type), answer(refined(network("matching")), target_type)
    assert plain.shape == other.shape
    assert torch.equal(plain, other) != changes


def test_painted_labels_stay() -> None:
    images, targets = pictures("painting", panels=3, batch=1)

    @torch.inference_mode()
    def painted(model: Generalist) -> torch.Tensor:
        prompts = model.encode(model.embed(images[0, :2]), targets[:, :2], "labels")
        return model.answer(model.embed(images[0, 2:]), prompts, "labels")

    assert torch.equal(painted(network("painting")), painted(refined(network("painting"))))


@torch.inference_mode()
def test_channels_are_refined_by_themselves() -> None:
    model = refined(network("matching"))
    assert isinstance(model.form, MatchingForm)
    refiner = model.form.refiner
    assert refiner is not None
    images, maps = pictures("matching", panels=2)  # two queries, three channels
    features, matched = model.embed(images[:, 0]), torch.randn(2, 3, 16, 128)
    together = refiner(maps[:, 0], maps[:, 1], matched, features)
    for channel in range(3):
        one = slice(channel, channel + 1)
        alone = refiner(maps[:, 0, one], maps[:, 1, one], matched[:, one], features)
        assert torch.allclose(together[:, one], alone, atol=1e-5)
    assert not torch.allclose(together, maps[:, 0], atol=1e-2)


def test_a_pass_of_training_refines_as_prediction_does() -> None:
    """The causal pass predicts the last panel from those before it, as `answer` does."""
    model = refined(network("matching"))
    images, targets = pictures("matching", panels=3, batch=1)
    visible = torch.ones(1, 3, 4, 4, dtype=torch.bool)
    with torch.no_grad():
        trained = model(images, targets, visible, "causal", 1, target_type="image").pictures[:, -1]
        prompts = model.encode(model.embed(images[0, :2]), targets[:, :2], "image")
        predicted = model.answer(model.embed(images[0, 2:]), prompts, "image")
    assert torch.allclose(trained, predicted, atol=1e-4)


def test_weights_are_stored_with_it_and_prompts_stay_valid(tmp_path: Path) -> None:
    model = network("matching")
    plain = fingerprint(model)
    refined(model)
    save_weights(model, tmp_path / "refined", "# Refined\n")
    loaded = load_weights(tmp_path / "refined")
    assert isinstance(loaded.form, MatchingForm)
    assert loaded.form.refiner is not None
    assert torch.allclose(answer(loaded, "image"), answer(model, "image"), atol=0.2)
    assert not torch.equal(answer(loaded, "image"), answer(network("matching"), "image"))
    assert fingerprint(model) == plain
    loaded.drop_fitted()
    assert not any(".refiner." in name for name in loaded.state_dict())


def test_the_same_network_without_it_answers_as_before() -> None:
    model = refined(network("matching"))
    plain = model.without_refiner()
    assert torch.equal(answer(plain, "image"), answer(network("matching"), "image"))
    assert not torch.equal(answer(model, "image"), answer(plain, "image"))
    assert all(one is two for one, two in zip(plain.parameters(), network_parameters(model), strict=True))
    assert plain.without_refiner() is plain


def network_parameters(model: Generalist) -> list[torch.nn.Parameter]:
    """Those of all parts but the refiner."""
    return [value for name, value in model.named_parameters() if ".refiner." not in name]


def test_it_learns_alone() -> None:
    model = network("matching")
    model.let_refiner_learn_alone()
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, _ in model.named_parameters() if name.startswith("form.refiner.")}
    with pytest.raises(AssertionError, match="merged"):
        network("merged").let_refiner_learn_alone()
