"""Batches come in the order of their steps, whoever makes them, and shards give the losses of the store."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from torch.utils.data import Dataset

from mvg.data import Store
from mvg.data.shards import write_shards
from mvg.training.loading import loader
from mvg.training.recipe import DataSettings
from tests.training.conftest import Make, run


class Steps(Dataset[str]):
    """Step -> a batch that names it."""

    def __getitem__(self, step: int) -> str:
        if step == 13:
            raise ValueError("step 13")
        return f"step {step}"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("read_ahead", [0, 3])
def test_steps_come_in_order(workers: int, read_ahead: int) -> None:
    batches = loader(Steps(), 4, workers, read_ahead)
    assert list(islice(batches, 7)) == [f"step {step}" for step in range(4, 11)]


def test_an_error_of_a_thread_reaches_the_run() -> None:
    batches = loader(Steps(), 10, 0, 8)
    assert list(islice(batches, 3)) == ["step 10", "step 11", "step 12"]
    with pytest.raises(ValueError, match="step 13"):
        next(batches)


@pytest.mark.parametrize(
    ("store", "given", "ahead"),
    [("store", None, 0), ("s3://bucket/set", None, 8), ("s3://bucket/set", 0, 0), ("x", 3, 3)],
)
def test_steps_are_made_ahead_where_the_store_is_far_away(store: str, given: int | None, ahead: int) -> None:
    assert DataSettings(store, read_ahead=given).steps_ahead == ahead


def test_shards_give_the_losses_of_the_store(store: Store, make_recipe: Make, tmp_path: Path) -> None:
    write_shards(Path(store.folder), tmp_path / "shards", 30_000)
    recipe = make_recipe(schedule={"steps": 50, "checkpoint_minutes": 0.0})
    expected = run(recipe, tmp_path / "store_run")
    sharded = replace(recipe, data=replace(recipe.data, store=str(tmp_path / "shards"), read_ahead=4))
    before = run(sharded, tmp_path / "shard_run", kill_after=21)
    after = run(sharded, tmp_path / "shard_run")
    assert len(expected) == 50
    assert before[:20] + after == expected
