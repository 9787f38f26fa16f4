"""Weights as one file: what was packed is what is installed, and nothing is replaced by what does not work."""

import zipfile
from pathlib import Path

import pytest
import torch

from mvg.errors import WeightsError
from mvg.model import weights
from mvg.model.installed import install_weights, pack_weights
from mvg.model.weights import list_weights, load_weights, save_weights
from tests.prediction.learner import random_model


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are installed."""
    monkeypatch.setattr(weights, "INSTALLED", tmp_path / "installed")
    return tmp_path / "installed"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    save_weights(random_model(), tmp_path / "lab", "# Lab\n")
    return pack_weights(tmp_path / "lab", tmp_path / "lab.mvgweights")


def test_packed_weights_are_installed_and_load_by_their_id(packed: Path, weights_folder: Path) -> None:
    info = install_weights(packed, weights_folder)
    assert (info.id, info.card) == ("lab", "# Lab\n")
    assert "lab" in {one.id for one in list_weights()}
    expected = load_weights(packed.with_name("lab"))
    for name, value in load_weights("lab").state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    assert [path.name for path in weights_folder.iterdir()] == ["lab"], "nothing half-written is left"


def test_weights_of_a_run_are_called_after_it(weights_folder: Path, tmp_path: Path) -> None:
    for run in ("hearts", "livers"):
        save_weights(random_model(), tmp_path / run / "weights", f"# {run}\n")
        packed = pack_weights(tmp_path / run / "weights", tmp_path / f"{run}.mvgweights")
        assert install_weights(packed, weights_folder).id == run
    assert install_weights(tmp_path / "hearts" / "weights", weights_folder).id == "hearts"
    assert {"hearts", "livers"} <= {one.id for one in list_weights()}


def test_weights_can_be_packed_under_another_id(packed: Path, weights_folder: Path, tmp_path: Path) -> None:
    file = pack_weights(tmp_path / "lab", tmp_path / "any.mvgweights", "small")
    assert install_weights(file, weights_folder).id == "small"
    for wrong in ("tiny", "../tiny", "a b"):
        with pytest.raises(WeightsError, match="which ship with mvg"):
            pack_weights(tmp_path / "lab", tmp_path / "wrong.mvgweights", wrong)
    assert not (tmp_path / "wrong.mvgweights").exists()


def test_a_folder_can_be_installed_and_replaces_the_old(packed: Path, weights_folder: Path, tmp_path: Path) -> None:
    install_weights(packed, weights_folder)
    save_weights(random_model(), tmp_path / "other" / "lab", "# Newer\n")
    assert install_weights(tmp_path / "other" / "lab", weights_folder).card == "# Newer\n"
    assert [path.name for path in weights_folder.iterdir()] == ["lab"], "nothing of the old is left"


def test_the_old_weights_stay_where_the_new_cannot_replace_them(
    packed: Path, weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_weights(packed, weights_folder)
    save_weights(random_model(), tmp_path / "other" / "lab", "# Newer\n")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.match(".writing-*/lab"):
            raise OSError("no more room")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(WeightsError, match="no more room"):
        install_weights(tmp_path / "other" / "lab", weights_folder)
    assert list_weights()[0].card == "# Lab\n"
    assert [path.name for path in weights_folder.iterdir()] == ["lab"]


def test_damaged_weights_replace_nothing(packed: Path, weights_folder: Path, tmp_path: Path) -> None:
    install_weights(packed, weights_folder)
    broken = tmp_path / "broken.mvgweights"
    with zipfile.ZipFile(packed) as good, zipfile.ZipFile(broken, "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            bad.writestr(name, data[:-9] + b"damaged!!" if name.endswith("safetensors") else data)
    with pytest.raises(WeightsError, match="sha256"):
        install_weights(broken, weights_folder)
    assert load_weights("lab") is not None


def test_the_ids_that_ship_are_taken(weights_folder: Path, tmp_path: Path) -> None:
    save_weights(random_model(), tmp_path / "tiny", "# Mine\n")
    with pytest.raises(WeightsError, match="another id"):
        install_weights(tmp_path / "tiny", weights_folder)
    assert not weights_folder.exists()


@pytest.mark.parametrize("names", [(), ("a/config.json", "b/config.json"), ("../config.json",), ("config.json",)])
def test_archives_of_something_else(names: tuple[str, ...], weights_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    with pytest.raises(WeightsError, match="weights folders"):
        install_weights(tmp_path / "x.zip", weights_folder)


def test_a_file_that_is_not_an_archive_is_refused(weights_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("hello", encoding="utf-8")
    for path in (tmp_path / "x.zip", tmp_path / "none.zip"):
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            install_weights(path, weights_folder)


@pytest.mark.parametrize("file", ["none/x.zip", "folder", "."])
def test_a_file_that_cannot_be_written_is_an_error(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(WeightsError, match=f"'{file}' cannot be written"):
        pack_weights(tmp_path / "lab", Path(file))
    assert sorted(tmp_path.iterdir()) == before, "nothing half-written is left"
