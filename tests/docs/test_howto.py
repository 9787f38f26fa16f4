"""The code blocks of the how-to pages run, in order, on small data that is made here."""

import logging
import shutil
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.app import cli
from mvg.imaging import files
from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from mvg.model.weights import save_weights
from tests.data.folders import make_mri
from tests.docs.blocks import NOT_RUN, run_page
from tests.imaging.dicom_files import write_series
from tests.prediction.learner import random_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
EXIT_CODES = {"finetune.md": (0, 1)}  # seconds of tuning may help or not


def ball(seed: int) -> NDArray[np.bool_]:
    x, y, z = np.mgrid[:48, :48, :4]
    return np.asarray((x - 18 - 4 * seed) ** 2 + (y - 24) ** 2 < (10 - z) ** 2, np.bool_)


def volume(seed: int, brightness: float = 0.6, noise: float = 0.05) -> Volume:
    rng = np.random.default_rng(seed)
    voxels = 0.2 + brightness * ball(seed) + rng.normal(0, noise, (48, 48, 4))
    return Volume(voxels.astype(np.float32), AFFINE)


def labels(seed: int) -> LabelMap:
    return LabelMap(ball(seed).astype(np.uint8), AFFINE)


def write_to(content: Volume | LabelMap, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(content, path)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: scans, prompts, two contrasts, noisy pairs, a data set and weights."""
    folder = tmp_path_factory.mktemp("workspace")
    for seed in (1, 2):
        write_to(volume(seed), folder / f"scans/scan{seed}.nii.gz")
    shutil.make_archive(str(folder / "export"), "zip", write_series(folder / "export", AFFINE))
    for seed in (1, 2, 3):
        write_to(volume(seed), folder / f"prompts/images/case{seed}.nii.gz")
        write_to(labels(seed), folder / f"prompts/targets/case{seed}.nii.gz")
        write_to(volume(seed, noise=0.2), folder / f"denoising/images/case{seed}.nii.gz")
        write_to(volume(seed, noise=0.01), folder / f"denoising/targets/case{seed}.nii.gz")
        for channel, brightness in enumerate((0.6, -0.15)):
            write_to(volume(seed, brightness), folder / f"contrasts/prompts/imagesTr/case{seed}_000{channel}.nii.gz")
        write_to(labels(seed), folder / f"contrasts/prompts/labelsTr/case{seed}.nii.gz")
    for channel, brightness in enumerate((0.6, -0.15)):
        write_to(volume(4, brightness), folder / f"contrasts/queries/scan_000{channel}.nii.gz")
    (folder / "contrasts/prompts/dataset.json").write_text(
        '{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}'
    )
    for name, seed in (("before", 1), ("after", 2)):
        write_to(volume(seed), folder / f"{name}.nii.gz")
        write_to(labels(seed), folder / f"{name}_labels.nii.gz")
    for part, name in (("moving", "before"), ("fixed", "after"), ("targets", "after")):
        (folder / "examples" / part).mkdir(parents=True)
        shutil.copy(folder / f"{name}.nii.gz", folder / "examples" / part / "pair.nii.gz")
    make_mri(folder / "datasets" / "heads", {f"pat{number}": (32, 32, 3) for number in range(6, 13)})
    save_weights(random_model(), folder / "my_weights", "# my weights\n")
    return folder


@pytest.fixture
def here(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workspace, as the current folder; small random weights stand for `tiny`, to be fast."""
    shutil.copytree(workspace, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(workspace / "my_weights", tmp_path / "shipped" / "tiny")
    monkeypatch.setattr("mvg.model.weights.SHIPPED", tmp_path / "shipped")
    for module in ("mvg.model.weights", "mvg.model.installed"):
        monkeypatch.setattr(f"{module}.INSTALLED", tmp_path / "installed")
    return tmp_path / "here"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_blocks_of_a_page_run(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mvg(words: list[str]) -> None:
        device = ["--device", "cpu"] if words[0] in ("predict", "train", "finetune", "benchmark") else []
        monkeypatch.setattr(sys, "argv", ["mvg", *words, *device])
        code: object = 0
        try:
            with warnings.catch_warnings():
                cli.main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            logging.disable(logging.NOTSET)
        assert code in EXIT_CODES.get(page.name, (0,)), f"mvg {' '.join(words)}: exit code {code}"

    def install(path: Path) -> None:
        package = import_module(".".join(path.parent.relative_to("src").parts))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(path.parent.resolve())])
        name = f"{package.__name__}.{path.stem}"
        monkeypatch.setitem(sys.modules, name, package)  # so that what is imported now is forgotten after the test
        del sys.modules[name]
        monkeypatch.setattr(package, path.stem, import_module(name), raising=False)
        for function in vars(files).values():  # the formats are listed once
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    ran = run_page(page, mvg, install)
    assert ran or page.stem in ("index", "server", "workbench")  # their commands serve until they are stopped


def test_few_blocks_are_not_run() -> None:
    marks = {page.name: page.read_text(encoding="utf-8").count(NOT_RUN) for page in PAGES}
    assert {name: count for name, count in marks.items() if count} == {
        "benchmark.md": 1, "finetune.md": 1, "server.md": 2, "train.md": 4, "weights.md": 2, "workbench.md": 1,
    }  # fmt: skip
