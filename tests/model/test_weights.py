"""Weights on disk: written whole, verified before use, and errors of one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mvg.errors import WeightsError
from mvg.model import weights
from mvg.model.config import MatchingConfig, MergedConfig
from mvg.model.generalist import Generalist
from mvg.model.weights import describe_weights, list_weights, load_weights, save_weights, verify_weights

CARD = "# made for a test\n\nNot a medical device.\n"


def model(form: str = "matching") -> Generalist:
    assert form in ("matching", "merged")
    torch.manual_seed(0)
    if form == "merged":
        return Generalist(MergedConfig(size=16, width=24, depth=2, heads=2, fine=8, levels=(1, 2), merge_after=1))
    return Generalist(
        MatchingConfig(
            size=16, width=24, depth=2, heads=2, fine=8,
            target_width=32, target_depth=1, decoder_width=32, decoder_depth=1,
        )
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_weights(model(), tmp_path / "mine", CARD).folder


@pytest.mark.parametrize("form", ["matching", "merged"])
def test_weights_return_as_bfloat16_in_float32(form: str, tmp_path: Path) -> None:
    saved = model(form)
    info = save_weights(saved, tmp_path / "deep" / "mine", CARD)
    loaded = load_weights(tmp_path / "deep" / "mine")
    assert (info.id, info.card, info.config) == ("mine", CARD, saved.config)
    assert loaded.config == saved.config
    assert not loaded.training
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16().float()), name
    stored = load_file(info.folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.bfloat16}
    assert info.bytes == (info.folder / "model.safetensors").stat().st_size


def test_by_folder_or_by_file(folder: Path) -> None:
    assert describe_weights(folder) == describe_weights(folder / "model.safetensors") == describe_weights(str(folder))


def test_one_flipped_bit_is_detected(folder: Path) -> None:
    damaged = bytearray((folder / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (folder / "model.safetensors").write_bytes(damaged)
    for use in (load_weights, verify_weights):
        with pytest.raises(WeightsError, match="sha256"):
            use(folder)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(WeightsError, match="mvg weights list"):
        load_weights("no-such-weights")


@pytest.mark.parametrize(
    "damage",
    ["no tensors", "no config", "text", "list", "format", "foreign key", "no key", "other shape"],
)
def test_damaged_folders(damage: str, folder: Path) -> None:
    config = folder / "config.json"
    about = json.loads(config.read_text())
    if damage == "no tensors":
        (folder / "model.safetensors").unlink()
    elif damage == "no config":
        config.unlink()
    elif damage == "text":
        config.write_text("{")
    elif damage == "list":
        config.write_text("[]")
    elif damage == "format":
        config.write_text(json.dumps(about | {"format": 99}))
    elif damage == "foreign key":
        config.write_text(json.dumps(about | {"config": about["config"] | {"magic": 1}}))
    elif damage == "no key":
        config.write_text(json.dumps({"format": 1, "sha256": about["sha256"]}))
    elif damage == "other shape":
        config.write_text(json.dumps(about | {"config": about["config"] | {"width": 48}}))
    with pytest.raises(WeightsError) as error:
        load_weights(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": "wide"}, "model.width = 'wide'; expected a value like 256"),
        ({"size": True}, "model.size = True; expected a value like 128"),
        ({"form": "merged", "levels": [1, "2"]}, "model.levels = (1, '2')"),
        ({"form": "mixed"}, "model.form = 'mixed'"),
        ({"size": 100}, "a picture side of 100; expected a multiple of 16"),
        ({"patch": 0}, "model.patch = 0; expected a multiple of 8"),
    ],
    ids=str,
)
def test_an_impossible_config_is_refused(changed: dict[str, object], message: str, folder: Path) -> None:
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"config": about["config"] | changed}))
    with pytest.raises(WeightsError) as error:
        describe_weights(folder)
    assert message in str(error.value)


def test_a_config_may_hold_the_fields_of_the_other_form_too(folder: Path) -> None:
    """As configs did before each form had a class."""
    about = json.loads((folder / "config.json").read_text())
    about["config"] |= {"levels": [2, 4], "merge_after": 3, "stem": "convolution", "head": "query"}
    del about["config"]["inputs"], about["config"]["paint"]
    (folder / "config.json").write_text(json.dumps(about))
    assert describe_weights(folder).config == model().config


def test_older_weights_are_replaced_and_nothing_else_is(folder: Path) -> None:
    save_weights(model("merged"), folder, "newer")
    assert describe_weights(folder).card == "newer"
    assert load_weights(folder).config.form == "merged"
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    other = folder.parent / "documents"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(WeightsError, match="not weights"):
        save_weights(model(), other, CARD)
    assert (other / "thesis.txt").read_text() == "years of work"


def test_weights_of_another_program_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "tiny"  # the id of weights that ship
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "vit"}')
    (other / "model.safetensors").write_bytes(b"years of work")
    for folder in (other, Path("tiny")):
        with pytest.raises(WeightsError, match="not weights"):
            save_weights(model(), folder, CARD)
    assert (other / "model.safetensors").read_bytes() == b"years of work"


def test_a_relative_path_is_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert save_weights(model(), Path("tiny"), CARD).card == CARD


def test_a_full_disk_leaves_the_old_weights_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(WeightsError, match="No space left"):
        save_weights(model("merged"), folder, CARD)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_shipped_weights_are_whole_small_and_described() -> None:
    for info in list_weights():
        assert verify_weights(info.id) == info
        assert info.bytes <= 25e6
        assert "not a medical device" in info.card.lower()
        assert describe_weights(info.id).folder == info.folder
