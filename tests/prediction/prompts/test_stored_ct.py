"""CT prompts that are stored with an offset, and that say nothing of it, beside a query in HU."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvg.imaging.files import write
from mvg.imaging.volume import Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.folder import PromptFolder, open_prompts
from tests.prediction.bodies import BONE, CHEST, CT, MR, body, changed, dice, labels_of, predictor, task_of

few = settings(max_examples=8, deadline=None)


def folder_of(folder: Path, levels: tuple[float, ...], offset: float) -> Path:
    """Two pairs, as `task_of` has them, stored with an offset and without negative values."""
    for seed in (1, 2):
        image, labels = body(seed, levels)
        for part, volume in (("images", changed(image, lambda v: np.maximum(v + offset, 0))), ("targets", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            write(volume, folder / part / f"p{seed}.nii.gz")
    return folder


def opened(folder: Path, query: Volume) -> PromptFolder:
    write(query, folder / "query.nii.gz")
    return open_prompts(folder, queries=[folder / "query.nii.gz"])


def prompted(folder: PromptFolder) -> PromptedTask:
    options = PredictionOptions(zoom="off")
    return predictor().prompt(folder.images, folder.targets, options=options, modality=folder.modality)


@few
@given(levels=st.sampled_from([CT, CHEST, BONE]), offset=st.sampled_from([1000, 1024, 1100, 1300]))
def test_a_query_in_hu_shows_that_prompts_are_stored_with_an_offset(
    levels: tuple[float, ...], offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    query, _ = body(9, levels)
    folder = opened(folder_of(tmp_path_factory.mktemp("stored"), levels, offset), query)
    assert folder.modality == "CT"
    task = prompted(folder)
    assert task.prompts.ct_window == task_of(levels).prompts.ct_window
    assert dice(labels_of(task, query), labels_of(task_of(levels), query)) >= 0.98


def test_nothing_is_stated_without_such_a_query(tmp_path: Path) -> None:
    stored = folder_of(tmp_path / "ct", CT, 1024)
    assert open_prompts(stored).modality is None
    assert opened(stored, body(9, MR)[0]).modality is None, "a query of another modality"
    assert opened(stored, changed(body(9, CT)[0], lambda v: v + 1024)).modality is None, "a query that shows nothing"
    assert opened(folder_of(tmp_path / "mr", MR, 0), body(9, CT)[0]).modality is None, "prompts that are no CT"
    (tmp_path / "ct" / "query.nii.gz").write_bytes(b"damaged")
    assert open_prompts(stored, queries=[tmp_path / "ct" / "query.nii.gz"]).modality is None
