"""Voids are found and filled; background is not."""

import torch

from mvg.model.voids import void_filling


def test_a_void_is_filled_from_one_edge_to_the_other_and_the_black_around_a_body_is_not() -> None:
    ramp = torch.linspace(0.3, 0.9, 64).expand(64, 64)
    body = torch.zeros(64, 64)
    body[8:56, 8:56] = 1
    whole = (ramp * body)[None, None]
    pictures = whole.clone()
    pictures[..., 23:41, 23:41] *= 0.3  # the rim that the void darkens
    pictures[..., 24:40, 24:40] = 0
    pictures[..., 12, 50] = 0  # a speck
    change = void_filling(pictures)[0, 0]
    filled = (pictures[0, 0] + change)[23:41, 23:41]
    assert (filled - whole[0, 0, 23:41, 23:41]).abs().max() < 0.1
    assert filled[:, -1].mean() - filled[:, 0].mean() > 0.07, "not one mean everywhere"
    change[22:42, 22:42] = 0
    assert (change == 0).all(), "neither the black around the body nor a speck is a void"


def test_a_void_that_reaches_the_edge_of_a_body_is_filled_too_and_a_wide_bay_is_not() -> None:
    pictures = torch.zeros(1, 1, 128, 128)
    pictures[..., 16:112, 16:112] = 0.6
    pictures[..., 40:54, 100:112] = 0  # open to the right, narrow
    pictures[..., 64:104, 80:112] = 0  # open to the right, wide
    change = void_filling(pictures)[0, 0]
    assert (pictures[0, 0] + change)[41:53, 101:109].min() > 0.4
    assert (change[72:96, 90:] == 0).all()
    assert (change[:, 116:] == 0).all()
    assert (change[:12] == 0).all()


def test_pictures_and_channels_are_filled_each_for_itself() -> None:
    whole = torch.full((1, 1, 64, 64), 0.6)
    enclosed, notch = whole.clone(), whole.clone()
    enclosed[..., 20:30, 20:30] = 0
    notch[..., 30:36, 54:] = 0
    together = void_filling(torch.cat([torch.cat([enclosed, whole], dim=1), torch.cat([notch, enclosed], dim=1)]))
    assert together[:, 0].abs().amax((1, 2)).min() > 0.5
    assert (together[0, 1] == 0).all()
    for filled, picture in ((together[0, 0], enclosed), (together[1, 0], notch), (together[1, 1], enclosed)):
        assert torch.equal(filled, void_filling(picture)[0, 0])
