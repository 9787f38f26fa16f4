"""Takes the pictures of the workbench that the README and the manual show, in Chromium.

python -m profiling.screens --output docs/assets

The studies are changed copies of the average brain (ICBM 152) that nilearn ships: other contrast, noise and size. The
first has its tissue labels beside it and is the example; one is corrected, one accepted, two are predicted, one is new.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from mvg_client import UNKNOWN, Workbench
from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template
from playwright.sync_api import Page
from scipy import ndimage

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from profiling.chromium import Screen, tab
from profiling.serving import Served, serving

_STUDIES = 6
_LIGHT, _DARK = Screen(1360, 850), Screen(1360, 850, scheme="dark")
_LABELS = ("gray matter", "white matter")


def main() -> None:
    """Take the pictures. Needs Chromium and the extra `demo`."""
    parser = argparse.ArgumentParser(prog="python -m profiling.screens", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--weights", default="tiny")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "brains"
        folder.mkdir()
        _write_studies(folder)
        with serving(folder, arguments.weights) as server:
            server.wait_for_scan()
            with Workbench(server.address) as bench:
                task, corrected = _work(bench)
            with tab(_LIGHT) as page:
                _take(page, server, f"#/task/{task}", arguments.output / "workbench-task.png")
                _take(page, server, f"#/studies/{task}", arguments.output / "workbench-studies.png")
            with tab(_DARK) as page:
                _take_bench(page, server, f"#/bench/{task}/{corrected}", arguments.output / "workbench-bench.png")


def _write_studies(folder: Path) -> None:
    """Six brains at 2 mm; the first with labels."""
    image = load_mni152_template(resolution=2)
    gray, white = (load(resolution=2).get_fdata() for load in (load_mni152_gm_template, load_mni152_wm_template))
    labels = np.argmax(np.stack([1 - gray - white, gray, white]), axis=0).astype(np.uint8)
    for number in range(_STUDIES):
        rng = np.random.default_rng(number)
        scale = np.array([1.0, 1.0, 1.0]) if number == 0 else rng.uniform(0.93, 1.05, 3)
        middle = (np.array(image.shape) - 1) / 2
        moved = ndimage.affine_transform(image.get_fdata(), np.diag(1 / scale), middle - middle / scale, order=1)
        moved = moved / moved.max()
        voxels = moved ** rng.uniform(0.8, 1.25) + (moved > 0.02) * rng.normal(0, 0.015, moved.shape)
        write(Volume((1000 * voxels.clip(0)).astype(np.int16), image.affine), folder / f"sub-0{number + 1}_T1w.nii.gz")
    write(LabelMap(labels, image.affine), folder / "sub-01_T1w_labels.nii.gz")


def _work(bench: Workbench) -> tuple[str, str]:
    """A task whose studies are in all states; returns its id, and that of the study that is being corrected."""
    task = bench.create_task("Brain tissue", _LABELS)
    studies = sorted(bench.studies(), key=lambda study: str(study["name"]))
    task = bench.add_example(task, studies[0])
    bench.predict_all(task, studies[1:5]).wait()
    bench.open(task, studies[1]).finish()
    session = bench.open(task, studies[2])
    _, slices = session.uncertain(1)
    labels = session.labels()
    numbers = np.full(labels.shape[:2], UNKNOWN, np.uint8)
    index = slices[0]
    numbers[30:60, 40:70] = labels[30:60, 40:70, index]
    session.correct(2, index, numbers)
    for _ in session.predict():
        pass
    return str(task["id"]), str(studies[2]["id"])


def _take(page: Page, server: Served, fragment: str, path: Path) -> None:
    """A picture of a screen once nothing on it is being loaded."""
    page.goto(f"{server.address}/{fragment}")
    page.wait_for_load_state("networkidle")
    page.locator("[aria-busy=true]").first.wait_for(state="detached")
    time.sleep(1)  # pictures fade in
    page.screenshot(path=path)


def _take_bench(page: Page, server: Served, fragment: str, path: Path) -> None:
    """A picture of the bench: all planes, beside the midline, with the pen over them."""
    page.goto(f"{server.address}/{fragment}")
    page.wait_for_selector("canvas[aria-busy=false]")
    page.locator("[data-layout=all]").click()
    page.keyboard.press("v")
    page.mouse.click(500, 400)
    page.keyboard.press("b")
    page.mouse.move(330, 378)
    page.wait_for_selector("canvas[aria-busy=false]")
    time.sleep(2)  # in software, a frame takes a while
    page.screenshot(path=path)


if __name__ == "__main__":
    main()
