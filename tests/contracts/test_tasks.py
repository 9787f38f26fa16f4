"""What every kind of task promises, on every made data set that it is offered by."""

import pickle

import numpy as np
import pytest

from mvg._plugins import contributions
from mvg.data import Card, Store, prepare
from mvg.tasks import Task, kinds, tasks_for
from tests.data.folders import make_ct, make_mri, write_description

KINDS = sorted(contributions(kinds))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Labeled MRI with two contrasts, single slices of heads, CT in HU, CT pairs, and ultrasound."""
    folder = tmp_path_factory.mktemp("contract")
    sets = [
        make_mri(folder / "heads", {"pat1": (40, 48, 3), "pat2": (44, 40, 3)}, channels=2),
        make_mri(folder / "film", {"pat1": (50, 37, 1), "pat2": (30, 40, 1)}, ending=".png"),
        make_ct(folder / "ct"),
        make_ct(folder / "pairs", target=True),
        make_mri(folder / "echo", {"pat1": (50, 37, 1), "pat2": (30, 40, 1)}, ending=".png"),
    ]
    png = {"channel_names": {"0": "picture"}, "file_ending": ".png", "patient": r"[a-z]+\d+"}
    write_description(sets[1], **png, modality="MRI", labels={"background": 0, "brain": 1, "skull": 2})
    write_description(sets[-1], **png, modality="ultrasound", labels={"background": 0, "organ": 1, "tumor": 2})
    prepare(sets, folder / "store")
    return Store.open(folder / "store")


def tasks_of(store: Store, kind: str) -> list[tuple[str, Task]]:
    return [(name, task) for name, data in store.sets.items() for task in tasks_for(data.card) if task.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_offers_tasks_that_are_named_after_the_kind(store: Store, kind: str) -> None:
    tasks = tasks_of(store, kind)
    assert tasks
    assert all(task.name.startswith(f"{kind}:") for _, task in tasks)
    assert all(task.card == store.sets[name].card for name, task in tasks)
    assert len({(name, task.name) for name, task in tasks}) == len(tasks)


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_without_anything_to_learn_offers_nothing(kind: str) -> None:
    assert contributions(kinds)[kind].offered_by(Card("x", "x", "photograph", "", ("RGB",))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_have_the_promised_shape_type_and_range(store: Store, kind: str) -> None:
    for name, task in tasks_of(store, kind):
        data = store.sets[name]
        accepted = [row for row in data.rows if task.accepts(row)]
        assert accepted, f"{task.name} accepts no slice of {name}"
        for row in accepted:
            for stored in (data[row.number], data[row.number].random_crop(16, np.random.default_rng(row.number))):
                image, target = task.pair(stored, np.random.default_rng(0))
                assert image.shape[1:] == target.shape[-2:] == stored.images.shape[-2:]
                assert target.shape[:-2] == ((2,) if task.spec.target_type == "field" else ())
                assert len(image) == task.spec.inputs
                assert image.dtype == np.float32
                assert image.min() >= 0
                assert image.max() <= 1
                if task.spec.target_type == "labels":
                    assert target.dtype == np.uint8
                    assert set(np.unique(target)) <= {0, *task.card.labels}
                elif task.spec.target_type == "field":
                    assert target.dtype == np.float32
                    assert np.abs(target).max() < 0.1 * target.shape[-1]
                else:
                    assert target.dtype == np.float32
                    assert target.min() >= 0
                    assert target.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_depend_on_the_generator_alone(store: Store, kind: str) -> None:
    for name, task in tasks_of(store, kind):
        row = next(row for row in store.sets[name].rows if task.accepts(row))
        first, again = (task.pair(store.sets[name][row.number], np.random.default_rng(5)) for _ in range(2))
        assert np.array_equal(first[0], again[0])
        assert np.array_equal(first[1], again[1])


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_can_be_pickled_for_workers(store: Store, kind: str) -> None:
    for _, task in tasks_of(store, kind):
        assert pickle.loads(pickle.dumps(task)) == task


def test_every_data_set_of_the_paper_gets_its_task(store: Store) -> None:
    names = {name: {task.name for task in tasks_for(data.card)} for name, data in store.sets.items()}
    assert {"segmentation:contrast 0", "segmentation:contrast 1", "inpainting:contrast 0"} <= names["heads"]
    assert {"synthesis:contrast 0->contrast 1", "synthesis:contrast 1->contrast 0"} <= names["heads"]
    assert {"denoising:CT@50%", "denoising:CT@25%", "denoising:CT@10%, lung"} <= names["ct"]
    assert names["pairs"] == {"denoising:CT, low dose", "denoising:CT, low dose, lung"}
