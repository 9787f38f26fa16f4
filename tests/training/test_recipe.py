"""Recipes: unknown, wrongly typed and impossible values are errors before a run starts."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mvg.errors import FileError, RecipeError, UnknownNameError
from mvg.model.config import SIZES
from mvg.model.generalist import Generalist
from mvg.training.recipe import Recipe, read_recipe, recipe_from
from mvg.training.recipe_names import RENAMED
from mvg.training.settings import read_settings


@dataclass(frozen=True)
class Part:
    """Settings with a value that may be left out."""

    share: float | None = None


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_of_the_repository_can_be_read(path: Path) -> None:
    assert read_recipe(path).name


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_is_the_same_where_pydantic_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = read_recipe(path)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert read_recipe(path) == checked
    with pytest.raises(RecipeError, match=r"unknown key 'episodes.labels'; expected one of .*label_fraction"):
        recipe_from({"episodes": {"labels": 0.5}})


def test_an_empty_recipe_is_the_default_one() -> None:
    assert recipe_from({}) == Recipe()


def test_a_named_size_is_changed_by_the_other_keys() -> None:
    model = recipe_from({"model": {"name": "small", "drop_path": 0.3}}).model
    assert model.width == SIZES["small"].width
    assert model.drop_path == 0.3


def test_plain_values_give_the_same_recipe_again() -> None:
    recipe = recipe_from({"seed": 5, "episodes": {"sizes": [32, 64]}, "objectives": {"image": {"masked": 1}}})
    assert recipe_from(recipe.as_dict()) == recipe


def test_lists_become_tuples_and_whole_numbers_become_floats() -> None:
    recipe = recipe_from({"episodes": {"panels": [2, 4], "position_jitter": 1}, "data": {"sets": ["a", "b", "c"]}})
    assert recipe.episodes.panels == (2, 4)
    assert isinstance(recipe.episodes.position_jitter, float)
    assert recipe.data.sets == ("a", "b", "c")


@pytest.mark.parametrize(
    ("table", "message", "known"),
    [
        ({"sed": 1}, "unknown key 'sed'", "seed"),
        ({"optimizer": {"lr": 1}}, "unknown key 'optimizer.lr'", "learning_rate"),
        ({"model": {"widht": 1}}, "unknown key 'model.widht'", "width"),
        ({"model": {"name": "huge"}}, "model.name = 'huge'", "tiny, small, large"),
        ({"objectives": {"image": {"guess": 1.0}}}, "objective 'guess'", "autoregressive, masked"),
        ({"model": {"form": "mixed"}}, "model.form = 'mixed'", "matching, merged"),
        ({"episodes": {"coloring": "blue"}}, "episodes.coloring = 'blue'", "random"),
        ({"precision": "8"}, "precision = '8'", "bf16-mixed"),
        ({"data": {"tasks": ["cooking"]}}, "no kind of task is called 'cooking'", "denoising, inpainting"),
        (
            {"episodes": {"kind_weights": {"cooking": 2}}},
            "no kind of task is called 'cooking'",
            "denoising, inpainting",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(table: dict[str, Any], message: str, known: str) -> None:
    with pytest.raises((RecipeError, UnknownNameError)) as problem:
        recipe_from(table)
    assert message in str(problem.value)
    assert known in str(problem.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"seed": "1"}, "seed = '1'"),
        ({"seed": True}, "seed = True"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"name": 3}, "name = 3"),
        ({"model": 3}, "model = 3"),
        ({"model": {"name": ["tiny"]}}, "model.name = ['tiny']"),
        ({"data": 3}, "data = 3"),
        ({"data": {"sets": "acdc"}}, "data.sets = 'acdc'"),
        ({"data": {"sets": [1]}}, "data.sets[0] = 1"),
        ({"episodes": {"panels": 3}}, "episodes.panels = 3"),
        ({"episodes": {"panels": [1, 2, 3]}}, "episodes.panels = [1, 2, 3]"),
        ({"optimizer": {"learning_rate": "fast"}}, "optimizer.learning_rate = 'fast'"),
        ({"objectives": {"image": "masked"}}, "objectives.image = 'masked'"),
        ({"objectives": {"image": {"masked": "all"}}}, "objectives.image.masked = 'all'"),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match="expected") as problem:
        recipe_from(table)
    assert message in str(problem.value)


@pytest.mark.parametrize(
    "table",
    [
        {"objectives": {"image": {"masked": 0.5}}},
        {"objectives": {"mask_ratio": 1.0}},
        {"objectives": {"labels": {"autoregressive": 1.5, "masked": -0.5}}},
        {"objectives": {"labels": {"autoregressive": 0.3333333, "masked": 0.3333333, "whole_query": 0.3333333}}},
        {"seed": -1},
        {"data": {"workers": -1}},
        {"loss": {"smooth_l1_beta": -0.1}},
        {"episodes": {"batch": 0}},
        {"episodes": {"panels": [3, 2]}},
        {"episodes": {"panels": [1, 2]}},
        {"episodes": {"position_jitter": -0.1}},
        {"episodes": {"classes": [0, 2]}},
        {"episodes": {"label_fraction": 1.5}},
        {"episodes": {"same_volume_fraction": 1.1}},
        {"episodes": {"mixed_fraction": -0.1}},
        {"episodes": {"imperfect_prompt_fraction": 2.0}},
        {"episodes": {"sizes": [130]}},
        {"schedule": {"steps": 0}},
        {"schedule": {"log_steps": 0}},
        {"schedule": {"minutes": -1.0}},
        {"schedule": {"minutes": float("inf")}},
        {"optimizer": {"warmup_fraction": 1.0}},
        {"optimizer": {"clip_norm": 0.0}},
        {"optimizer": {"learning_rate": 0.0}},
        {"optimizer": {"learning_rate": float("nan")}},
        {"optimizer": {"betas": [0.9, 1.0]}},
        {"optimizer": {"weight_decay": -0.1}},
        {"augmentation": {"zoom": [0.0, 1.0]}},
        {"learns": "picture_refiner"},
        {"learns": "picture_refiner", "start": "tiny"},
        {
            "learns": "picture_refiner",
            "start": "tiny",
            "episodes": {"label_fraction": 0},
            "devices": {"sharding": "full"},
        },
        {"episodes": {"kind_weights": {"inpainting": 0.0}}},
        {"model": {"size": 100}},
        {"model": {"patch": 0}},
        {"model": {"patch": 6, "size": 120}},
        {"model": {"heads": 5}},
        {"model": {"heads": 0}},
        {"model": {"form": "merged", "levels": [4, 2]}},
        {"model": {"form": "merged", "levels": [2, 9]}},
        {"model": {"form": "merged", "levels": []}},
        {"model": {"width": 0}},
        {"model": {"fine": 3}},
        {"model": {"target_width": 50}},
        {"model": {"target_width": 0}},
        {"model": {"decoder_width": 0}},
        {"model": {"drop_path": 1.0}},
        {"model": {"form": "merged", "depth": 3, "levels": [1, 2, 3], "merge_after": 3}},
        {"model": {"form": "merged", "depth": 3, "levels": [1, 2], "merge_after": 2}},
        {"model": {"form": "merged", "merge_after": -1}},
        {"model": {"form": "merged", "fine": 0}},
        {"model": {"form": "merged", "stem": "linear", "head": "query"}},
    ],
    ids=str,
)
def test_an_impossible_value_is_an_error(table: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"expected .*; correct"):
        recipe_from(table)


@pytest.mark.parametrize(
    "table",
    [
        {"episodes": {"panels": [1, 1]}, "objectives": {"labels": {"masked": 1}, "image": {"whole_query": 1}}},
        {"model": {"form": "merged", "merge_after": 0}},
        {"model": {"fine": 4, "decoder_width": 1}},
    ],
    ids=str,
)
def test_rare_values_are_allowed(table: dict[str, Any]) -> None:
    recipe = recipe_from(table)
    assert Generalist(recipe.model).config == recipe.model


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = = 1")
    with pytest.raises(FileError, match=r"bad\.toml is not TOML"):
        read_recipe(tmp_path / "bad.toml")


def test_a_value_that_may_be_left_out_is_read_as_its_kind() -> None:
    assert read_settings(Part, {}).share is None
    assert read_settings(Part, {"share": 1}).share == 1.0
    with pytest.raises(RecipeError, match=r"methods\[0\].share = '1'; expected a valid number; correct it"):
        read_settings(Part, {"share": "1"}, "methods[0].")


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("episodes", "near", "position_jitter"),
        ("episodes", "absent", "empty_query_fraction"),
        ("episodes", "focus", "zoom_fraction"),
        ("episodes", "share", "patient_fraction"),
        ("episodes", "most", "max_patients"),
        ("optimizer", "rate", "learning_rate"),
    ],
)
def test_an_old_key_is_an_error_that_names_the_new_one(section: str, old: str, new: str) -> None:
    with pytest.raises(RecipeError, match=f"'{section}.{old}'; expected its new name '{section}.{new}'; rename it"):
        recipe_from({section: {old: 0.5}})


def test_all_new_names_of_old_keys_exist() -> None:
    defaults = Recipe().as_dict()
    for old, new in RENAMED.items():
        section, key = new.split(".")
        assert key in defaults[section]
        assert old.split(".")[1] not in defaults[section]
