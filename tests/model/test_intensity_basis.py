"""What the regression knows of pixels without having learned it."""

import torch

from mvg.model.intensity_basis import hat_basis, pixel_features


def test_hats_share_a_pixel_between_the_two_brightnesses_about_it() -> None:
    shares = hat_basis(torch.tensor([0.0, 0.1, 0.5, 1.0]).view(1, 1, 2, 2))[0].flatten(1)
    torch.testing.assert_close(shares.sum(0), torch.ones(4))
    torch.testing.assert_close(shares[:, 1], torch.tensor([0.3, 0.7, 0, 0, 0, 0, 0, 0]))
    assert (shares > 0).sum(0).tolist() == [1, 2, 2, 1]


def test_each_input_has_hats_and_pixel_features_of_its_own() -> None:
    images = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    filling = torch.zeros(1, 2, 8, 8)
    filling[:, 1] = 0.25
    first, second = (hat_basis(images[:, i : i + 1]) for i in range(2))
    assert torch.equal(hat_basis(images), torch.cat([first, second], dim=1))
    values, means, added = pixel_features(images, filling).split(2, dim=1)
    assert torch.equal(values, images - 0.5)
    torch.testing.assert_close(means[0, 1, 3, 3], images[0, 1, 2:5, 2:5].mean() - 0.5)
    assert torch.equal(added, filling)
