"""From an empty folder of images to accepted labels, in the browser alone."""

import json
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Request, expect

from tests.browser.bench_page import PATIENCE, BenchPage
from tests.browser.conftest import native_index
from tests.browser.server_process import ServerProcess

STUDY = "LPI"
TORSO = ((0.17, 0.3), (0.3, 0.24), (0.42, 0.34), (0.4, 0.62), (0.22, 0.66))
PART = ((0.26, 0.4), (0.33, 0.42), (0.31, 0.52))


class Painted:
    """The whole slices that the page sends, as it sends them."""

    def __init__(self, bench: BenchPage) -> None:
        self.slices: dict[int, NDArray[np.uint8]] = {}
        bench.page.on("request", self._receive)

    def _receive(self, request: Request) -> None:
        if not request.url.endswith("/corrections"):
            return
        body = json.loads(request.post_data or "{}")
        for one in body["slices"]:
            assert (one["axis"], one["rest"]) == (2, "background")
            pixels = np.zeros(33 * 41, np.uint8)
            for start, length, label in one["runs"]:
                pixels[start : start + length] = label
            self.slices[one["index"]] = pixels.reshape((33, 41), order="F")


def labels_on_the_screen(bench: BenchPage, server: ServerProcess) -> NDArray[np.uint8]:
    """The labels of the open session in RAS order."""
    task, study = bench.page.url.split("/")[-2:]
    content = bench.page.request.get(f"{server.address}/api/v1/sessions/{task}.{study}/labels.nii").body()
    return np.asarray(nibabel.Nifti1Image.from_bytes(content).dataobj).astype(np.uint8)


def test_from_no_task_to_accepted_labels(bench: BenchPage, server: ServerProcess, folder: Path, tmp_path: Path) -> None:
    page = bench.page
    page.goto(f"{server.address}/#/task")

    # A task
    page.get_by_role("button", name="New task").first.click()
    page.get_by_placeholder("Liver and spleen").fill("Head")
    page.get_by_label("Labels, with commas").fill("brain, ventricle")
    page.get_by_role("button", name="Make the task").click()
    expect(page.locator(".label-table tbody tr")).to_have_count(2)

    # A study
    page.get_by_role("link", name="To the studies").click()
    expect(page.get_by_text("Unreadable")).to_be_visible()
    page.locator("a.study", has_text=STUDY).click()
    bench.opened()
    assert "Paint one slice" in bench.status
    painted = Painted(bench)

    # Two slices, the first with two labels
    bench.outline(*TORSO)
    bench.keys("2")
    bench.outline(*PART)
    bench.keys("1", *["ArrowUp"] * 4)
    bench.outline(*TORSO)
    assert sorted(painted.slices) == [12, 16]
    assert {int(label) for label in np.unique(painted.slices[12])} == {0, 1, 2}
    assert "2 slices given" in bench.status

    # The answer, and a correction of it
    bench.predict()
    assert "Answered from 2 slices" in bench.status
    answer = labels_on_the_screen(bench, server)
    assert np.count_nonzero(answer.any(axis=(0, 1))) > 2
    bench.keys("ArrowUp", "ArrowUp", "e")
    bench.click(0.3, 0.45)
    bench.saved()
    corrected = labels_on_the_screen(bench, server)
    assert np.flatnonzero((corrected != answer).any(axis=(0, 1))).tolist() == [18]

    # Undo and redo
    bench.keys("Control+z")
    bench.saved()
    np.testing.assert_array_equal(labels_on_the_screen(bench, server), answer)
    bench.keys("Control+Shift+z")
    bench.saved()
    np.testing.assert_array_equal(labels_on_the_screen(bench, server), corrected)

    # A reload loses nothing, undo included
    page.reload()
    bench.opened()
    assert "Answered from 3 slices" in bench.status
    np.testing.assert_array_equal(labels_on_the_screen(bench, server), corrected)
    bench.keys("Control+z")
    bench.saved()
    np.testing.assert_array_equal(labels_on_the_screen(bench, server), answer)

    # The export holds what was painted, on the study's own grid
    image = nibabel.load(folder / f"{STUDY}.nii.gz")
    exported = nibabel.load(bench.export("Labels of this study", tmp_path))
    np.testing.assert_allclose(exported.affine, image.affine, atol=1e-4)
    in_ras = np.asarray(exported.dataobj).reshape(-1)[native_index(image)]
    for index in (12, 16):
        np.testing.assert_array_equal(in_ras[:, :, index], painted.slices[index])
    np.testing.assert_array_equal(in_ras, answer)

    # Accepted as an example, all others are answered from it
    page.get_by_role("button", name="Use as example").click()
    page.get_by_role("button", name="To the studies").click()
    page.get_by_role("button", name="Answer all new").click()
    expect(page.locator("a.study .state[data-state=answered]")).to_have_count(5, timeout=2 * PATIENCE)
    expect(page.locator(".state[data-state=done]")).to_have_count(1)
    page.get_by_label("Order").select_option(label="Worst first")
    expect(page.locator("a.study").first.locator(".quality b")).to_be_visible()


def test_a_smart_stroke_is_completed_by_the_model(bench: BenchPage, server: ServerProcess) -> None:
    """Only the touched pixels are sent; the model labels more than those."""
    bench.open(server.new_task("Smart", "brain"), server.studies()["RAS"])
    sent: list[dict[str, object]] = []
    bench.page.on(
        "request",
        lambda request: (
            sent.extend(json.loads(request.post_data or "{}")["slices"])
            if request.url.endswith("/corrections")
            else None
        ),
    )
    bench.outline(*TORSO)
    bench.keys(*["ArrowUp"] * 3, "s")
    bench.click(0.3, 0.45)
    bench.predicted()
    stroke = sent[-1]
    assert stroke["rest"] == "unknown"
    runs = stroke["runs"]
    assert isinstance(runs, list)
    given = sum(length for _, length, _ in runs)
    slice_labels = labels_on_the_screen(bench, server)[:, :, 15]
    assert np.count_nonzero(slice_labels) > given > 0
