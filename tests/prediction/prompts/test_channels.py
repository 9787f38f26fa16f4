"""Images with several channels: colors become luminance for weights of one input, other numbers are refused."""

import logging

import numpy as np
import pytest

from mvg.errors import PromptError
from mvg.imaging.volume import Volume, luminance
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.pairs import fit_channels
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


def in_color(volume: Volume) -> Volume:
    """A volume of three different channels with the luminance of `volume`."""
    red, green = 0.5 * volume.voxels, 1.2 * volume.voxels
    blue = (volume.voxels - 0.299 * red - 0.587 * green) / 0.114
    return Volume(np.stack([red, green, blue], axis=-1), volume.affine)


def test_colors_become_luminance_and_a_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    (image, labels), (query, truth) = scan(seed=0), scan(seed=9)
    with caplog.at_level(logging.WARNING, "mvg"):
        task = Predictor(Learner()).prompt([in_color(image)], [labels])
        prediction = task(in_color(query))
    assert np.array_equal(prediction.volume.voxels, truth.voxels)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "the image of prompt 1 has colors; its luminance is used",
        "the query has colors; its luminance is used",
    ]


def test_an_image_with_the_right_number_of_channels_is_unchanged() -> None:
    image = in_color(scan()[0])
    assert fit_channels(image, 3, "it") is image
    assert np.allclose(fit_channels(image, 1, "it").voxels, luminance(image).voxels)


@pytest.mark.parametrize(("channels", "inputs"), [(2, 1), (3, 2), (1, 2)])
def test_another_number_of_channels_is_refused(channels: int, inputs: int) -> None:
    image = scan()[0]
    image = Volume(np.stack([image.voxels] * channels, axis=-1), image.affine)
    with pytest.raises(PromptError, match=f"the query has {channels} channels; expected {inputs}"):
        fit_channels(image, inputs, "the query")
