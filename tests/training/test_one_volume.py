"""Requests of one volume: prompts are other slices of the query's own volume, some of them imperfect."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mvg.canvas import Pairs, all_visible, compose
from mvg.data import Store, prepare
from mvg.data.store import SliceRow
from mvg.errors import RecipeError
from mvg.training.augmentation import AugmentationSettings, Change, sample
from mvg.training.episodes import EpisodeData, Episodes
from mvg.training.requests import EpisodeSettings
from tests.data.folders import make_mri
from tests.training.conftest import TRAIN

SETTINGS = EpisodeSettings(batch=2, panels=(3, 5), classes=(2, 2), label_fraction=1.0, same_volume_fraction=1.0)
PLAIN = AugmentationSettings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
LENGTH = 12


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`heads` has two volumes of 12 slices for each of four patients; `films` has single pictures of other patients."""
    folder = tmp_path_factory.mktemp("volumes")
    make_mri(folder / "raw/heads", {f"{name}{scan}": (24, 20, LENGTH) for name in TRAIN[:4] for scan in "ab"})
    make_mri(folder / "raw/films", dict.fromkeys(TRAIN, (24, 20, 1)))
    prepare([folder / "raw/heads", folder / "raw/films"], folder / "prepared")
    store = Store.open(folder / "prepared")
    assert len({row.patient for row in store.sets["heads"].rows}) == 4
    return store


def batches(
    store: Store, settings: EpisodeSettings, count: int = 30, augmentation: AugmentationSettings = PLAIN
) -> list[Pairs]:
    episodes = Episodes(EpisodeData(store, kinds=("segmentation",)), settings, augmentation, 32, seed=0)
    return [episodes[step] for step in range(count)]


def requests(store: Store, settings: EpisodeSettings) -> list[tuple[Pairs, int, list[SliceRow]]]:
    """The batch, its number in the batch, and the rows of each request of 30 batches."""
    return [
        (pairs, request, [store.sets[pairs.names[request].split("/")[0]].rows[number] for number in numbers])
        for pairs in batches(store, settings)
        for request, numbers in enumerate(pairs.slices)
    ]


def test_prompts_are_other_slices_of_the_querys_volume(volumes: Store) -> None:
    for pairs, request, rows in requests(volumes, SETTINGS):
        assert pairs.same_volume[request]
        assert pairs.names[request].startswith("heads/"), "single pictures have no other slices"
        assert {row.case for row in rows} == {rows[-1].case}, "one volume, not another one of the same patient"
        assert pairs.patients[request] == tuple(row.patient for row in rows)
        assert len({row.index for row in rows}) == len(rows), "no slice appears twice"


def test_every_pair_may_be_the_query_of_those_before_it(volumes: Store) -> None:
    for pairs in batches(volumes, replace(SETTINGS, mixed_fraction=0.5)):
        compose(pairs, all_visible(pairs, 8), first_query=1)


def test_annotated_slices_lie_near_and_far_on_both_sides_or_on_one_and_may_be_empty(volumes: Store) -> None:
    drawn = [rows for _, _, rows in requests(volumes, SETTINGS)]
    distances = {abs(row.index - rows[-1].index) for rows in drawn for row in rows[:-1]}
    assert distances >= {1, 2, 3, 5, 8}
    between = [
        min(row.index for row in rows[:-1]) < rows[-1].index < max(row.index for row in rows[:-1]) for rows in drawn
    ]
    assert 0.2 < np.mean(between) < 0.8
    assert any(not rows[-1].label_values for rows in drawn), "an empty query"
    assert any(not row.label_values for rows in drawn for row in rows[:-1]), "an empty prompt"


def test_some_prompt_of_the_volume_shows_labels(volumes: Store) -> None:
    drawn = [rows for _, _, rows in requests(volumes, replace(SETTINGS, panels=(2, 2), batch=8))]
    assert all(rows[0].label_values for rows in drawn)
    assert not all(rows[1].label_values for rows in drawn)


def test_mixed_requests_hold_prompts_of_the_volume_and_of_other_patients(volumes: Store) -> None:
    first_in_volume, counts = set(), set()
    for pairs, request, rows in requests(volumes, replace(SETTINGS, mixed_fraction=1.0)):
        *prompts, query = rows
        in_volume = [row for row in prompts if row.case == query.case]
        others = [row for row in prompts if row.patient != query.patient]
        assert pairs.same_volume[request]
        assert in_volume
        assert others
        assert len(in_volume) + len(others) == len(prompts), "no other volume of the query's patient"
        assert len({row.patient for row in others}) == len(others)
        first_in_volume.add(prompts[0] in in_volume)
        counts.add((len(prompts), len(in_volume)))
    assert first_in_volume == {True, False}, "in any order"
    assert counts == {(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)}


def test_a_request_of_one_prompt_is_never_mixed(volumes: Store) -> None:
    for _, _, rows in requests(volumes, replace(SETTINGS, panels=(2, 2), mixed_fraction=1.0)):
        assert rows[0].case == rows[1].case


def test_a_share_of_the_requests_is_of_one_volume(volumes: Store) -> None:
    drawn = requests(volumes, replace(SETTINGS, panels=(3, 3), same_volume_fraction=0.4))
    declared = [pairs.same_volume[request] for pairs, request, _ in drawn]
    assert 0.2 < np.mean(declared) < 0.6
    for pairs, request, rows in drawn:
        assert pairs.same_volume[request] or len({row.patient for row in rows}) == len(rows)


def test_requests_of_pictures_are_of_one_volume_too(volumes: Store) -> None:
    settings = replace(SETTINGS, panels=(2, 3), label_fraction=0.0)
    episodes = Episodes(EpisodeData(volumes, kinds=("inpainting",)), settings, PLAIN, 32, seed=0)
    for pairs in (episodes[step] for step in range(8)):
        assert pairs.target_type == "image"
        assert all(pairs.same_volume)
        for numbers in pairs.slices:
            rows = [volumes.sets["heads"].rows[number] for number in numbers]
            assert {row.case for row in rows} == {rows[-1].case}
            assert len({row.index for row in rows}) == len(rows)


def test_requests_of_one_volume_are_not_replaced_by_synthetic_regions(volumes: Store) -> None:
    for pairs in batches(volumes, replace(SETTINGS, synthetic_fraction=1.0), 4):
        assert all(pairs.same_volume)
        assert not torch.equal(pairs.images[:, 0], pairs.images[:, 1])


def test_a_store_without_long_volumes_is_an_error(volumes: Store, store: Store, tmp_path: Path) -> None:
    make_mri(tmp_path / "films", dict.fromkeys(TRAIN, (24, 20, 1)))
    prepare([tmp_path / "films"], tmp_path / "store")
    with pytest.raises(RecipeError, match=r"episodes.same_volume_fraction = 1.0, .* labelled volume of 3 slices"):
        batches(Store.open(tmp_path / "store"), SETTINGS)
    with pytest.raises(RecipeError, match="volume of 13 slices"):
        batches(volumes, replace(SETTINGS, panels=(LENGTH + 1, LENGTH + 1), prompt_patients="any"))
    batches(volumes, replace(SETTINGS, panels=(LENGTH, LENGTH), prompt_patients="any"), 1)


def test_imperfect_prompts_differ_from_the_labels_of_the_store_and_the_query_does_not(volumes: Store) -> None:
    settings = replace(SETTINGS, imperfect_prompt_fraction=1.0)
    heads = volumes.sets["heads"]
    for pairs in batches(volumes, settings, 10):
        assert pairs.prompt_targets is not None
        for targets, prompts, numbers, used in zip(
            pairs.targets, pairs.prompt_targets, pairs.slices, pairs.used, strict=True
        ):
            assert torch.equal(prompts[-1], targets[-1])
            for panel, number in enumerate(numbers):
                stored = heads[number]
                assert stored.labels is not None
                labels = sample(np.array(stored.labels), stored.row.box, Change((False, False), False), 32, "nearest")
                true = [labels == value for value in (1, 2)]
                assert all(any(torch.equal(t.bool(), one) for one in true) for t in targets[panel][used])
                if panel < len(numbers) - 1 and targets[panel][used].any() and used.all():
                    assert not torch.equal(prompts[panel], targets[panel])


def test_a_share_of_the_prompts_is_imperfect(volumes: Store) -> None:
    differ = []
    for pairs in batches(volumes, replace(SETTINGS, imperfect_prompt_fraction=0.3)):
        assert pairs.prompt_targets is not None
        changed = (pairs.prompt_targets != pairs.targets).flatten(2).any(2)[:, :-1]
        differ += changed[pairs.targets[:, :-1].flatten(2).any(2)].tolist()
    assert 0.15 < np.mean(differ) < 0.45
    assert all(pairs.prompt_targets is None for pairs in batches(volumes, SETTINGS, 3))


def test_prompts_of_other_patients_stay_as_they_are(volumes: Store) -> None:
    settings = replace(SETTINGS, panels=(3, 3), same_volume_fraction=0.0, imperfect_prompt_fraction=1.0)
    assert all(pairs.prompt_targets is None for pairs in batches(volumes, settings, 5))


def test_the_canvas_shows_the_imperfect_prompts(volumes: Store) -> None:
    pairs = batches(volumes, replace(SETTINGS, imperfect_prompt_fraction=1.0), 1)[0]
    canvas = compose(pairs, all_visible(pairs, 8), first_query=1)
    assert pairs.prompt_targets is not None
    assert torch.equal(canvas.targets, pairs.prompt_targets)
    assert not torch.equal(canvas.targets, pairs.targets)


def overlap(pairs: Pairs) -> list[float]:
    """IoU of the union of all labels in the query and each prompt, where both have labels."""
    masks = pairs.targets.sum(2) > 0
    both = [(one, row[-1]) for row in masks for one in row[:-1] if one.any() and row[-1].any()]
    return [float((one & two).sum() / (one | two).sum()) for one, two in both]


def test_a_volume_is_not_turned_slice_by_slice(volumes: Store) -> None:
    """The organs are the same in all slices but the last of a volume, and of all volumes."""
    strong = AugmentationSettings((0.7, 1.3), 45.0, 0.2, 0.0, 0.0, 0.0, 0.0)
    still, moving = [], []
    for share, overlaps in ((1.0, still), (0.0, moving)):
        settings = replace(SETTINGS, panels=(3, 3), same_volume_fraction=share)
        for pairs in batches(volumes, settings, augmentation=strong):
            overlaps += overlap(pairs)
    assert np.mean(still) > 0.65 > 0.35 > np.mean(moving)
    assert min(still) < 1, "a small jitter remains"


def test_a_mixed_request_turns_other_patients_by_themselves(volumes: Store) -> None:
    strong = AugmentationSettings((0.7, 1.3), 45.0, 0.2, 0.0, 0.0, 0.0, 0.0)
    settings = replace(SETTINGS, mixed_fraction=1.0)
    overlaps = [
        float((one & row[-1]).sum() / (one | row[-1]).sum())
        for pairs in batches(volumes, settings, augmentation=strong)
        for row, patients in zip(pairs.targets.sum(2) > 0, pairs.patients, strict=True)
        for one, patient in zip(row[:-1], patients, strict=False)
        if patient != patients[-1] and one.any() and row[-1].any()
    ]
    assert np.mean(overlaps) < 0.35


def test_slices_of_a_volume_share_their_tone_but_not_their_noise(volumes: Store) -> None:
    def spread(share: float) -> float:
        toned = replace(PLAIN, tone=1.0)
        settings = replace(SETTINGS, panels=(3, 3), same_volume_fraction=share)
        means = [pairs.images.mean((2, 3, 4)).std(1) for pairs in batches(volumes, settings, 15, toned)]
        return float(torch.cat(means).mean())

    assert spread(1.0) < 0.2 * spread(0.0)
    noisy = replace(PLAIN, noise=0.2)
    for clean, noised in zip(
        batches(volumes, SETTINGS, 10), batches(volumes, SETTINGS, 10, noisy), strict=True
    ):  # settings change no draw of slices
        added = noised.images - clean.images
        inside = (noised.images > 0) & (noised.images < 1)
        first, second = added[:, 0], added[:, 1]
        common = inside[:, 0] & inside[:, 1]
        if common.any() and first[common].std() > 0.01:
            assert torch.corrcoef(torch.stack([first[common], second[common]]))[0, 1].abs() < 0.3


def test_zoomed_slices_of_a_volume_keep_their_alignment(volumes: Store) -> None:
    settings = replace(SETTINGS, panels=(3, 3), sizes=(16,), zoom_fraction=1.0)
    overlaps = [value for pairs in batches(volumes, settings) for value in overlap(pairs)]
    assert min(overlaps) == 1
