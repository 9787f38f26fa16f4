"""The canvas holds only what the model may receive."""

from dataclasses import replace

import pytest
import torch

from mvg.canvas import Pairs, all_visible, compose, image_patches, per_pixel

PATCH = 4


def make_pairs(patients: tuple[tuple[str, ...], ...] = (("a", "b", "c"), ("d", "e", "f")), channels: int = 2) -> Pairs:
    draw = torch.Generator().manual_seed(0)
    batch, panels = len(patients), len(patients[0])
    return Pairs(
        torch.rand(batch, panels, 1, 16, 16, generator=draw) + 0.1,
        torch.rand(batch, panels, channels, 16, 16, generator=draw) + 0.1,
        torch.ones(batch, channels, dtype=torch.bool),
        torch.linspace(0.4, 1, channels).repeat(batch, 1),
        patients,
        "labels",
    )


def random_patches(pairs: Pairs, seed: int = 1) -> torch.Tensor:
    return torch.rand(*pairs.images.shape[:2], 4, 4, generator=torch.Generator().manual_seed(seed)) < 0.5


def test_hidden_patches_are_blank_and_visible_ones_unchanged() -> None:
    pairs = make_pairs()
    visible, image_visible = random_patches(pairs), random_patches(pairs, seed=2)
    canvas = compose(pairs, visible, image_visible)
    for original, composed, mask in (
        (pairs.targets, canvas.targets, per_pixel(visible, 16)),
        (pairs.images, canvas.images, per_pixel(image_visible, 16)),
    ):
        visible_pixels = mask.expand_as(original)
        assert torch.equal(composed[visible_pixels], original[visible_pixels])
        assert (composed[~visible_pixels] == 0).all()
    assert canvas.visible is visible
    assert canvas.image_visible is image_visible


def test_values_under_hidden_patches_do_not_reach_the_canvas() -> None:
    pairs = make_pairs()
    visible, image_visible = random_patches(pairs), random_patches(pairs, seed=2)
    other = Pairs(
        torch.where(per_pixel(image_visible, 16), pairs.images, 0.77),
        torch.where(per_pixel(visible, 16), pairs.targets, 0.33),
        pairs.used,
        pairs.colors,
        pairs.patients,
        "labels",
    )
    one, two = compose(pairs, visible, image_visible), compose(other, visible, image_visible)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.targets, two.targets)


def test_pairs_without_hidden_patches_are_unchanged() -> None:
    pairs = make_pairs()
    canvas = compose(pairs, all_visible(pairs, PATCH))
    assert torch.equal(canvas.images, pairs.images)
    assert torch.equal(canvas.targets, pairs.targets)
    assert canvas.image_visible is None


@pytest.mark.parametrize("first_query", [-1, 2])
def test_a_query_is_not_prompted_by_its_own_patient(first_query: int) -> None:
    pairs = make_pairs((("a", "b", "c"), ("d", "e", "d")))
    with pytest.raises(AssertionError, match="patient d prompts its own query"):
        compose(pairs, all_visible(pairs, PATCH), first_query=first_query)


def test_when_all_panels_are_queries_each_needs_another_patient() -> None:
    pairs = make_pairs((("a", "a", "c"),))
    compose(pairs, all_visible(pairs, PATCH))  # prompts may be of one patient
    with pytest.raises(AssertionError, match="patient a"):
        compose(pairs, all_visible(pairs, PATCH), first_query=0)


def test_unknown_patients_are_not_compared() -> None:
    compose(make_pairs((("", "", ""),)), all_visible(make_pairs((("", "", ""),)), PATCH), first_query=0)


def of_one_volume(slices: tuple[int, ...], patients: tuple[str, ...] = ("a", "a", "a")) -> Pairs:
    return replace(make_pairs((patients,)), same_volume=(True,), slices=(slices,))


def test_slices_of_one_volume_prompt_one_another_where_the_request_says_so() -> None:
    pairs = of_one_volume((4, 9, 7))
    compose(pairs, all_visible(pairs, PATCH), first_query=0)
    with pytest.raises(AssertionError, match="patient a prompts its own query"):
        compose(replace(pairs, same_volume=(False,)), all_visible(pairs, PATCH))
    with pytest.raises(AssertionError, match="patient a prompts its own query"):
        compose(replace(pairs, same_volume=()), all_visible(pairs, PATCH))


def test_a_slice_is_never_its_own_prompt() -> None:
    pairs = of_one_volume((7, 9, 7))
    with pytest.raises(AssertionError, match="slice 7 of patient a prompts itself"):
        compose(pairs, all_visible(pairs, PATCH))
    pairs = of_one_volume((7, 7, 9), ("a", "b", "a"))
    compose(pairs, all_visible(pairs, PATCH))  # prompts alone may
    with pytest.raises(AssertionError, match="slice 7 of patient b"):
        compose(pairs, all_visible(pairs, PATCH), first_query=1)


def test_each_request_of_a_batch_says_for_itself_whether_it_is_of_one_volume() -> None:
    pairs = replace(make_pairs((("a", "a"), ("b", "b"))), same_volume=(True, False), slices=((1, 2), (1, 2)))
    with pytest.raises(AssertionError, match="patient b"):
        compose(pairs, all_visible(pairs, PATCH))


def test_imperfect_prompts_are_shown_painted_and_moved_instead_of_the_targets() -> None:
    pairs = replace(make_pairs(), prompt_targets=make_pairs().targets.flip(-1))
    painted = pairs.painted()
    torch.testing.assert_close(
        painted.prompt_targets, replace(make_pairs(), targets=pairs.prompt_targets).painted().targets
    )
    torch.testing.assert_close(painted.targets, make_pairs().painted().targets)
    for one in (pairs, painted, pairs.to(torch.device("cpu"))):
        assert one.prompt_targets is not None
        assert torch.equal(compose(one, all_visible(one, PATCH)).targets, one.prompt_targets)
        assert not torch.equal(one.prompt_targets, one.targets)


def test_a_value_per_patch_is_repeated_over_its_pixels() -> None:
    visible = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    visible[0, 0, 0, 1] = True
    pixels = per_pixel(visible, 6)
    assert pixels.shape == (1, 1, 1, 6, 6)
    assert pixels[0, 0, 0, :3, 3:].all()
    assert pixels.sum() == 9


def test_classes_are_painted_in_their_colors() -> None:
    pairs = make_pairs()
    painted = pairs.painted()
    expected = 0.4 * pairs.targets[:, :, :1] + 1.0 * pairs.targets[:, :, 1:]
    torch.testing.assert_close(painted.targets, expected)
    assert painted.used.shape == (2, 1)
    assert torch.equal(painted.images, pairs.images)


def test_image_targets_are_not_painted() -> None:
    pairs = replace(make_pairs(), target_type="image")
    assert pairs.painted() is pairs


def test_moving_to_a_device_keeps_all_fields() -> None:
    pairs = make_pairs()
    moved = pairs.to(torch.device("cpu"))
    assert torch.equal(moved.colors, pairs.colors)
    assert of_one_volume((1, 2, 3)).to(torch.device("cpu")).slices == ((1, 2, 3),)
    assert (moved.patients, moved.target_type, moved.names) == (pairs.patients, pairs.target_type, pairs.names)


def test_image_patches_are_in_reading_order() -> None:
    images = torch.arange(64.0).reshape(1, 1, 1, 8, 8)
    tokens = image_patches(images, PATCH)
    assert tokens.shape == (1, 1, 4, 16)
    assert torch.equal(tokens[0, 0, 1], images[0, 0, 0, :4, 4:].flatten())
