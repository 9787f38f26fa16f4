"""Attention whose values are wider than its keys: one set of weights mixes what several target channels say."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

_ROWS, _KEYS = 256, 1024  # weights that are computed at a time: one megabyte, which stays in a core's cache
_REACH = 70.0  # exp of as much, summed over millions of keys, is far from overflow in float32
_FAINT = 1e-30  # less than this in all: the weights of a query may have lost what they are made of


def attention(
    q: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k w"],
    allowed: Bool[Tensor, "b 1 1 k"] | None = None,
) -> Float[Tensor, "b h t w"]:
    """Softmax attention, scaled by e ** -0.5; keys that are not `allowed` are not looked at.

    PyTorch's fast kernels want queries and keys as wide as values: zeros are added where they are not. On a CPU plain
    products cost less: in blocks that stay in the cache, or whole where gradients or 16 bits are wanted, for which the
    fast kernel takes more than twice as long. All give the same but for rounding.
    """
    if q.device.type == "cpu" and (q.dtype == torch.bfloat16 or _learning(q, keys, values)):
        logits = (q * keys.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -1e4)
        mixed: Tensor = logits.softmax(-1) @ values
        return mixed
    wider = values.shape[-1] - keys.shape[-1]
    if wider and allowed is None and _plain(q, keys, values):
        blockwise = _products(q, keys, values)
        if blockwise is not None:
            return blockwise
    # Zeros change no weight, and cost less than PyTorch's way with unequal widths.
    return F.scaled_dot_product_attention(
        F.pad(q, (0, wider)), F.pad(keys, (0, wider)), values, attn_mask=allowed, scale=keys.shape[-1] ** -0.5
    )


def _plain(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def _learning(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _products(
    q: Float[Tensor, "b h t e"], keys: Float[Tensor, "b h k e"], values: Float[Tensor, "b h k w"]
) -> Float[Tensor, "b h t w"] | None:
    """Blocks of weights, used while they lie in the cache; None where float32 could not hold the weights.

    A softmax may subtract anything from a query's logits. Instead of their maximum, which takes a pass of its own, it
    is what the lengths of query and keys allow at most, less `_REACH`; the product brings it along as one more column.
    """
    q = q * keys.shape[-1] ** -0.5
    most = q.norm(dim=-1, keepdim=True) * keys.norm(dim=-1).amax(-1)[..., None, None]
    q = torch.cat([q, (_REACH - most).clamp(max=0)], dim=-1).flatten(0, 1)
    across = F.pad(keys, (0, 1), value=1.0).flatten(0, 1).transpose(1, 2)
    stacked = values.flatten(0, 1)
    mixed, total = q.new_zeros(*q.shape[:2], values.shape[-1]), q.new_zeros(*q.shape[:2], 1)
    for head in range(len(q)):
        for row in range(0, q.shape[1], _ROWS):
            rows = slice(row, row + _ROWS)
            for key in range(0, across.shape[2], _KEYS):
                weights = torch.mm(q[head, rows], across[head, :, key : key + _KEYS]).exp_()
                mixed[head, rows].addmm_(weights, stacked[head, key : key + _KEYS])
                total[head, rows] += weights.sum(-1, keepdim=True)
    if not bool(total.min() > _FAINT):
        return None
    return (mixed / total).reshape(*values.shape[:2], *mixed.shape[1:])
