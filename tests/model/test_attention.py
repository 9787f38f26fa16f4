"""Attention with values wider than keys gives what its definition says, in each way to compute it."""

import pytest
import torch
from torch import Tensor

from mvg.model import attention as module
from mvg.model.attention import attention


def request(values: int, queries: int = 260, keys: int = 1030, length: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (2, 1, queries, 8), keys and values, more than one block of each; `length` scales the queries."""
    rng = torch.Generator().manual_seed(0)
    q = length * torch.randn(2, 1, queries, 8, generator=rng)
    return q, torch.randn(2, 1, keys, 8, generator=rng), torch.randn(2, 1, keys, values, generator=rng)


def defined(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    q, keys, values = q.double(), keys.double(), values.double()
    weights = (q @ keys.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ values).float()


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether plain products succeeded, for each time that they were tried."""
    successes: list[bool] = []
    blockwise = module._blockwise

    def watched(q: Tensor, keys: Tensor, values: Tensor) -> Tensor | None:
        attended = blockwise(q, keys, values)
        successes.append(attended is not None)
        return attended

    monkeypatch.setattr(module, "_blockwise", watched)
    return successes


@pytest.mark.parametrize("length", [1.0, 12.0], ids=["short", "sharp"])
def test_wide_values_take_plain_products(length: float, products: list[bool]) -> None:
    q, keys, values = request(values=24, length=length)
    torch.testing.assert_close(attention(q, keys, values), defined(q, keys, values), atol=1e-4, rtol=1e-4)
    assert products == [True]


def test_logits_beyond_what_float32_can_hold_take_the_other_way(products: list[bool]) -> None:
    q, keys, values = request(values=24, length=1000.0)
    keys[:, :, :500] *= 1e-3  # the long keys allow for much that no query reaches
    keys[:, :, 500:, 0], q[..., 0] = -keys[:, :, 500:, 0].abs(), q[..., 0].abs()
    keys[:, :, 500:, 1:] = 0
    torch.testing.assert_close(attention(q, keys, values), defined(q, keys, values), atol=1e-3, rtol=1e-3)
    assert products == [False]


def test_gradients_and_masks_take_the_other_way(products: list[bool]) -> None:
    q, keys, values = request(values=24, queries=5, keys=7)
    attended = attention(q.requires_grad_(), keys, values)
    torch.testing.assert_close(attended, defined(q, keys, values), atol=1e-5, rtol=1e-5)
    attended.sum().backward()
    assert q.grad is not None
    allowed = torch.tensor([True, True, False, True, False, True, True])
    masked = attention(q.detach(), keys, values, allowed.expand(2, 1, 1, 7))
    torch.testing.assert_close(
        masked, defined(q.detach(), keys[:, :, allowed], values[:, :, allowed]), atol=1e-5, rtol=1e-5
    )
    assert not products


def test_16_bits_stay_close() -> None:
    q, keys, values = request(values=24)
    attended = attention(*(part.bfloat16() for part in (q, keys, values)))
    assert attended.dtype == torch.bfloat16
    torch.testing.assert_close(attended.float(), defined(q, keys, values), atol=0.02, rtol=0.02)
    allowed = torch.arange(1030) % 3 > 0
    attended = attention(*(part.bfloat16() for part in (q, keys, values)), allowed.expand(2, 1, 1, 1030))
    torch.testing.assert_close(
        attended.float(), defined(q, keys[:, :, allowed], values[:, :, allowed]), atol=0.02, rtol=0.02
    )
