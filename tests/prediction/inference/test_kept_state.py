"""Kept states lose nothing but precision, and prompts with other empty channels are joined."""

import torch

from mvg.model.outputs import PromptState
from mvg.prediction.inference.kept_state import KeptState, joined


def state(seed: int, channels: int = 3) -> PromptState:
    """A prompt of random values; its sums of features by features are symmetric, as they always are."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.rand(1, 9, 5, generator=draw)
    sums = (features.mT @ features, torch.rand(1, channels, 5, 16, generator=draw), torch.zeros(1, channels))
    keys, values = torch.rand(1, 2, 4, 3, generator=draw), torch.rand(1, 2, 4, channels, 6, generator=draw)
    return PromptState((keys.bfloat16().float(),), (values.bfloat16().float(),), sums)


def test_a_kept_state_is_whole_again() -> None:
    one = state(1)
    whole = KeptState.of(one).whole().tensors()
    assert all(torch.equal(whole[name].float(), tensor) for name, tensor in one.tensors().items())


def test_joined_states_are_those_of_all_channels_side_by_side() -> None:
    numbers = (torch.tensor([0, 1, 2, 1]), torch.tensor([2, 0, 0, 1]))  # of four channels among three
    kept = [KeptState.of(state(seed), channels) for seed, channels in enumerate(numbers)]
    expected = PromptState.concatenate([part.whole() for part in kept])
    for wanted in (torch.arange(4), torch.tensor([3, 1])):
        one, other = joined(kept, wanted).tensors(), expected.select(wanted).tensors()
        for name, tensor in other.items():
            torch.testing.assert_close(one[name], tensor)


def test_a_state_without_sums_is_joined() -> None:
    bare = [KeptState.of(PromptState(state(seed).keys, state(seed).values)) for seed in (1, 2)]
    assert joined(bare, torch.arange(3)).sums == ()
