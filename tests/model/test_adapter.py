"""An adapter starts without any effect, and its change is a share of the mean of its members."""

import pytest
import torch
from torch import nn

from mvg.model.adapter import Adapter, AdapterConfig, AdapterInput, Corrector, corrected
from tests.prediction.learner import SIZE, random_model

FORMS = ["matching", "merged"]


def adapter(form: str, target_type: str, classes: int, count: int = 2) -> Adapter:
    config = AdapterConfig.of(random_model(form).config, target_type, classes)  # type: ignore[arg-type]
    return Adapter(config, nn.ModuleList(Corrector(config) for _ in range(count)))


@pytest.mark.parametrize("form", FORMS)
def test_an_untrained_adapter_changes_nothing(form: str) -> None:
    features = random_model(form).embed(torch.rand(3, 1, SIZE, SIZE))
    probabilities = torch.rand(3, 3, SIZE, SIZE).add(0.1)
    probabilities /= probabilities.sum(1, keepdim=True)
    assert torch.allclose(adapter(form, "labels", 2)(features, probabilities, 1.0), probabilities, atol=1e-5)
    pictures = torch.rand(3, 1, SIZE, SIZE)
    assert torch.allclose(adapter(form, "image", 0)(features, pictures, 1.0), pictures)


@pytest.mark.parametrize("form", FORMS)
def test_members_and_strength_count(form: str) -> None:
    features = random_model(form).embed(torch.rand(2, 1, SIZE, SIZE))
    pictures, trained = torch.full((2, 1, SIZE, SIZE), 0.5), adapter(form, "image", 0)
    nn.init.constant_(trained.members[0].out.bias, 0.2)  # type: ignore[arg-type]
    assert torch.allclose(trained(features, pictures, 1.0), pictures + 0.1)
    assert torch.allclose(trained(features, pictures, 0.5), pictures + 0.05)
    again = Adapter.from_tensors(trained.config, trained.state_dict())
    assert torch.equal(again(features, pictures, 1.0), trained(features, pictures, 1.0))


@pytest.mark.parametrize("part", ["fine", "level", "images", "prediction"])
def test_everything_that_it_is_shown_matters(part: str) -> None:
    config = AdapterConfig.of(random_model().config, "labels", 1)
    network = Corrector(config)
    nn.init.normal_(network.out.weight)
    inputs = AdapterInput.of(random_model().embed(torch.rand(1, 1, SIZE, SIZE)), torch.full((1, 2, SIZE, SIZE), 0.5))
    changed = inputs._replace(**{part: getattr(inputs, part) * 0.5})
    assert not torch.allclose(network(inputs), network(changed), atol=1e-4)


def test_impossible_classes_can_be_raised_and_pictures_stay_in_range() -> None:
    certain = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    change = torch.tensor([0.0, 20.0]).view(1, 2, 1, 1)
    assert corrected(certain, change, "labels").argmax(1).item() == 1
    assert corrected(torch.full((1, 1, 1, 1), 0.9), torch.full((1, 1, 1, 1), 0.3), "image").item() == 1
