"""Somebody who knows the true outlines labels three volumes in the browser, one of them without painting."""

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, expect

from tests.browser.bench_page import PATIENCE, BenchPage
from tests.browser.server_process import ServerProcess

SHAPE = (40, 40, 12)
RADII = np.array([9.0, 12.0, 5.0])
AFFINE = np.diag([2.0, 2, 5, 1])
CORNERS = 20


def center(number: int) -> NDArray[np.float64]:
    """Where the ball of a volume lies, in voxels."""
    return np.array([17.0 + number, 20 - number, 5.5 + 0.3 * number])


def truth(number: int) -> NDArray[np.bool_]:
    """The voxels of the ball."""
    distance = (np.indices(SHAPE).T - center(number)) / RADII
    return np.asarray((distance**2).sum(-1).T <= 1)


@pytest.fixture
def balls(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of three noisy volumes with a bright ball in each."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).normal(0, 15, SHAPE)
        image = (200 + noise + 300 * truth(number)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), folder / f"ball{number}.nii.gz")
    server = ServerProcess(folder)
    server.start()
    yield server
    server.kill()


def on_the_screen(bench: BenchPage) -> NDArray[np.float64]:
    """Factor and offset from voxels to shares of the picture, for x and for y."""
    shares = np.linspace(0.35, 0.65, 7)
    voxels = [bench.point(share, share).voxel[:2] for share in shares]
    return np.array([np.polyfit([voxel[axis] for voxel in voxels], shares, 1) for axis in (0, 1)])


def paint(bench: BenchPage, number: int) -> None:
    """Draw the true outline in the slice on the screen instead of what is there."""
    (x_factor, x_offset), (y_factor, y_offset) = on_the_screen(bench)
    middle, index = center(number), bench.point(0.5, 0.5).voxel[2]
    scale = np.sqrt(max(0.0, 1 - ((index - middle[2]) / RADII[2]) ** 2))
    bench.keys("Delete")
    bench.saved()
    if scale:
        angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        x, y = middle[0] + scale * RADII[0] * np.cos(angles), middle[1] + scale * RADII[1] * np.sin(angles)
        bench.outline(*zip(x_factor * x + x_offset, y_factor * y + y_offset, strict=True))


def label(bench: BenchPage, server: ServerProcess, task: str, number: int) -> None:
    """Paint two slices of a volume, the second where the page is uncertain, and use it as an example."""
    bench.open(task, server.studies()[f"ball{number}"])
    bench.keys("q")
    if number:
        bench.predict()
        bench.keys("n")
    paint(bench, number)
    bench.predict()
    before = bench.page.locator(".where").inner_text()
    bench.keys("n")
    expect(bench.page.locator(".where")).not_to_have_text(before)
    paint(bench, number)
    bench.predict()
    bench.keys("x")
    expect(bench.page.get_by_text("an example of this task from now on")).to_be_visible()


def test_three_volumes_with_four_painted_slices(balls: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    bench, task = BenchPage(page, balls.address), balls.new_task("Balls", "ball")
    for number in (0, 1):
        label(bench, balls, task, number)
    page.goto(f"{balls.address}/#/studies/{task}")
    page.get_by_role("button", name="Answer all new").click()
    expect(page.locator(".state[data-state=answered]")).to_have_count(1, timeout=2 * PATIENCE)
    bench.open(task, balls.studies()["ball2"])
    bench.keys("Shift+A")
    expect(page.get_by_text("Accepted.")).to_be_visible()

    folder = balls.folder / "mvg" / "tasks" / task
    journal = folder / "sessions" / balls.studies()["ball2"] / "journal.jsonl"
    assert '"op":"correct"' not in journal.read_text()
    scores = []
    for number in range(3):
        (path,) = folder.glob(f"labelsTr/ball{number}_*.nii.gz")
        labels = np.asarray(nibabel.load(path).dataobj) == 1
        scores.append(2 * (labels & truth(number)).sum() / (labels.sum() + truth(number).sum()))
    assert np.mean(scores) > 0.9, scores
