"""Encoded prompts take little memory."""

import torch

from mvg.prediction.inference.prompt_cache import PromptCache, PromptView
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import random_model
from tests.prediction.scans import scan


def test_classes_that_a_prompt_slice_lacks_share_one_channel_in_memory() -> None:
    """Otherwise the budget of this test would hold less than half of the slices, and they would be encoded again."""
    image, labels = scan(seed=1)
    more = range(11, 27)  # labels that no slice holds
    task = Predictor(random_model(), "random").prompt([image], [labels], labels=(3, *more, 700))
    few = list(range(len(task.prompts)))
    assert (task.prompts.classes.sum(axis=1) == 2).all()
    largest = task.cache.state(PromptView((few[0],)))
    of_channel = sum(t.numel() * 2 for t in largest.values) + sum(t.numel() * 4 for t in largest.sums[1:])
    width = largest.sums[0].shape[-1]  # of a symmetric matrix, of which a half is kept
    rest = sum(t.numel() * 2 for t in largest.keys) + width * (width + 1) // 2 * 4
    budget = len(few) * (rest + 3 * of_channel // largest.channels)  # two classes, and one for those that are empty
    assert budget < 0.5 * len(few) * (rest + of_channel)

    counted, encode = list[int](), task.model.encode
    task.model.encode = lambda *given: counted.append(1) or encode(*given)  # type: ignore[assignment, func-returns-value]
    cache = PromptCache(task.model, task.prompts, budget)
    first = [cache.state(PromptView((number,))) for number in few]
    second = [cache.state(PromptView((few[0], number))) for number in few]
    assert len(counted) == len(few)
    assert torch.allclose(second[1].values[0][:, :, -first[1].values[0].shape[2] :], first[1].values[0])


def test_states_have_the_sums_that_the_network_encodes() -> None:
    image, labels = scan(seed=1)
    task = Predictor(random_model(), "random").prompt([image], [labels])
    cache, sums = task.cache, [torch.zeros(1)]
    for number in (0, 1):
        view = PromptView((number,))
        with torch.inference_mode():
            targets = cache._targets(view)[None]
            sums.append(task.model.encode(cache.features([number]), targets, "labels").sums[0])
    assert torch.allclose(cache.state(PromptView((0, 1))).sums[0], sum(sums), rtol=1e-5, atol=1e-4)
