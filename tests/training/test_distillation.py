"""Distillation: the teacher's answers are learned beside the truth, from the same requests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mvg.canvas import Pairs
from mvg.errors import RecipeError
from mvg.model.generalist import Generalist
from mvg.model.outputs import ModelOutput
from mvg.model.weights import save_weights
from mvg.training.batch import ObjectiveContext, TrainingBatch
from mvg.training.distillation import DistillationSettings, Teacher, load_teacher, soft_targets
from mvg.training.losses import LossSettings, loss_of
from mvg.training.objectives import autoregressive
from tests.training.conftest import Make, run


def pairs_of(target_type: Any = "labels") -> Pairs:
    torch.manual_seed(0)
    images, used = torch.rand(2, 3, 1, 16, 16), torch.tensor([[True, True], [True, False]])
    targets = torch.zeros(2, 3, 2, 16, 16)
    targets[:, :, 0, :8] = 1
    if target_type == "image":
        targets, used = torch.rand(2, 3, 1, 16, 16), used[:, :1]
    return Pairs(images, targets, used, torch.ones(used.shape), (("a", "b", "c"),) * 2, target_type, ("s/t",) * 2)


class Fixed(torch.nn.Module):
    """A teacher that always gives the same answers."""

    def __init__(self, logits: torch.Tensor, pictures: torch.Tensor) -> None:
        super().__init__()
        self.output = ModelOutput(logits, pictures, None)

    def forward(self, *_: Any) -> ModelOutput:
        return self.output


def batch_of(pairs: Pairs) -> TrainingBatch:
    return autoregressive.make_batch(pairs, 8, ObjectiveContext(torch.Generator(), 0.75))


def loss_of_student(teacher: Teacher, pairs: Pairs, logits: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    output = ModelOutput(logits, pictures, None)
    return teacher.loss(output, batch_of(pairs), pairs, 8, LossSettings(dice=0.0))


@pytest.mark.parametrize("target_type", ["labels", "image"])
def test_a_teacher_alone_is_learned_exactly(target_type: str) -> None:
    """With a share of 1 the loss is least, and its gradient 0, where the student answers as the teacher does."""
    pairs = pairs_of(target_type)
    shape = pairs.targets[:, 1:].shape
    logits, pictures = torch.randn(shape), torch.rand(shape)
    teacher = Teacher(Fixed(logits, pictures), share=1.0)
    student, painted = logits.clone().requires_grad_(), pictures.clone().requires_grad_()
    loss_of_student(teacher, pairs, student, painted).backward()
    gradient = student.grad if target_type == "labels" else painted.grad
    assert gradient is not None
    assert gradient.abs().max() < 1e-6
    other = loss_of_student(teacher, pairs, logits + 0.5 * torch.randn(shape), pictures + 0.5)
    assert other > loss_of_student(teacher, pairs, logits, pictures)


def test_the_share_weighs_truth_and_teacher() -> None:
    pairs = pairs_of()
    logits, given = torch.randn(pairs.targets[:, 1:].shape), torch.randn(pairs.targets[:, 1:].shape)
    teachers = [Teacher(Fixed(logits, given), share) for share in (0.0, 0.5, 1.0)]
    losses = [float(loss_of_student(teacher, pairs, given, given)) for teacher in teachers]
    truth = loss_of(ModelOutput(given, given, None), batch_of(pairs), pairs, 8, LossSettings(dice=0.0))
    assert losses[0] == pytest.approx(float(truth))
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2)


def test_channels_that_only_pad_a_request_have_no_probability() -> None:
    pairs = pairs_of()
    soft = soft_targets(ModelOutput(torch.full((2, 2, 2, 16, 16), 5.0), torch.zeros(2, 2, 2, 16, 16), None), pairs)
    assert (soft[1, :, 1] == 0).all()
    assert soft[0].sum(1).max() < 1


def test_a_run_learns_from_its_teacher(make_recipe: Make, tmp_path: Path) -> None:
    torch.manual_seed(5)
    plain = make_recipe(schedule={"steps": 3})
    folder = save_weights(Generalist(replace(plain.model, width=48)), tmp_path / "teacher", "card").folder
    taught = make_recipe(schedule={"steps": 3}, distillation={"teacher": str(folder), "share": 0.5})
    alone, beside = run(plain, tmp_path / "alone"), run(taught, tmp_path / "taught")
    assert alone != pytest.approx(beside, rel=1e-3)
    none = make_recipe(schedule={"steps": 3}, distillation={"teacher": str(folder), "share": 0.0})
    assert run(none, tmp_path / "none") == alone, "a teacher without a share changes nothing"


def test_a_teacher_that_cannot_answer_is_refused(make_recipe: Make, tmp_path: Path) -> None:
    config = make_recipe().model
    folder = save_weights(Generalist(replace(config, patch=16)), tmp_path / "teacher", "card").folder
    with pytest.raises(RecipeError, match=r"patches of 16 pixels.*patches of 8 pixels"):
        load_teacher(DistillationSettings(str(folder)), config)
    with pytest.raises(RecipeError, match="painted labels"):
        load_teacher(DistillationSettings(str(folder)), replace(config, patch=16, paint=True))
