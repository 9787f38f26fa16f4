"""Bad input is one clear line with exit code 2, nothing is half-written, and the other queries are predicted."""

import gzip
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap
from tests.journeys.conftest import Result, Run, picture, put

Break = Callable[[Path], Path]


def _nifti(path: Path, voxels: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.diag([1.2, 1.2, 5, 1])), path)
    return path


def _truncated(user: Path) -> Path:
    whole = (user / "scan.nii.gz").read_bytes()
    (user / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    return user / "cut.nii.gz"


def _empty(user: Path) -> Path:
    (user / "empty.nii.gz").write_bytes(b"")
    return user / "empty.nii.gz"


def _text(user: Path) -> Path:
    (user / "text.nii.gz").write_bytes(gzip.compress(b"not an image"))
    return user / "text.nii.gz"


def _nan(user: Path) -> Path:
    voxels = np.ones((8, 8, 3), np.float32)
    voxels[3, 3, 1] = np.nan
    return _nifti(user / "nan.nii.gz", voxels)


def _folder(user: Path) -> Path:
    (user / "nothing").mkdir()
    return user / "nothing"


def _loop(user: Path) -> Path:
    (user / "loop.nii.gz").symlink_to(user / "loop.nii.gz")
    return user / "loop.nii.gz"


QUERIES: dict[str, Break] = {
    "a link to itself": _loop,
    "missing": lambda user: user / "gone.nii.gz",
    "truncated": _truncated,
    "empty": _empty,
    "text": _text,
    "NaN": _nan,
    "4D": lambda user: _nifti(user / "4d.nii.gz", np.ones((8, 8, 3, 2), np.float32)),
    "zero-size": lambda user: _nifti(user / "zero.nii.gz", np.ones((8, 0, 3), np.float32)),
    "folder without images": _folder,
    "unknown suffix": lambda user: Path(shutil.copy(user / "scan.nii.gz", user / "scan.xyz")),
}


def _one_clear_line(result: Result, code: int = 2) -> None:
    lines = result.err.strip().splitlines()
    assert result.code == code, result
    assert len(lines) == 1, result.err
    assert lines[0].startswith("mvg: ")
    assert "; expected " in lines[0]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("name", QUERIES)
def test_a_broken_query(name: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    query, out = QUERIES[name](user), tmp_path / "out"
    result = run("predict", query, "--prompts", user / "prompts", "--output", out, "--weights", weights)
    _one_clear_line(result)
    assert query.name in result.err
    assert not out.exists()


def test_the_other_queries_are_predicted_and_failures_listed_at_the_end(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    broken = [make(user) for make in QUERIES.values()]
    out = tmp_path / "out"
    shutil.copy(user / "scan.nii.gz", user / "last.nii.gz")
    result = run(
        "predict", user / "scan.nii.gz", *broken, user / "last.nii.gz", "--prompts", user / "prompts", "--output", out,
        "--weights", weights,
    )  # fmt: skip
    assert result.code == 1
    assert sorted(path.name for path in out.glob("*.nii.gz")) == ["last.nii.gz", "scan.nii.gz"]
    lines = result.err.strip().splitlines()
    assert len(lines) == 1 + len(broken)
    assert f"{len(broken)} of {len(broken) + 2} queries failed" in lines[0]
    assert all(query.name in line for query, line in zip(broken, lines[1:], strict=True))


def _another_grid(user: Path) -> None:
    target = read_labels(user / "prompts" / "targets" / "case1.nii.gz")
    write(LabelMap(target.voxels, target.affine + np.eye(4, k=3) * 2), user / "prompts" / "targets" / "case1.nii.gz")


def _another_shape(user: Path) -> None:
    target = read_labels(user / "prompts" / "targets" / "case1.nii.gz")
    write(LabelMap(target.voxels[:-1], target.affine), user / "prompts" / "targets" / "case1.nii.gz")


def _no_labels(user: Path) -> None:
    for path in (user / "prompts" / "targets").iterdir():
        target = read_labels(path)
        write(LabelMap(target.voxels * 0, target.affine), path)


def _emptied(user: Path) -> None:
    for path in (*(user / "prompts" / "images").iterdir(), *(user / "prompts" / "targets").iterdir()):
        path.unlink()


def _cut(user: Path) -> None:
    path = user / "prompts" / "images" / "case1.nii.gz"
    path.write_bytes(path.read_bytes()[:300])


def _swapped(user: Path) -> None:
    prompts = user / "prompts"
    for name, other in (("images", "kept"), ("targets", "images"), ("kept", "targets")):
        (prompts / name).rename(prompts / other)


PROMPTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another grid": (_another_grid, "case1"),
    "another shape": (_another_shape, "case1"),
    "nothing labeled": (_no_labels, "label"),
    "emptied": (_emptied, "empty"),
    "truncated": (_cut, "case1"),
    "no partner": (lambda user: (user / "prompts" / "targets" / "case1.nii.gz").unlink(), "case1"),
    "missing": (lambda user: shutil.rmtree(user / "prompts"), "prompts"),
    "pictures": (
        lambda user: [put(picture((32, 32)), p / "z.png") for p in (user / "prompts").iterdir()],
        "name the task",
    ),
    "images and targets swapped": (_swapped, "swap the two folders"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_broken_prompts(name: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    damage, hint = PROMPTS[name]
    damage(user)
    out = tmp_path / "out"
    result = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", out, "--weights", weights)
    _one_clear_line(result)
    assert hint in result.err
    assert not out.exists()


@pytest.mark.parametrize("folder", ["images", "targets"])
def test_predictions_are_not_written_among_the_prompts(folder: str, run: Run, user: Path, weights: Path) -> None:
    """They would be prompts of the next request: a prediction among the targets would count as annotated."""
    out = user / "prompts" / folder
    before = sorted(out.iterdir())
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    for corrections in ((), ("--corrections", user / "prompts" / "targets" / "case1.nii.gz")):
        result = run("predict", user / "scan.nii.gz", *common, *corrections)
        _one_clear_line(result)
        assert "holds prompts" in result.err
    assert sorted(out.iterdir()) == before


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        (("--weights", "none-such"), "weights list"),
        (("--task", "sorcery"), "segmentation"),
        (("--task", "denoising"), "targetsTr"),
        (("--strategy", "by_moonlight"), "nearest_slice"),
        (("--device", "abacus"), "cpu"),
        (("--save-task", "x.pt"), ".mvgtask"),
    ],
)
def test_wrong_words(changed: tuple[str, str], hint: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = {"--prompts": user / "nnunet", "--output": tmp_path / "out", "--weights": weights} | dict([changed])
    result = run("predict", user / "scan.nii.gz", *(word for pair in common.items() for word in pair))
    if changed[1] != "denoising":
        _one_clear_line(result)
        assert hint in result.err
    assert result.code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prdict",), "No such command 'prdict'"),
        (("predict", "scan.nii.gz"), "Missing option"),
        (("predict", "a", "--prompts", "b", "--output", "c", "--num-prompts", "many"), "'--num-prompts'"),
        (("predict", "a", "--prompts", "b", "--output", "c", "--foo", "1"), "No such option: --foo"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(arguments: tuple[str, ...], message: str, run: Run) -> None:
    result = run(*arguments)
    _one_clear_line(result)
    assert message in result.err
    assert " --help' lists them" in result.err


def test_a_command_alone_shows_its_help(run: Run) -> None:
    result = run()
    assert result.code == 2
    assert result.out.startswith("Usage: mvg")


def test_damaged_weights(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights, tmp_path / "mine")
    file = tmp_path / "mine" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    result = run(
        "predict",
        user / "scan.nii.gz",
        "--prompts",
        user / "prompts",
        "--output",
        tmp_path / "out",
        "--weights",
        file.parent,
    )
    _one_clear_line(result)
    assert "sha256" in result.err


@pytest.mark.parametrize("location", ["a file", "under a file", "the query's folder", "/proc"])
def test_folders_that_cannot_be_written_to(location: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    folders = {"a file": tmp_path / "file", "under a file": tmp_path / "file" / "out", "the query's folder": user}
    out = folders.get(location, Path("/proc/out"))
    before = (user / "scan.nii.gz").read_bytes()
    result = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", out, "--weights", weights)
    _one_clear_line(result)
    assert (user / "scan.nii.gz").read_bytes() == before
    assert (tmp_path / "file").read_text() == "x"


def test_a_full_disk(user: Path, weights: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 1 kB: what a full disk does to a writer."""

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    rng = np.random.default_rng(0)
    for part in ("images", "targets"):
        _nifti(user / "prompts" / part / "noise.nii.gz", rng.integers(1, 3, (64, 64, 4)).astype(np.int16))
    voxels = rng.random((64, 64, 4)).astype(np.float32)
    query, out = _nifti(user / "noise.nii.gz", voxels), tmp_path / "out"
    command = [
        "predict",
        query,
        "--prompts",
        user / "prompts",
        "--output",
        out,
        "--weights",
        weights,
        "--task",
        "inpainting",
    ]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "mvg.app.cli", *map(str, command)],
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        check=False,
    )
    oddities, error = done.stderr.splitlines(keepends=True)[:-1], done.stderr.splitlines(keepends=True)[-1]
    assert all(line.startswith("mvg: the prompts: ") for line in oddities)
    _one_clear_line(Result(done.returncode, done.stdout, error))
    assert not out.exists()
    assert read(query).voxels.shape == voxels.shape


def test_a_folder_that_cannot_be_read(run: Run, user: Path, weights: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    closed, real = user / "prompts" / "images", Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    out = tmp_path / "out"
    result = run("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", out, "--weights", weights)
    _one_clear_line(result)
    assert str(closed) in result.err
