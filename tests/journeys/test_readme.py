"""The README's ten lines do what they say."""

import re
import shutil
from pathlib import Path

import pytest

import mvg
from mvg.app.demo import run as demo
from mvg.app.demo.exhibits import tissues
from mvg.imaging.files import read, read_labels

ROOT = Path(__file__).resolve().parents[2]


def test_the_ten_lines_run(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(weights, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr("mvg.model.weights.SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(demo, "exhibits", lambda seed: iter((tissues(),)))
    monkeypatch.chdir(tmp_path)
    demo.run_demo(Path("runs/demo"), "cpu", lambda _what, _done, _total: None)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    query, answer = read(tmp_path / "runs/demo/segmentation/query.nii.gz"), read_labels(tmp_path / "tissues.nii.gz")
    assert answer.same_grid(query)
    assert set(answer.values) <= {1, 2}
    assert mvg.load_task(tmp_path / "tissues.mvgtask").examples.values == (1, 2)


def test_every_folder_of_the_source_is_told() -> None:
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "mvg"
    folders = [path.name for path in source.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    assert [name for name in folders if f"  {name}/" not in told] == []
