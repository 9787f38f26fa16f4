"""An adapter corrects each scale by its own share, and tasks that are not tuned stay as they are."""

import numpy as np
import torch
from torch import nn

from mvg.model.adapter import Adapter, AdapterConfig, Corrector
from mvg.prediction.inference.adaptation import TaskAdapter
from mvg.prediction.inference.context import ZoomPass
from mvg.prediction.prompts.zoom_plan import ZoomPlan, ZoomRegion
from tests.prediction.learner import Learner, prompted


def adapter(whole: float, zoom: float) -> TaskAdapter:
    config = AdapterConfig.of(Learner().config, "labels", 2)
    network = Adapter(config, nn.ModuleList([Corrector(config)]))
    nn.init.constant_(network.members[0].out.bias[1:2], 5.0)  # type: ignore[index,arg-type]
    return TaskAdapter(network, whole, zoom)


def test_scales_are_corrected_apart() -> None:
    task = prompted(Learner(), 2)
    task.zoom_pass = ZoomPass.of(task.model, ZoomPlan((ZoomRegion(task.prompts, 2.0, np.zeros((2, 2), np.float32)),)))
    for whole, zoom in ((0.0, 1.0), (0.5, 0.0)):
        tuned = task.adapted(adapter(whole, zoom))
        assert tuned.zoom_pass is not None
        assert (tuned.cache.correction is not None, tuned.zoom_pass.caches[0].correction is not None) == (
            whole > 0,
            zoom > 0,
        )
        assert task.cache.correction is None, "the given task is not changed"
        assert all(cache.correction is None for cache in tuned.adapted(None).caches)


def test_what_is_encoded_is_shared() -> None:
    model = Learner()
    task = prompted(model, 2)
    list(task.cache.saved_states(2**20))
    encoded = model.encoded
    list(task.adapted(adapter(1.0, 0.0)).cache.saved_states(2**20))
    assert model.encoded == encoded


def test_the_share_is_that_of_the_change() -> None:
    features = Learner().embed(torch.rand(1, 1, 32, 32))
    even = torch.full((1, 3, 32, 32), 1 / 3)
    corrections = [adapter(whole, 0.0).correction(zoomed=False) for whole in (0.5, 1.0)]
    assert all(correction is not None for correction in corrections)
    half, full = (correction(features, even)[0, 1].mean().item() for correction in corrections if correction)
    assert 1 / 3 < half < full
