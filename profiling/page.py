"""Measures the page of the workbench in Chromium: bytes, seconds until it is ready, and when a stroke is seen.

python -m profiling.page --output FILE.json [--shape 256 256 128] [--strokes 30]

The server and its one study are local. `transferred_bytes` is what the browser received for the list of studies and for
the bench, compressed as it was sent. A stroke is timed in the page, from the event of the mouse to the end of the first
frame that is drawn after its labels were handed to the graphics card; the request that saves it is on its way
meanwhile. Without a graphics card Chromium draws in software, which is slower: there the stroke is shown above the
picture at once, and `until_seen` ends with the first frame that begins after that one.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from mvg.benchmark.provenance import provenance
from mvg.imaging.files import write
from mvg.imaging.volume import Volume
from profiling.chromium import Screen, tab
from profiling.serving import API, Served, serving
from profiling.workbench import phantom

_PAUSE = 500  # milliseconds between strokes: of a hand that lifts the pen, and until software has drawn the picture
_TIMES = """
window.strokes = [];
let down = null, uploaded = null, painting = null, until_seen = null;
addEventListener("pointerdown", (event) => ((down = painting = event.timeStamp), (until_seen = null)), true);
const { stroke } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.stroke = function (...parts) {
    stroke.apply(this, parts);
    if (painting === null || this.lineCap !== "round") return;
    const began = painting;
    painting = null;
    requestAnimationFrame(() => requestAnimationFrame((time) => (until_seen = time - began)));
};
const { texSubImage3D } = WebGL2RenderingContext.prototype;
WebGL2RenderingContext.prototype.texSubImage3D = function (...parts) {
    texSubImage3D.apply(this, parts);
    if (down === null) return;
    const began = down;
    down = null;
    uploaded = { began, until_upload: performance.now() - began };
};
for (const name of ["drawArrays", "drawElements"]) {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...parts) {
        draw.apply(this, parts);
        if (!uploaded) return;
        const { began, until_upload } = uploaded;
        uploaded = null;
        requestAnimationFrame(() => {
            const until_drawn = performance.now() - began;
            window.strokes.push({ until_upload, until_drawn, until_seen: until_seen ?? until_drawn });
        });
    };
}
"""


def main() -> None:
    """Measure, print and write the result file. Needs Linux and the program `chromium`."""
    parser = argparse.ArgumentParser(prog="python -m profiling.page", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 128])
    parser.add_argument("--strokes", type=int, default=30)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    header = provenance(" ".join(["python -m profiling.page", *sys.argv[1:]]), 0)
    shape = (arguments.shape[0], arguments.shape[1], arguments.shape[2])
    result = {"provenance": header, "shape": list(shape), **measure(shape, arguments.strokes)}
    print(json.dumps({name: value for name, value in result.items() if name != "provenance"}, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(shape: tuple[int, int, int], strokes: int) -> dict[str, Any]:
    """All figures. RuntimeError where there is no Chromium."""
    with tempfile.TemporaryDirectory(prefix="mvg-") as temporary:
        folder = Path(temporary) / "scans"
        folder.mkdir()
        write(Volume(phantom(shape, 0)[0], np.diag([1.0, 1, 1.5, 1])), folder / "scan.nii")
        with serving(folder, "tiny") as server, tab(Screen(1400, 900), _TIMES) as page:
            (study,) = server.wait_for_scan()
            return _measured(page, server, study, strokes)


def _measured(page: Page, server: Served, study: str, strokes: int) -> dict[str, Any]:
    labels = [{"name": "first"}, {"name": "second"}]
    task = server.http.post(f"{API}/tasks", json={"name": "t", "labels": labels}).raise_for_status().json()["id"]
    received = _received(page)
    ready = _seconds_until(page, f"{server.address}/#/studies/{task}", ".study")
    page.wait_for_timeout(500)
    list_bytes = received["bytes"]
    bench = _seconds_until(page, f"{server.address}/#/bench/{task}/{study}", ".save[data-state=saved]")
    page.locator(".view .veil").wait_for(state="hidden")
    box = page.locator(".overlay").bounding_box()
    assert box is not None, "a study is open"
    for number in range(strokes):
        page.mouse.move(box["x"] + box["width"] * (0.1 + 0.4 * number / strokes), box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.up()
        while page.evaluate("window.strokes.length") <= number:  # the page's policy forbids functions made of strings
            page.wait_for_timeout(10)
        page.wait_for_selector(".save[data-state=saved]")
        page.wait_for_timeout(_PAUSE)
    times = page.evaluate("window.strokes")
    return {
        "ready_seconds": round(ready, 2), "bench_seconds": round(bench, 2),
        "transferred_bytes": {"list": list_bytes, "with_bench": received["bytes"], "study": received["study"]},
        "stroke_ms": {name: _spread([one[name] for one in times]) for name in times[0]},
    }  # fmt: skip


def _received(page: Page) -> dict[str, int]:
    """Counts what the page's files and answers take on the way; voxels of the study apart."""
    session, counts, volumes = page.context.new_cdp_session(page), {"bytes": 0, "study": 0}, set[str]()
    session.send("Network.enable")

    def begun(event: dict[str, Any]) -> None:
        if event["request"]["url"].endswith(".nii"):
            volumes.add(event["requestId"])

    def finished(event: dict[str, Any]) -> None:
        counts["study" if event["requestId"] in volumes else "bytes"] += int(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", begun)
    session.on("Network.loadingFinished", finished)
    return counts


def _seconds_until(page: Page, address: str, selector: str) -> float:
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(selector)
    return time.perf_counter() - start


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "slowest": round(max(values), 1)}


if __name__ == "__main__":
    main()
