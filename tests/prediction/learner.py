"""A model that really learns in context, in closed form, so that prediction can be tested against exact answers."""

import torch
from torch import Tensor

from mvg.model.generalist import Generalist, GeneralistConfig
from mvg.model.outputs import PromptState

SIZE = 32


def tiny_config(form: str = "matching", size: int = SIZE) -> GeneralistConfig:
    """The smallest shape that runs."""
    assert form in ("matching", "painting", "merged")
    return GeneralistConfig(
        form="merged" if form == "merged" else "matching", paint=form == "painting", size=size, width=24,
        depth=2, heads=2, fine=8, levels=(1, 2), target_width=32, target_depth=1, decoder_width=32, decoder_depth=1,
        merge_after=1,
    )  # fmt: skip


def random_model(form: str = "matching", size: int = SIZE) -> Generalist:
    """A real model with random weights, whose answers are not all background."""
    torch.manual_seed(0)
    model = Generalist(tiny_config(form, size))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


class Learner(Generalist):
    """Classes are told by the mean intensity that the prompts show for them, pictures by the mean change that they
    show.

    Exact where every class has one intensity. Counts the panels it encodes and the most queries it was asked at once.
    """

    def __init__(self, size: int = SIZE) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what it sees in pictures decides which prompts are shown
            super().__init__(tiny_config(size=size))
        self.encoded, self.most = 0, 0

    def encode(self, images: Tensor, targets: Tensor) -> PromptState:
        self.encoded += images.shape[1]
        shown = targets.sum((-2, -1))
        inside = (images * targets).sum((-2, -1)) / shown.clamp(min=1e-6)
        told = torch.where(shown > 0, inside, torch.full_like(inside, torch.nan))
        change = (targets - images).mean((-2, -1))
        values = torch.stack([told, change], dim=-1)  # b n c 2
        return PromptState((values[:, None, :, :1, 0],), (values[:, None],), images.shape[1])

    def answer(self, query: Tensor, prompts: PromptState, kind: str) -> Tensor:
        self.most = max(self.most, len(query))
        told = prompts.expand(len(query)).values[0][:, 0].nanmean(dim=1)  # b c 2
        if kind == "image":
            return query + told[:, :, 1, None, None]
        return 30 - 300 * (query - told[:, :, 0, None, None]).abs()
