"""A server on real images, and a real browser. Every test ends without an error in the browser's console."""

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.bench_page import PATIENCE, BenchPage
from tests.browser.server_process import ServerProcess
from tests.browsers import LEFT_OUT, browser_path

ORIENTATIONS = ("RAS", "LPI", "ASL", "PIR")
_FLAGS = (
    "--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_EXPECTED = ("net::ERR_", "Failed to load resource")  # of a server that a test killed


@pytest.fixture(scope="session")
def brain() -> nibabel.Nifti1Image:
    """A real head of 33 x 41 x 25 voxels, which nibabel ships."""
    path = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
    return nibabel.as_closest_canonical(nibabel.load(path))


def oriented(image: nibabel.Nifti1Image, axes: str) -> nibabel.Nifti1Image:
    """The same image with its voxels stored along other axes."""
    wanted = nibabel.orientations.axcodes2ornt(axes)
    return image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, brain: nibabel.Nifti1Image) -> Path:
    """The head in four orientations, a picture of it, a ramp of intensities, and a file that is cut off."""
    studies = tmp_path_factory.mktemp("browser") / "studies"
    studies.mkdir()
    for axes in ORIENTATIONS:
        nibabel.save(oriented(brain, axes), studies / f"{axes}.nii.gz")
    x, y, z = np.indices(brain.shape)
    nibabel.save(
        oriented(nibabel.Nifti1Image((9 * x + 5 * y + 12 * z).astype(np.int16), brain.affine), "LPI"),
        studies / "ramp.nii.gz",
    )
    middle = np.asarray(brain.dataobj)[:, :, brain.shape[2] // 2]
    picture = (np.rot90(middle) / middle.max() * 255).astype(np.uint8)
    Image.fromarray(np.stack([picture, picture // 2, 255 - picture], -1)).save(studies / "film.png")
    (studies / "cut.nii.gz").write_bytes((studies / "RAS.nii.gz").read_bytes()[:500])
    return studies


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[ServerProcess]:
    """One server for all tests; each makes a task of its own."""
    server = ServerProcess(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        pytest.fail(LEFT_OUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1180, "height": 760})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    errors: list[str] = []
    context.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert [line for line in errors if not any(text in line for text in _EXPECTED)] == []


@pytest.fixture
def bench(context: BrowserContext, server: ServerProcess) -> BenchPage:
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mvg.guide', 'closed')")
    return BenchPage(page, server.address)


def native_index(image: nibabel.Nifti1Image) -> NDArray[np.int64]:
    """For each voxel in RAS order, where it lies in the array of the file, flat."""
    numbers = np.arange(np.prod(image.shape), dtype=np.float64).reshape(image.shape)
    return np.asarray(nibabel.as_closest_canonical(nibabel.Nifti1Image(numbers, image.affine)).dataobj).astype(np.int64)
