"""Who may see what: the token of a server, and headers, which may name the patient."""

from collections.abc import Iterator
from pathlib import Path

import nibabel
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.bench_page import BenchPage
from tests.browser.server_process import ServerProcess

TOKEN = "a-token-of-many-letters"


@pytest.fixture
def protected(tmp_path: Path, brain: nibabel.Nifti1Image) -> Iterator[ServerProcess]:
    """A server with a token that hides names."""
    (tmp_path / "scans").mkdir()
    nibabel.save(brain, tmp_path / "scans" / "smith.nii.gz")
    server = ServerProcess(tmp_path / "scans", ("--anonymous",), TOKEN)
    server.start()
    yield server
    server.kill()


def test_a_token_opens_the_page_once(protected: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    page.goto(f"{protected.address}/#/studies")
    page.get_by_label("Token").fill("wrong-token-of-many-letters")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text("token")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("a.study")).to_have_count(1)
    expect(page.locator("a.study")).not_to_contain_text("smith")
    page.reload()
    expect(page.locator("a.study")).to_have_count(1)
    assert TOKEN not in page.evaluate("document.cookie + JSON.stringify(localStorage) + location.href")


def test_the_address_that_is_printed_logs_in(protected: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{protected.address}/?token={TOKEN}")
    expect(page.get_by_text("What should be done?")).to_be_visible()
    assert "token" not in page.url


def test_a_header_is_shown_on_request_only(bench: BenchPage, server: ServerProcess) -> None:
    page = bench.page
    bench.open(server.new_task("Header", "one"), server.studies()["LPI"])
    expect(page.locator(".header-table")).to_have_count(0)
    page.get_by_role("button", name="What the file's header says").click()
    table = page.get_by_role("dialog").locator(".header-table")
    expect(table.get_by_role("row", name="dim", exact=False).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_anonymous_server_shows_no_header(protected: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    page.goto(f"{protected.address}/?token={TOKEN}")
    expect(page.get_by_text("What should be done?")).to_be_visible()
    task = protected.new_task("Header", "one")
    (study,) = protected.studies().values()
    bench = BenchPage(page, protected.address)
    bench.open(task, study)
    expect(page.get_by_role("button", name="What the file's header says")).to_be_hidden()
