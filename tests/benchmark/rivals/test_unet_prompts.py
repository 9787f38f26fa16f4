"""A U-Net that learns from the prompts of a request: the same volumes as in-context methods get, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from mvg.benchmark.protocol.cases import EvalCase, EvalSize, eval_cases
from mvg.benchmark.protocol.method import Budget, TrainingData
from mvg.benchmark.rivals import unet_prompts
from mvg.benchmark.synthetic_sets import make_synthetic_sets
from mvg.data import Store, open_folder
from mvg.imaging.volume import LabelMap
from mvg.tasks import evaluated_tasks


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> EvalCase:
    data_set = open_folder(make_synthetic_sets(tmp_path_factory.mktemp("sets")) / "synthetic_heart")
    return next(eval_cases(data_set, evaluated_tasks(data_set)[0], EvalSize(1, 4, 2), seed=0))


def method(case: EvalCase, folder: Path, seconds: float) -> unet_prompts.PromptTrained:
    options = unet_prompts.Options(size=32, widths=(8, 16, 32), rate=1e-2, seconds=seconds)
    return unet_prompts.fit(options, TrainingData(Store(folder, {}), (case.task,), Budget(), 0, folder))


def test_it_learns_from_the_prompts_of_the_request_alone(case: EvalCase, tmp_path: Path) -> None:
    learned = method(case, tmp_path, 5.0)
    prediction = learned(case.request(2))
    assert isinstance(prediction, LabelMap)
    assert np.array_equal(prediction.affine, case.query.affine)
    true = case.truth.voxels > 0
    overlap = ((prediction.voxels > 0) & true).sum() / ((prediction.voxels > 0) | true).sum()
    assert overlap > 0.3
    assert set(np.unique(prediction.voxels)) <= {0, *case.card.labels}


def test_it_trains_once_for_each_set_of_prompts(
    case: EvalCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    train = unet_prompts.PromptTrained._train
    monkeypatch.setattr(
        unet_prompts.PromptTrained,
        "_train",
        lambda self, request: (trained.append(len(request.prompts)), train(self, request))[1],
    )
    learned = method(case, tmp_path, 0.1)
    for count in (2, 2, 1, 1):
        learned(case.request(count))
    assert trained == [2, 1]
