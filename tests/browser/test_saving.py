"""No stroke is lost: neither when the server dies, nor when the tab is closed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.bench_page import BenchPage
from tests.browser.server_process import ServerProcess


@pytest.fixture
def mortal(tmp_path: Path, brain: nibabel.Nifti1Image) -> Iterator[ServerProcess]:
    """A server that the test may kill."""
    (tmp_path / "scans").mkdir()
    nibabel.save(brain, tmp_path / "scans" / "head.nii.gz")
    server = ServerProcess(tmp_path / "scans")
    server.start()
    yield server
    server.kill()


def labeled(bench: BenchPage, folder: Path) -> int:
    """How many voxels have a label in the exported file."""
    exported = nibabel.load(bench.export("Labels of this study", folder))
    return int(np.count_nonzero(np.asarray(exported.dataobj)))


def test_strokes_outlive_the_server_and_the_tab(mortal: ServerProcess, context: BrowserContext, tmp_path: Path) -> None:
    bench = BenchPage(context.new_page(), mortal.address)
    task, study = mortal.new_task("Points", "one"), mortal.studies()["head"]
    bench.open(task, study)
    bench.page.evaluate("localStorage.setItem('mvg.guide', 'closed')")
    bench.keys("b", *["["] * 12)
    bench.click(0.2, 0.3)
    bench.saved()

    # The server dies; the page says so, keeps the stroke, and sends it when the server is back.
    mortal.kill()
    bench.click(0.3, 0.4)
    expect(bench.page.get_by_text("Waiting for the server")).to_be_visible()
    mortal.start()
    bench.saved()
    assert labeled(bench, tmp_path) == 2

    # It dies again, and the tab is closed before it is back.
    mortal.kill()
    bench.click(0.4, 0.5)
    expect(bench.page.get_by_text("Waiting for the server")).to_be_visible()
    bench.page.close()
    mortal.start()
    again = BenchPage(context.new_page(), mortal.address)
    again.open(task, study)
    assert labeled(again, tmp_path) == 3
    again.keys("Control+z")
    again.saved()
    assert labeled(again, tmp_path) == 2
