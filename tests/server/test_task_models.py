"""A task that grows by examples: what is there is used again, what one example decided is decided anew."""

from pathlib import Path
from typing import Any

import pytest

from mvg.imaging.files import write
from mvg.imaging.volume import Volume
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.server.workbench import Workbench
from tests.server.clients import make_studies, serving


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Five studies with labels beside them."""
    for number, labels in enumerate(make_studies(tmp_path, 5)):
        write(labels, tmp_path / f"scan{number}_labels.nii.gz")
    return tmp_path


def test_magnification_is_planned_anew_when_examples_have_doubled(
    labeled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []
    prompt = Predictor.prompt

    def counted(self: Predictor, images: list[Volume], *rest: Any, **more: Any) -> PromptedTask:
        planned.append(len(images))
        return prompt(self, images, *rest, **more)

    monkeypatch.setattr(Predictor, "prompt", counted)
    with serving(labeled) as client:
        workbench: Workbench = client.workbench  # type: ignore[attr-defined]
        task = client.task()["id"]
        for count, study in enumerate(client.studies(), 1):
            client.post(f"/tasks/{task}/examples", {"study": study["id"]}, status=201)
            prompted = workbench.models.prompted(task)
            assert prompted is not None
            assert len(set(prompted.prompts.volume.tolist())) == count
    assert planned == [1, 2, 4]
