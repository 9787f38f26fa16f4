"""Synthetic regions are connected, of a suitable size, and segmented in changed copies of one picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from mvg.data import Store
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.requests import EpisodeSettings
from mvg.training.synthetic import regions


@pytest.mark.parametrize("seed", range(6))
def test_regions_are_connected_and_of_a_fair_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(rng.random((96, 96)), 5)
    labels = regions(picture, np.random.default_rng(seed))
    assert labels.shape == picture.shape
    assert 1 <= labels.max() <= 8
    for value in range(1, int(labels.max()) + 1):
        assert ndimage.label(labels == value)[1] == 1
        assert 0.002 <= (labels == value).mean() <= 0.3
    assert np.array_equal(labels, regions(picture, np.random.default_rng(seed)))
    assert not np.array_equal(labels, regions(picture, np.random.default_rng(seed + 50)))


def test_a_flat_picture_gives_nothing_or_a_part() -> None:
    assert regions(np.zeros((32, 32)), np.random.default_rng(0)).max() <= 1


def test_panels_are_changed_copies_of_one_picture_with_the_same_regions(store: Store) -> None:
    settings = EpisodeSettings(batch=2, panels=(3, 3), classes=(3, 3), label_fraction=1.0, synthetic_fraction=1.0)
    plain = AugmentationSettings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    still = Episodes(EpisodeData(store, kinds=("segmentation",)), settings, plain, 32, 0)
    moving = Episodes(EpisodeData(store, kinds=("segmentation",)), settings, AugmentationSettings(), 32, 0)
    real = Episodes(
        EpisodeData(store, kinds=("segmentation",)), replace(settings, synthetic_fraction=0.0), plain, 32, 0
    )
    pairs = still[0]
    assert torch.equal(pairs.images[:, 0], pairs.images[:, 2])
    assert torch.equal(pairs.targets[:, 0], pairs.targets[:, 2])
    assert pairs.targets.any()
    assert set(pairs.patients[0]) == {""}, "one patient in all panels, on purpose"
    assert not torch.equal(moving[0].images[:, 0], moving[0].images[:, 2])
    assert not torch.equal(real[0].images[:, 0], real[0].images[:, 2])
    assert "" not in real[0].patients[0]
