"""The parts that both forms are built from."""

import pytest
import torch
from torch import nn

from mvg.model.transformer import (
    Attention,
    Block,
    ConvStem,
    DropPath,
    FineHead,
    Positions,
    patches,
    rotate,
    to_map,
    to_tokens,
    unpatch,
)


def test_patches_and_maps_are_undone_exactly() -> None:
    pictures = torch.rand(2, 3, 16, 16)
    assert torch.equal(unpatch(patches(pictures, 4), 4, rows=4), pictures)
    tokens = torch.rand(2, 12, 5)
    assert torch.equal(to_tokens(to_map(tokens, rows=3)), tokens)


def test_a_patch_is_one_token_in_reading_order() -> None:
    picture = torch.arange(64.0).reshape(1, 1, 8, 8)
    tokens = patches(picture, 4)
    assert torch.equal(tokens[0, 1], picture[0, 0, :4, 4:].flatten())


def test_rotary_scores_depend_on_distances_alone() -> None:
    torch.manual_seed(0)
    positions = Positions(16, 8)
    rotation = positions.rotation(6, 6)
    q, k = torch.randn(1, 1, 1, 8).expand(1, 1, 36, 8), torch.randn(1, 1, 1, 8).expand(1, 1, 36, 8)
    scores = (rotate(q, rotation) @ rotate(k, rotation).transpose(-1, -2))[0, 0].reshape(6, 6, 6, 6)
    torch.testing.assert_close(scores[0, 0, 2, 3], scores[3, 2, 5, 5])
    torch.testing.assert_close(scores[4, 1, 2, 0], scores[3, 5, 1, 4])
    assert (scores[0, 0, 2, 3] - scores[0, 0, 3, 2]).abs() > 1e-4, "rows and columns differ"
    torch.testing.assert_close(rotate(q, rotation).norm(dim=-1), q.norm(dim=-1))


def test_absolute_positions_run_from_edge_to_edge_whatever_the_size() -> None:
    positions = Positions(16, 8)
    torch.testing.assert_close(positions(3, 3)[4], positions(5, 5)[12])  # the middle
    torch.testing.assert_close(positions(3, 3)[0], positions(9, 9)[10])  # a sixth from the corner
    assert (positions(3, 3)[0] - positions(5, 5)[0]).abs().max() > 1e-3


def test_heads_and_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Positions(16, 6)
    with pytest.raises(ValueError, match="multiple of 4"):
        ConvStem(1, 8, 16, patch=6)


def test_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = Attention(16, heads=2)
    x, still = torch.randn(2, 5, 16), torch.stack([torch.ones(5, 8), torch.zeros(5, 8)])
    q, k, v = attention.project(x, still)
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / 8**0.5
    expected = attention.out(torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), v).flatten(2))
    torch.testing.assert_close(attention.attend(q, k, v), expected, atol=1e-5, rtol=1e-5)
    reference = nn.functional.linear(x, attention.qkv.weight[:16], attention.qkv.bias[:16])
    torch.testing.assert_close(q.transpose(1, 2).flatten(2), reference)


def test_a_block_without_drop_path_is_the_same_in_training() -> None:
    block, x = Block(16, 2), torch.randn(2, 9, 16)
    rotation = Positions(16, 8).rotation(3, 3)
    assert torch.equal(block.train()(x, rotation), block.eval()(x, rotation))


def test_drop_path_leaves_whole_samples_out_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)
    kept = drop.train()(x)
    assert all(sample.unique().numel() == 1 for sample in kept[:50])
    assert kept.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert abs(float(kept.mean()) - 1) < 0.05
    assert torch.equal(drop.eval()(x), x)


def test_the_fine_head_starts_silent_and_its_gate_lets_the_picture_through() -> None:
    torch.manual_seed(0)
    stem, head = ConvStem(1, 8, 16, patch=8), FineHead(16, 8, patch=8, maps=2)
    pictures = torch.rand(2, 1, 24, 24)
    tokens, fine = stem(pictures)
    assert tokens.shape == (2, 9, 16)
    assert fine.shape == (2, 8, 6, 6)
    assert head(tokens, head.shared(fine), pictures).abs().max() == 0
    with torch.no_grad():
        head.read.bias[3 * 16 :] = 1.0  # type: ignore[index]
    first, second = head(tokens, head.shared(fine), pictures).unbind(1)
    assert first.abs().max() == 0
    assert torch.equal(second, pictures[:, 0])
