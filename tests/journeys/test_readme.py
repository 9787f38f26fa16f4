"""The README: its code runs, its commands and options exist, its paths exist."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import mvg
from mvg.app.demo import run as demo
from mvg.app.demo.exhibits import tissues
from mvg.imaging.files import read, read_labels
from mvg.tasks import kind_names
from tests.journeys.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"^mvg [a-z]|^make [a-z]")


BLOCKS = re.findall(r"^```([a-z]*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def code_blocks(language: str) -> list[str]:
    return [code for name, code in BLOCKS if name == language]


def commands() -> Iterator[str]:
    """Every command of mvg and make: in code blocks, and inline."""
    lines = [line for _, code in BLOCKS for line in code.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE))
    return (text.split("#")[0].strip() for text in (*lines, *inline) if _COMMAND.match(text))


def test_the_ten_lines_run(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(weights, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr("mvg.model.weights.SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(demo, "exhibits", lambda seed: (tissues,))
    monkeypatch.chdir(tmp_path)
    demo.run_demo(Path("runs/demo"), "cpu", lambda _work, _done, _total: None)
    (code,) = code_blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    query, prediction = read(tmp_path / "runs/demo/segmentation/query.nii.gz"), read_labels(tmp_path / "tissues.nii.gz")
    assert prediction.same_grid(query)
    assert set(prediction.values) <= {1, 2}
    assert mvg.load_task(tmp_path / "tissues.mvgtask").prompts.values == (1, 2)


def test_the_command_line_example_runs(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user / "prompts").rename(user / "PROMPTS")
    for number in (1, 2):
        shutil.copy(user / "scan.nii.gz", user / f"scan{number}.nii.gz")
    shutil.copytree(weights, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr("mvg.model.weights.SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(user)
    (block,) = code_blocks("bash")
    for line in block.splitlines():
        result = run(*shlex.split(line)[1:])
        assert (result.code, result.err) == (0, "")
    assert sorted(path.name for path in Path("PREDICTIONS").iterdir()) == [
        "manifest.json", "report.html", "scan1.nii.gz", "scan2.nii.gz",
    ]  # fmt: skip


def test_every_command_exists(run: Run) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = list(commands())
    assert len(texts) > 10
    for text in texts:
        program, command, *words = shlex.split(text)
        if program == "make":
            assert command in targets, text
            continue
        names = [command, words[0]] if command == "weights" else [command]
        result = run(*names, "--help")
        assert result.code == 0, text
        assert all(word in result.out for word in words if word.startswith("--")), text


def test_every_option_of_the_table_exists_and_those_of_predict_are_in_it(run: Run) -> None:
    rows = "\n".join(line.split("|")[1] for line in README.splitlines() if line.startswith("| `-"))
    listed = set(re.findall(r"--[a-z-]+", rows))
    offered = set(re.findall(r"--[a-z-]+", run("predict", "--help").out))
    assert offered - {"--help", "--prompts", "--output", "--quiet"} == listed
    assert set(re.findall(r"`(segmentation|synthesis|inpainting|denoising)`", README)) <= set(kind_names())


def test_every_path_exists() -> None:
    tree = next(block for block in code_blocks("") if block.startswith("src/mvg/"))
    for line in tree.splitlines():
        path = line.split()[0]
        assert (ROOT / ("src/mvg" if line.startswith("  ") else "") / path).exists(), line
    for path in re.findall(r"^\| [^|]+ \| `(src/[^`]+)` \|$", README, re.MULTILINE):
        assert (ROOT / path).is_dir(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_every_part_of_the_source_is_in_the_tree() -> None:
    source = ROOT / "src" / "mvg"
    names = [path.name + "/" * path.is_dir() for path in source.iterdir() if not path.name.startswith(("__", "."))]
    assert [name for name in names if f"\n  {name}" not in README and name != "py.typed"] == []
