"""Pictures on their way back: what lies beyond the window stays where little changes, and goes where much does."""

import numpy as np
import pytest

from mvg.imaging.frame import Frame
from mvg.imaging.window import Window
from mvg.prediction.inference.query_volume import QueryVolume
from mvg.tasks import TaskSpec

SIZE = 8
WINDOW = Window(-160.0, 240.0)
RESIDUAL = TaskSpec("denoising", residual=True)


def restored(raw: float, predicted: float, spec: TaskSpec = RESIDUAL) -> float:
    """The raw intensity that comes out where all voxels are `raw` and the model predicts `predicted` in [0, 1]."""
    slices = np.full((1, 1, SIZE, SIZE), raw, np.float32)
    frame = Frame.letterbox((SIZE, SIZE), (1.0, 1.0), SIZE)
    query = QueryVolume(slices, "axial", (WINDOW,), (frame,))
    pictures = np.full((1, SIZE, SIZE), predicted, np.float32)
    picture = query.raw_prediction(0, query.squares(0)[:, 0], pictures, spec, Window(0.0, 1.0))
    assert picture.dtype == np.float32
    assert np.ptp(picture) < 1e-3
    return float(picture[0, 0])


@pytest.mark.parametrize("raw", [-160.0, 0.0, 240.0])
@pytest.mark.parametrize("predicted", [0.0, 0.3, 1.0])
def test_within_the_window_the_prediction_comes_out(raw: float, predicted: float) -> None:
    assert restored(raw, predicted) == pytest.approx(-160 + 400 * predicted, abs=1e-3)


@pytest.mark.parametrize(("raw", "edge"), [(-900.0, 0.0), (1200.0, 1.0)])
def test_beyond_the_window_small_changes_are_added(raw: float, edge: float) -> None:
    towards = -0.04 if edge else 0.04
    assert restored(raw, edge) == pytest.approx(raw), "nothing changes"
    assert restored(raw, edge + towards) == pytest.approx(raw + 400 * towards, abs=1e-2)


@pytest.mark.parametrize(("raw", "edge"), [(-1000.0, 0.0), (3000.0, 1.0)])
def test_beyond_the_window_large_changes_replace(raw: float, edge: float) -> None:
    """Missing rows of a CT are at -1000 HU, metal at 3000; what was behind both lies in the window."""
    assert restored(raw, 0.5) == pytest.approx(40.0, abs=1e-2)
    partly = restored(raw, edge + (0.075 if edge == 0 else -0.075))
    assert min(raw, 40.0) < partly < max(raw, 40.0), "from one to the other there is no step"


def test_changes_away_from_the_window_are_added() -> None:
    assert restored(-900.0, -0.3) == pytest.approx(-900.0 - 120.0, abs=1e-2)


def test_other_pictures_have_the_window_of_their_targets() -> None:
    assert restored(-900.0, 0.25, TaskSpec("synthesis")) == pytest.approx(0.25)
