"""Laws of training episodes."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mvg.canvas import Pairs
from mvg.data import Store, prepare
from mvg.data.case import split_of
from mvg.errors import RecipeError, UnknownNameError
from mvg.training.augmentation import AugmentationSettings
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.loading import loader
from mvg.training.requests import EpisodeSettings
from mvg.training.task_sources import task_sources
from tests.data.folders import make_mri
from tests.training.conftest import TRAIN, VAL

SETTINGS = EpisodeSettings(batch=2, panels=(2, 4), classes=(1, 2))

# Mean of the images and of the targets of the first 20 batches, before requests of one volume existed.
FIRST_BATCHES = (
    (0.45903, 0.02075), (0.53631, 0.02295), (0.32806, 0.02821), (0.52857, 0.45844), (0.44171, 0.05607),
    (0.39313, 0.03602), (0.63391, 0.04398), (0.42101, 0.42421), (0.28489, 0.28492), (0.42780, 0.40374),
    (0.43106, 0.01780), (0.33811, 0.03735), (0.31077, 0.04264), (0.38221, 0.05463), (0.64172, 0.03817),
    (0.24951, 0.03461), (0.49588, 0.02551), (0.37111, 0.37111), (0.51988, 0.35767), (0.45128, 0.04065),
)  # fmt: skip


def episodes(
    store: Store, settings: EpisodeSettings = SETTINGS, seed: int = 0, rank: int = 0, kinds: tuple[str, ...] = ()
) -> Episodes:
    return Episodes(EpisodeData(store, kinds=kinds), settings, AugmentationSettings(), 32, seed, rank)


def same(one: Pairs, two: Pairs) -> bool:
    return one.images.shape == two.images.shape and torch.equal(one.images, two.images) and one.names == two.names


@pytest.fixture(scope="module")
def drawn(store: Store) -> list[Pairs]:
    made = episodes(store)
    return [made[step] for step in range(30)]


def test_a_step_is_always_the_same(store: Store, drawn: list[Pairs]) -> None:
    again = episodes(store)
    for step in (7, 0, 21):
        assert same(again[step], drawn[step])
    assert not same(drawn[0], drawn[1])
    assert not any(same(episodes(store, seed=1)[step], drawn[step]) for step in range(3))


def test_batches_without_requests_of_one_volume_are_as_before_these_existed(store: Store) -> None:
    settings = replace(
        SETTINGS, sizes=(24, 32), label_fraction=0.65, zoom_fraction=0.35, synthetic_fraction=0.25,
        empty_query_fraction=0.35, mixed_fraction=0.5, imperfect_prompt_fraction=0.5,
    )  # fmt: skip
    made = Episodes(EpisodeData(store), settings, AugmentationSettings(remap_fraction=0.2), 32, seed=0)
    means = [(float(made[step].images.mean()), float(made[step].targets.mean())) for step in range(20)]
    np.testing.assert_allclose(means, FIRST_BATCHES, atol=2e-5)


def test_processes_share_the_kind_of_request_and_draw_their_own_slices(store: Store, drawn: list[Pairs]) -> None:
    other = episodes(store, rank=1)
    for step in range(12):
        assert other[step].images.shape == drawn[step].images.shape, "or processes would wait for one another"
        assert other[step].target_type == drawn[step].target_type
        assert not same(other[step], drawn[step])


def test_no_patient_appears_twice_in_a_request_and_none_is_for_validation(drawn: list[Pairs]) -> None:
    for pairs in drawn:
        for names in pairs.patients:
            assert len(set(names)) == len(names)
            assert all(split_of(name) == "train" for name in names)


def test_batches_are_well_formed(drawn: list[Pairs]) -> None:
    for pairs in drawn:
        assert pairs.images.shape[0] == len(pairs.patients) == len(pairs.names) == 2
        assert 2 <= pairs.images.shape[1] <= 4
        assert pairs.images.min() >= 0
        assert pairs.images.max() <= 1
        assert pairs.used.any(1).all()
        assert pairs.targets[~pairs.used[:, None].expand(pairs.targets.shape[:3])].abs().sum() == 0
        if pairs.target_type == "labels":
            assert set(pairs.targets.unique().tolist()) <= {0.0, 1.0}
            assert pairs.targets.sum(2).max() <= 1
            assert pairs.targets.shape[2] <= 2
        else:
            assert pairs.targets.shape[2] == 1


def test_all_that_the_sets_offer_is_drawn(store: Store) -> None:
    made = episodes(store, replace(SETTINGS, panels=(2, 2)))
    kinds = Counter(name.split("/")[1].split(":")[0] for step in range(80) for name in made[step].names)
    assert set(kinds) == {"segmentation", "synthesis", "inpainting", "denoising"}
    assert 40 < kinds["segmentation"] < 120, "about half of 160"


def test_kinds_may_be_chosen(store: Store) -> None:
    made = episodes(store, kinds=("synthesis",))
    for step in range(5):
        assert all(name.split("/")[1].startswith("synthesis:") for name in made[step].names)


def test_the_share_of_labels_is_kept(store: Store) -> None:
    for share, kind in ((0.0, "image"), (1.0, "labels")):
        made = episodes(store, replace(SETTINGS, label_fraction=share))
        assert {made[step].target_type for step in range(6)} == {kind}


def test_colors_differ_within_a_request(store: Store) -> None:
    made = episodes(store, replace(SETTINGS, label_fraction=1.0, classes=(2, 2)))
    for step in range(5):
        pairs = made[step]
        for colors, used in zip(pairs.colors, pairs.used, strict=True):
            chosen = colors[used].tolist()
            assert len(set(chosen)) == len(chosen)
            assert all(0 < color <= 1 for color in chosen)


@pytest.mark.parametrize("coloring", ["binary", "predefined"])
def test_other_colorings(store: Store, coloring: str) -> None:
    made = episodes(store, replace(SETTINGS, label_fraction=1.0, classes=(1, 2), coloring=coloring))  # type: ignore[arg-type]
    for step in range(5):
        pairs = made[step]
        assert (pairs.colors[pairs.used] > 0).all()
        if coloring == "binary":
            assert pairs.colors.unique().tolist() == [1.0]
            assert pairs.targets.shape[2] == 1


def test_prompts_and_query_show_something(store: Store) -> None:
    made = episodes(store, replace(SETTINGS, label_fraction=1.0, empty_query_fraction=0.0, classes=(1, 1)))
    shows = [pairs.targets[row, :-1].any().item() for pairs in (made[step] for step in range(12)) for row in range(2)]
    assert sum(shows) >= 22


def test_prompts_always_show_something_and_queries_lack_it_as_often_as_they_do(store: Store) -> None:
    shares = []
    for absent in (0.0, 1.0):
        made = episodes(store, replace(SETTINGS, label_fraction=1.0, empty_query_fraction=absent, position_jitter=0.5))
        pairs = [made[step].targets for step in range(60)]
        nonempty = [target[row, :-1].any().item() for target in pairs for row in range(2)]
        assert np.mean(nonempty) > 0.9
        shares.append(np.mean([target[row, -1].any().item() for target in pairs for row in range(2)]))
    assert shares[1] < shares[0]


def test_picture_sizes_are_drawn_per_step(store: Store) -> None:
    made = episodes(store, replace(SETTINGS, sizes=(16, 24)))
    assert {made[step].images.shape[-1] for step in range(12)} == {16, 24}


def test_pairs_of_chosen_patients_end_with_the_query(store: Store) -> None:
    made = episodes(store)
    source = next(iter(task_sources(store, ("train", "val"), ("segmentation",))["labels"].values()))[0][0]
    pairs = made.request(source, [TRAIN[0], TRAIN[3], VAL[0]], np.random.default_rng(0))
    assert pairs.patients == ((TRAIN[0], TRAIN[3], VAL[0]),)
    assert pairs.images.shape == (1, 3, 1, 32, 32)


def test_sources_keep_to_their_side(store: Store) -> None:
    for split in ("train", "val"):
        sources = task_sources(store, (split,), ())
        patients = {
            p for kinds in sources.values() for sets in kinds.values() for s in sets for one in s for p in one.patients
        }
        assert {split_of(patient) for patient in patients} == {split}


def test_too_few_patients_is_an_error(tmp_path: Path) -> None:
    make_mri(tmp_path / "few", {TRAIN[0]: (16, 16, 2), TRAIN[1]: (16, 16, 2)})
    prepare([tmp_path / "few"], tmp_path / "store")
    with pytest.raises(RecipeError, match="has 3 patients"):
        episodes(Store.open(tmp_path / "store"), replace(SETTINGS, panels=(3, 4)))
    made = episodes(Store.open(tmp_path / "store"), replace(SETTINGS, panels=(2, 4)))
    assert {made[step].images.shape[1] for step in range(6)} == {2}, "fewer panels where patients run out"


def test_batches_come_in_order_from_any_step_and_any_number_of_workers(store: Store, drawn: list[Pairs]) -> None:
    for workers in (0, 1):
        for step, pairs in zip((4, 5), islice(loader(episodes(store), 4, workers), 2), strict=True):
            assert same(pairs, drawn[step])


def test_a_share_of_the_patients_is_the_same_for_a_seed_and_never_none(store: Store) -> None:
    def used(settings: EpisodeSettings, seed: int = 0) -> set[str]:
        made = episodes(store, settings, seed)
        return {
            f"{one.set.card.name}/{patient}"
            for kinds in made.sources.values()
            for sets in kinds.values()
            for sources in sets
            for one in sources
            for patient in one.patients
        }

    everyone, one = used(SETTINGS), replace(SETTINGS, max_patients=1, prompt_patients="any")
    half = used(replace(SETTINGS, patient_fraction=0.5))
    assert half < everyone
    assert len(half) == pytest.approx(len(everyone) / 2, abs=len(store.sets))
    assert used(replace(SETTINGS, patient_fraction=0.5)) == half
    assert len(used(one)) == len(store.sets) == len(used(replace(one, patient_fraction=0.001)))
    assert {frozenset(used(one, seed)) for seed in range(6)} != {frozenset(used(one))}


def test_a_set_is_drawn_as_much_more_often_as_its_weight_says(store: Store) -> None:
    def shares(weights: dict[str, float]) -> Counter[str]:
        made = episodes(store, replace(SETTINGS, set_weights=weights), kinds=("inpainting",))
        names = [name.split("/")[0] for step in range(80) for name in made[step].names]
        return Counter({name: count / len(names) for name, count in Counter(names).items()})

    plain = shares({})
    (chosen, before), (other, _) = plain.most_common(2)
    assert shares({chosen: 1e6}) == {chosen: 1.0}
    assert other in shares({chosen: 1e-6})
    assert chosen not in shares({chosen: 1e-6})
    assert shares({chosen: 3.0})[chosen] == pytest.approx(3 * before / (1 + 2 * before), abs=0.1)
    with pytest.raises(UnknownNameError, match="absent"):
        shares({"absent": 2.0})


def test_a_kind_of_task_is_drawn_as_much_more_often_as_its_weight_says(store: Store) -> None:
    def shares(weights: dict[str, float], same_volume: float = 0.0) -> Counter[str]:
        settings = replace(SETTINGS, kind_weights=weights, label_fraction=0.0, same_volume_fraction=same_volume)
        made = episodes(store, settings, kinds=("inpainting", "synthesis"))
        names = [name.split("/")[1].split(":")[0] for step in range(80) for name in made[step].names]
        return Counter({name: count / len(names) for name, count in Counter(names).items()})

    assert shares({})["inpainting"] == pytest.approx(0.5, abs=0.1)
    assert shares({"inpainting": 3.0})["inpainting"] == pytest.approx(0.75, abs=0.1)
    assert shares({"synthesis": 1e6}) == {"synthesis": 1.0}
    assert shares({"synthesis": 1e6}, same_volume=1.0) == {"synthesis": 1.0}


def test_one_patient_is_enough_where_any_may_prompt(store: Store) -> None:
    pairs = episodes(store, replace(SETTINGS, max_patients=1, prompt_patients="any"))[0]
    assert pairs.patients == (("",) * pairs.images.shape[1],) * 2
    assert not torch.equal(pairs.images[0, 0], pairs.images[0, 1]), "changed at random, each pair by itself"


def test_zoomed_requests_magnify_labels(store: Store) -> None:
    plain = AugmentationSettings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def visible_share(zoom_fraction: float) -> float:
        settings = replace(SETTINGS, label_fraction=1.0, empty_query_fraction=0.0, zoom_fraction=zoom_fraction)
        made = Episodes(EpisodeData(store), settings, plain, 32, seed=0)
        return float(np.mean([float(made[step].targets.sum(2).mean()) for step in range(12)]))

    assert visible_share(1.0) > 1.5 * visible_share(0.0)


def test_pictures_of_an_episode_share_their_curve(store: Store) -> None:
    settings = replace(SETTINGS, label_fraction=0.0, batch=1)
    plain = AugmentationSettings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, remap_fraction=1.0)
    made = Episodes(EpisodeData(store, kinds=("inpainting",)), settings, plain, 32, seed=0)
    pairs = next(made[step] for step in range(20) if made[step].names[0].startswith("mri"))
    medians = []
    for image, target in zip(pairs.images[0], pairs.targets[0], strict=True):
        levels = (image * 20).round()  # rims of voids aside, a level is a level of the target
        medians.append({int(one): float(target[levels == one].median()) for one in levels.unique() if one > 6})
    shared = set(medians[0]) & set(medians[1])
    assert len(shared) > 3
    assert all(abs(medians[0][one] - medians[1][one]) < 0.15 for one in shared), (
        "one intensity, one answer, in all panels"
    )
    assert any(abs(medians[0][one] - one / 20) > 0.2 for one in shared), "and not the intensity itself"
