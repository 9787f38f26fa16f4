"""Files that come from the desktop: studies and examples that are dropped, and task files; what is deleted."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.bench_page import BenchPage
from tests.browser.server_process import ServerProcess
from tests.browser.test_journey import labels_on_the_screen


@pytest.fixture
def desktop(tmp_path: Path, brain: nibabel.Nifti1Image) -> Path:
    """A folder with an image, its labels, and a file that is no image."""
    nibabel.save(brain, tmp_path / "case7.nii.gz")
    bright = (np.asarray(brain.dataobj) > np.percentile(np.asarray(brain.dataobj), 80)).astype(np.uint8) * 5
    nibabel.save(nibabel.Nifti1Image(bright, brain.affine), tmp_path / "case7_label.nii.gz")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    return tmp_path


def test_studies_are_dropped_and_deleted(bench: BenchPage, server: ServerProcess, desktop: Path) -> None:
    page, task = bench.page, server.new_task("Dropped", "one")
    page.goto(f"{server.address}/#/studies/{task}")
    expect(page.locator("a.study").first).to_be_visible()
    bench.drop(".study-list", desktop / "case7.nii.gz")
    row = page.locator(".study-list li", has_text="case7.nii.gz")
    expect(row).to_be_visible()
    expect(page.get_by_text("1 study added.")).to_be_visible()
    expect(page.locator(".study-list .removal")).to_have_count(1)

    row.get_by_role("button", name="Delete case7.nii.gz").click()
    page.get_by_role("button", name="Keep it").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Delete case7.nii.gz").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("is in the trash of the folder")).to_be_visible()
    expect(row).to_have_count(0)

    bench.drop(".study-list", desktop / "broken.nii.gz")
    expect(page.locator("#notices")).to_contain_text("'broken.nii.gz' cannot be read")


def test_an_example_is_dropped_and_the_task_travels(
    bench: BenchPage, server: ServerProcess, desktop: Path, tmp_path: Path
) -> None:
    page, task = bench.page, server.new_task("Bright")
    page.goto(f"{server.address}/#/task/{task}")
    expect(page.locator(".drop")).to_be_visible()
    bench.drop(".drop", desktop / "case7.nii.gz")
    expect(page.get_by_text("An example is two files")).to_be_visible()
    bench.drop(".drop", desktop / "case7_label.nii.gz", desktop / "case7.nii.gz")
    expect(page.locator(".examples li")).to_have_count(1)
    expect(page.locator(".label-table tbody tr")).to_have_count(1)

    with page.expect_download() as download:
        page.get_by_role("button", name=".mvgtask", exact=True).click()
    path = tmp_path / download.value.suggested_filename
    assert path.name == "Bright.mvgtask"
    download.value.save_as(path)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a .mvgtask").click()
    chooser.value.set_files(path)
    expect(page.get_by_text("is open.")).to_be_visible()
    expect(page.locator(".task-row[aria-current=true]")).to_contain_text("from Bright.mvgtask")
    expect(page.get_by_text("ready: studies can be answered")).to_be_visible()
    tasks = server.request("GET", "tasks")["tasks"]
    assert isinstance(tasks, list)
    bench.open(tasks[-1]["id"], server.studies()["LPI"])
    bench.predict()
    assert labels_on_the_screen(bench, server).any()
