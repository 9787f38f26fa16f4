"""Contact sheets draw the truth, the query and every prediction beside each other."""

from pathlib import Path

import numpy as np
from PIL import Image

from mvg.benchmark.protocol.cases import EvalCase
from mvg.benchmark.protocol.method import Prompt
from mvg.benchmark.report.contact_sheet import ContactSheet
from mvg.data.case import Card, Case
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import tasks_for


def test_a_sheet_shows_every_method_beside_the_truth(tmp_path: Path) -> None:
    card = Card("synthetic", "synthetic", "MRI", "", ("T1",), {1: "thing"})
    labels = LabelMap(np.pad(np.ones((8, 8, 1), int), ((4, 4), (4, 4), (1, 1))), np.diag([-1.0, -1.0, 2.0, 1.0]))
    image = Volume(labels.voxels * 50.0, labels.affine)
    prompt = Prompt("a", "p", image, labels)
    task = tasks_for(card)[-1]
    case = EvalCase(task, Case("c", "q", ()), image, labels, (prompt,), {"whole": None})
    sheet = ContactSheet(tmp_path / "new" / "sheet.png")
    empty = LabelMap(np.zeros_like(labels.voxels), labels.affine)
    sheet.add(case, {"a very long name that does not fit its picture at all": labels, "empty": empty}, "first")
    sheet.add(case, {"right": labels}, "second")
    picture = np.asarray(Image.open(tmp_path / "new" / "sheet.png")).astype(int)
    assert picture.shape == (2 * 252, 6 * 220, 3)
    cells = [picture[32:252, 220 * n : 220 * (n + 1)] for n in range(6)]
    np.testing.assert_array_equal(cells[3], cells[4])  # the truth and the right prediction
    np.testing.assert_array_equal(cells[5], cells[2])  # an empty prediction is the bare query
    assert (cells[3] != cells[2]).any()
    assert (picture[252 + 32 :, 5 * 220 :] == 0).all()
