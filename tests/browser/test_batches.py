"""A batch as the page shows it: its progress, cancelling it and going on."""

import re
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.bench_page import PATIENCE, BenchPage
from tests.browser.server_process import ServerProcess


@pytest.fixture
def many(tmp_path: Path, brain: nibabel.Nifti1Image) -> Iterator[ServerProcess]:
    """A server of eight heads, the first with labels beside it."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(8):
        nibabel.save(brain, folder / f"head{number}.nii.gz")
    bright = (np.asarray(brain.dataobj) > np.percentile(np.asarray(brain.dataobj), 80)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(bright, brain.affine), folder / "head0_label.nii.gz")
    server = ServerProcess(folder)
    server.start()
    yield server
    server.kill()


def test_a_batch_is_cancelled_and_goes_on(many: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    bench = BenchPage(page, many.address)
    task = many.new_task("Heads", "bright")
    many.studies()
    many.request("POST", f"tasks/{task}/examples/beside")
    page.goto(f"{bench.address}/#/studies/{task}")
    expect(page.get_by_text("7 new studies can be answered from the examples.")).to_be_visible()
    expect(page.locator(".state[data-state=example]")).to_have_count(1)

    page.get_by_role("button", name="Answer all new").click()
    page.get_by_role("button", name="Cancel").click()  # at once: how far it comes until then depends on the machine
    cancelled = re.compile("^Cancelled after [0-6] of 7")
    expect(page.locator(".batch b")).to_have_text(cancelled, timeout=2 * PATIENCE)
    page.reload()
    expect(page.locator(".batch b")).to_have_text(cancelled)

    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("No new study is left.")).to_be_visible(timeout=4 * PATIENCE)
    expect(page.locator(".state[data-state=answered]")).to_have_count(7)
    expect(page.get_by_role("button", name="Answer all new")).to_have_count(0)
    expect(page.get_by_role("button", name="Answer all again")).to_be_visible()
