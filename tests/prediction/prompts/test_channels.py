"""Images with several channels: colors become luminance for weights of one input, other numbers are refused."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mvg
from mvg.errors import FileError, GeometryError, PromptError
from mvg.imaging.volume import Volume, luminance
from mvg.model.generalist import Generalist
from mvg.prediction.batch import plan, predict_files
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.prompts.folder import open_prompts
from mvg.prediction.prompts.pairs import fit_channels
from tests.prediction.learner import Learner, tiny_config
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


def write_study(folder: Path, name: str, image: Volume) -> None:
    """Two contrasts of one study, as nnU-Net names them."""
    mvg.write(image, folder / f"{name}_0000.nii.gz")
    mvg.write(Volume(250 - image.voxels, image.affine), folder / f"{name}_0001.nii.gz")


def test_weights_of_two_inputs_get_both_contrasts_of_a_study(tmp_path: Path) -> None:
    write_study(tmp_path, "a", scan()[0])
    volume = read_channels(tmp_path / "a_0000.nii.gz", 2)
    assert volume.channels == 2
    assert np.allclose(volume.voxels[..., 0] + volume.voxels[..., 1], 250)
    assert read_channels(tmp_path / "a_0000.nii.gz", 1).channels == 1


def test_a_missing_channel_and_another_grid_are_refused(tmp_path: Path) -> None:
    image = scan()[0]
    mvg.write(image, tmp_path / "a_0000.nii.gz")
    with pytest.raises(FileError, match=r"a_0001\.nii\.gz'; expected 2 channels"):
        read_channels(tmp_path / "a_0000.nii.gz", 2)
    mvg.write(Volume(image.voxels, image.affine + np.diag([0, 0, 1.0, 0])), tmp_path / "a_0001.nii.gz")
    with pytest.raises(GeometryError, match="another grid"):
        read_channels(tmp_path / "a_0000.nii.gz", 2)


def test_both_contrasts_go_from_files_to_files(tmp_path: Path) -> None:
    """The second contrast decides: the first is the same noise everywhere."""
    for name in ("imagesTr", "labelsTr", "queries", "out"):
        (tmp_path / name).mkdir()
    (image, labels), (query, _) = scan(seed=0), scan(seed=9)
    write_study(tmp_path / "imagesTr", "a", image)
    mvg.write(labels, tmp_path / "labelsTr/a.nii.gz")
    write_study(tmp_path / "queries", "b", query)
    torch.manual_seed(0)
    model = Generalist(replace(tiny_config(), inputs=2)).eval()
    folder = open_prompts(tmp_path, None, (), 2)
    task = Predictor(model).prompt(folder.images, folder.targets, folder.task)
    jobs = plan([tmp_path / "queries/b_0000.nii.gz"], tmp_path / "out", "labels")
    (outcome,) = predict_files(task, jobs)
    assert outcome.error is None
    assert mvg.read_labels(tmp_path / "out/b_0000.nii.gz").same_grid(query)
    (tmp_path / "queries/b_0001.nii.gz").unlink()
    (outcome,) = predict_files(task, jobs)
    assert outcome.error is not None
    assert "add the channel" in outcome.error
