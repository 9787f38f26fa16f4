"""Each tool of the bench, and the comparison of predicted pictures."""

import numpy as np
from playwright.sync_api import expect

from tests.browser.bench_page import BenchPage
from tests.browser.server_process import ServerProcess
from tests.browser.test_journey import PART, TORSO, labels_on_the_screen


def test_fill_erase_copy_and_confirm(bench: BenchPage, server: ServerProcess) -> None:
    bench.open(server.new_task("Tools", "one", "two"), server.studies()["RAS"])
    bench.outline(*TORSO)
    outlined = labels_on_the_screen(bench, server)[:, :, 12]

    bench.keys("2", "f")
    assert bench.click(0.3, 0.45).label == "one"
    bench.saved()
    np.testing.assert_array_equal(labels_on_the_screen(bench, server)[:, :, 12], outlined * 2)

    bench.keys("ArrowUp", "c")
    bench.saved()
    np.testing.assert_array_equal(labels_on_the_screen(bench, server)[:, :, 13], outlined * 2)

    bench.keys("e")
    bench.click(0.3, 0.45)
    bench.saved()
    erased = labels_on_the_screen(bench, server)[:, :, 13]
    assert 0 < np.count_nonzero(erased) < np.count_nonzero(outlined)

    bench.keys("ArrowUp", "k")
    bench.saved()
    assert "3 slices given" in bench.status
    assert not labels_on_the_screen(bench, server)[:, :, 14].any()


def test_the_wheel_changes_slices_and_the_brush(bench: BenchPage, server: ServerProcess) -> None:
    bench.open(server.new_task("Wheel", "one"), server.studies()["RAS"])
    before = bench.point(0.3, 0.5).voxel
    bench.page.mouse.wheel(0, 100)
    expect(bench.page.locator(".where")).to_have_text("axial 12 / 25")
    assert bench.point(0.3, 0.5).voxel == (before[0], before[1], 11)
    size = bench.page.locator(".size output")
    assert size.inner_text() == "9"
    bench.page.keyboard.down("Shift")
    bench.page.mouse.wheel(0, -100)
    bench.page.keyboard.up("Shift")
    expect(size).to_have_text("10")


def test_a_painted_void_is_filled_and_compared(bench: BenchPage, server: ServerProcess) -> None:
    study = server.studies()["RAS"]
    task = str(server.request("POST", "tasks", name="Fill", kind="inpainting", labels=[])["id"])
    server.request("POST", f"tasks/{task}/examples", study=study, target=study)
    bench.open(task, server.studies()["LPI"])
    bench.outline(*PART)
    assert labels_on_the_screen(bench, server)[:, :, 12].any()
    bench.keys("a")
    slider = bench.page.get_by_role("slider", name="Between query and answer")
    expect(slider).to_be_visible()
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "52")
    bench.page.get_by_role("button", name="Difference").click()
    expect(bench.page.locator(".legend")).to_contain_text("red: brighter")


def test_long_lists_are_paged(bench: BenchPage, server: ServerProcess) -> None:
    """Only one page of 10 000 studies is fetched at a time."""
    (study, *_) = server.request("GET", "studies?limit=1")["studies"]  # type: ignore[misc]
    offsets: list[str] = []

    def reply(route, request) -> None:  # type: ignore[no-untyped-def]
        offset = request.url.partition("offset=")[2].partition("&")[0]
        offsets.append(offset)
        rows = [
            {**study, "id": f"s{number}", "name": f"study {int(offset) + number}", "shape": [2, 2, 2]}
            for number in range(25)
        ]
        counts = {"new": 10_000, "answered": 0, "correcting": 0, "done": 0}
        route.fulfill(
            json={"total": 10_000, "offset": int(offset), "scanning": False, "counts": counts, "studies": rows}
        )

    bench.page.route("**/api/v1/studies?*", reply)
    bench.page.goto(f"{server.address}/#/studies/{server.new_task('Long', 'one')}")
    expect(bench.page.get_by_text("1 to 25 of 10,000")).to_be_visible()
    bench.page.get_by_role("button", name="On", exact=True).click()
    expect(bench.page.get_by_text("study 25")).to_be_visible()
    assert {"0", "25"} == set(offsets)
