"""Attention whose values may be wider than its keys: one set of weights serves the values of all target channels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

_ROWS, _KEYS = 256, 1024  # block of weights computed at a time: one megabyte, which stays in a core's cache
_MAX_LOGIT = 70.0  # its exp, summed over millions of keys, is far from overflow in float32
_MIN_TOTAL = 1e-30  # below this sum of weights, float32 may have lost the small ones


def attention(
    q: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k w"],
    allowed: Bool[Tensor, "b 1 1 k"] | None = None,
) -> Float[Tensor, "b h t w"]:
    """Softmax attention, scaled by e ** -0.5, over the `allowed` keys.

    All ways to compute it agree up to rounding. PyTorch's fast kernels need queries and keys as wide as values, so they
    are padded with zeros. On a CPU plain products are faster for wide values: in blocks that stay in the cache, or at
    once for gradients and for 16 bits, where the fast kernel takes more than twice as long. Values in bfloat16 beside
    float32 queries: only the products with the values are in 16 bits.
    """
    if q.device.type == "cpu" and (q.dtype == torch.bfloat16 or _needs_gradient(q, keys, values)):
        return _at_once(q, keys, values, allowed)
    wider = values.shape[-1] - keys.shape[-1]
    if wider and allowed is None and _is_cpu_float32(q, keys):
        attended = _blockwise(q, keys, values)
        if attended is not None:
            return attended
    values = values.to(q.dtype)
    # Zeros change no weight, and cost less than PyTorch's handling of unequal widths.
    return F.scaled_dot_product_attention(
        F.pad(q, (0, wider)), F.pad(keys, (0, wider)), values, attn_mask=allowed, scale=keys.shape[-1] ** -0.5
    )


def _is_cpu_float32(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _at_once(
    q: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k w"],
    allowed: Bool[Tensor, "b 1 1 k"] | None,
) -> Float[Tensor, "b h t w"]:
    logits = (q * keys.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e4)
    attended: Tensor = logits.softmax(-1) @ values
    return attended


def _blockwise(
    q: Float[Tensor, "b h t e"], keys: Float[Tensor, "b h k e"], values: Float[Tensor, "b h k w"]
) -> Float[Tensor, "b h t w"] | None:
    """Weights in blocks that stay in the cache; None where float32 could not hold the weights.

    Subtract an upper bound of the logits (the lengths of query and keys, less `_MAX_LOGIT`) instead of the maximum: it
    comes as one more column of the product.
    """
    q = q * keys.shape[-1] ** -0.5
    bound = q.norm(dim=-1, keepdim=True) * keys.norm(dim=-1).amax(-1)[..., None, None]
    q = torch.cat([q, (_MAX_LOGIT - bound).clamp(max=0)], dim=-1).flatten(0, 1)
    transposed = F.pad(keys, (0, 1), value=1.0).flatten(0, 1).transpose(1, 2)
    stacked = values.flatten(0, 1)
    attended, total = q.new_zeros(*q.shape[:2], values.shape[-1]), q.new_zeros(*q.shape[:2], 1)
    for head in range(len(q)):
        for row in range(0, q.shape[1], _ROWS):
            rows = slice(row, row + _ROWS)
            for key in range(0, transposed.shape[2], _KEYS):
                weights = torch.mm(q[head, rows], transposed[head, :, key : key + _KEYS]).exp_()
                if stacked.dtype == weights.dtype:
                    attended[head, rows].addmm_(weights, stacked[head, key : key + _KEYS])
                else:
                    attended[head, rows] += weights.to(stacked.dtype) @ stacked[head, key : key + _KEYS]
                total[head, rows] += weights.sum(-1, keepdim=True)
    if not bool(total.min() > _MIN_TOTAL):
        return None
    return (attended / total).reshape(*values.shape[:2], *attended.shape[1:])
