"""Each screen, light and dark: readable, usable by keyboard and screen reader, and each error in its line."""

from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import BrowserContext, expect

from tests.browser.bench_page import PATIENCE, BenchPage
from tests.browser.server_process import ServerProcess


def violations(bench: BenchPage) -> list[str]:
    """What the rules of axe (WCAG) object to: rule and element."""
    results = Axe().run(bench.page).response["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in results for node in one["nodes"]]


CUT_OFF = """() => [...document.querySelectorAll("button, a.button, a.study, select, input, .segmented, .card")]
    .filter((element) => element.offsetParent !== null)
    .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return element.scrollWidth > element.clientWidth + 1 || left < -1 || right > innerWidth + 1;
    })
    .map((element) => element.outerHTML.slice(0, 160))"""


def test_nothing_is_cut_off_in_a_window_of_900_pixels(bench: BenchPage, server: ServerProcess) -> None:
    """Neither a button nor its text, on any screen; the picture keeps more than half of the width."""
    task, page = server.new_task("Narrow", "right ventricle of the heart", "two"), bench.page
    page.set_viewport_size({"width": 900, "height": 700})
    bench.open(task, server.studies()["RAS"])
    cut = {"bench": page.evaluate(CUT_OFF)}
    box = page.locator(".overlay").bounding_box()
    assert box is not None
    assert box["width"] > 450
    for name, address, selector in (
        ("studies", f"studies/{task}", "a.study"),
        ("task", f"task/{task}", ".label-table"),
    ):
        page.goto(f"{server.address}/#/{address}")
        expect(page.locator(selector).first).to_be_visible()
        cut[name] = page.evaluate(CUT_OFF)
    assert cut == {"bench": [], "studies": [], "task": []}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_screen_is_accessible(theme: str, bench: BenchPage, server: ServerProcess) -> None:
    task = server.new_task(f"Access {theme}", "one", "two")
    page = bench.page
    page.emulate_media(color_scheme="light" if theme == "light" else "dark", reduced_motion="reduce")
    problems: dict[str, list[str]] = {}

    def check(name: str) -> None:
        page.wait_for_timeout(300)
        expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE)  # a list is pale meanwhile
        problems[name] = violations(bench)

    bench.open(task, server.studies()["RAS"])
    bench.outline((0.2, 0.3), (0.4, 0.3), (0.3, 0.6))
    check("bench")
    page.keyboard.press("?")
    check("help")
    page.keyboard.press("Escape")
    page.click(".menu summary")
    check("export")
    page.goto(f"{server.address}/#/studies/{task}")
    expect(page.locator("a.study").first).to_be_visible()
    check("studies")
    page.goto(f"{server.address}/#/task/{task}")
    expect(page.locator(".label-table")).to_be_visible()
    check("task")
    page.get_by_role("button", name="New task").first.click()
    check("new task")
    lines = [f"{name}: {line}" for name, lines in problems.items() for line in lines]
    assert not lines, "\n".join(lines)


def test_a_color_picture_is_one_slice(bench: BenchPage, server: ServerProcess, tmp_path: Path) -> None:
    """It opens as it is stored, and its labels are exported as a picture of its size."""
    bench.open(server.new_task("Picture", "one"), server.studies()["film"])
    expect(bench.page.locator(".segmented").first).to_be_hidden()
    bench.outline((0.3, 0.2), (0.5, 0.2), (0.5, 0.5), (0.3, 0.5))
    labels = np.asarray(Image.open(bench.export("Labels of this study", tmp_path)))
    assert labels.shape == (41, 33)
    rows, columns = np.nonzero(labels)
    # The outline lay in the upper half of the picture, left of its right quarter.
    assert rows.max() < 26
    assert columns.max() < 25


@pytest.mark.parametrize(
    ("address", "line"),
    [("#/bench/{task}/0000000000000000", "Try again"), ("#/bench/{task}/{cut}", "cut.nii.gz")],
)
def test_errors_are_said_in_the_page(address: str, line: str, bench: BenchPage, server: ServerProcess) -> None:
    task = server.new_task("Errors", "one")
    bench.page.goto(f"{server.address}/{address.format(task=task, cut=server.studies()['cut'])}")
    expect(bench.page.locator(".view .veil")).to_contain_text(line)
    expect(bench.page.locator("h1")).to_have_text("")  # of no study


def test_the_list_shows_the_whole_reason_why_a_study_cannot_be_read(bench: BenchPage, server: ServerProcess) -> None:
    bench.page.set_viewport_size({"width": 1024, "height": 700})
    server.new_task("Reasons", "one")
    bench.page.goto(f"{server.address}/#/studies")
    reason = bench.page.locator(".study", has_text="cut.nii.gz").locator(".names .soft")
    expect(reason).to_contain_text("copy, download or convert it again")
    assert reason.evaluate("(element) => element.scrollWidth <= element.clientWidth")


def test_without_webgl_the_page_says_what_to_do(context: BrowserContext, server: ServerProcess) -> None:
    page = context.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"{server.address}/#/bench/{server.new_task('Blind', 'one')}/any")
    expect(page.get_by_text("offers no WebGL 2")).to_be_visible()


def test_the_guide_opens_on_the_first_visit_and_only_then(context: BrowserContext, server: ServerProcess) -> None:
    page = context.new_page()
    page.route("**/api/v1/tasks", lambda route: route.fulfill(json={"tasks": []}))
    page.goto(f"{server.address}/")
    expect(page.get_by_role("heading", name="1. Name a task")).to_be_visible()
    page.get_by_role("button", name="Close the guide").click()
    page.reload()
    expect(page.get_by_text("What should be done?")).to_be_visible()
    expect(page.locator(".guide")).to_have_count(0)


def test_escape_closes_the_guide_but_on_the_bench_an_outline_first(
    context: BrowserContext, server: ServerProcess
) -> None:
    page = context.new_page()
    page.route("**/api/v1/tasks", lambda route: route.fulfill(json={"tasks": []}))
    page.goto(f"{server.address}/")
    expect(page.get_by_text("What should be done?")).to_be_visible()
    page.evaluate("document.body.dataset.screen = 'bench'")
    page.keyboard.press("Escape")
    expect(page.locator(".guide")).to_have_count(1)
    page.evaluate("document.body.dataset.screen = 'task'")
    page.keyboard.press("Escape")
    expect(page.locator(".guide")).to_have_count(0)


def test_what_is_to_be_done_first_does_not_look_done(server: ServerProcess, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    bench = BenchPage(page, server.address)
    bench.open(server.new_task("Untouched", "one"), server.studies()["RAS"])
    bench.keys("a")
    hint = page.locator(".notice.hint")
    expect(hint).to_contain_text("Paint one slice first")
    expect(hint.locator(".icon use").first).to_have_attribute("href", "icons.svg#info")
