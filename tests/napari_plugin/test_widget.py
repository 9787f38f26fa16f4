"""The widget in napari's own window, by its buttons."""

import time
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvg.napari_plugin.geometry import layer_affine, layer_array
from mvg.prediction.predictor import Predictor
from tests.prediction.learner import random_model
from tests.prediction.scans import scan


@pytest.fixture
def bench(screen: None) -> Iterator[tuple[Any, Any]]:
    """A viewer with an image and its widget."""
    import napari

    from mvg.napari_plugin.widget import LabelByExample

    viewer = napari.Viewer(show=False)
    try:
        image, _ = scan(seed=2)
        viewer.add_image(layer_array(image), name="scan", affine=layer_affine(image))
        widget = LabelByExample(viewer, lambda: Predictor(random_model(), "random"))
        viewer.window.add_dock_widget(widget)
        widget.query.reset_choices()
        yield viewer, widget
    finally:
        viewer.close()


def press(widget: Any, button: str, seconds: float = 120) -> None:
    """Press a button and wait for its answer."""
    widget.buttons[button].changed.emit(True)
    wait(widget, seconds)


def wait(widget: Any, seconds: float = 120) -> None:
    """Wait until no answer is being made."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while widget._worker is not None:
        QApplication.processEvents()
        time.sleep(0.01)
        assert time.monotonic() < end, "no answer"


def test_answer_paint_correct_and_undo(bench: tuple[Any, Any]) -> None:
    viewer, widget = bench
    image, labels = scan(seed=1)
    viewer.add_image(layer_array(image), name="example", affine=layer_affine(image))
    viewer.add_labels(layer_array(labels), name="example labels", affine=layer_affine(labels))
    for choice in (widget.example_image, widget.example_labels, widget.query):
        choice.reset_choices()
    widget.example_image.value, widget.query.value = viewer.layers["example"], viewer.layers["scan"]
    widget.example_labels.value = viewer.layers["example labels"]
    press(widget, "Add example")
    assert widget.examples.choices == ("example / example labels",)

    press(widget, "Answer")
    layer = viewer.layers["scan (mvg)"]
    assert layer.data.shape == viewer.layers["scan"].data.shape
    assert np.allclose(layer.data_to_world((1, 2, 3)), viewer.layers["scan"].data_to_world((1, 2, 3)))
    assert widget.status.value == "answered"

    before = layer.data[3].copy()
    truth = layer_array(scan(seed=2)[1])[3]
    layer.data[3] = truth
    press(widget, "Answer")
    assert np.array_equal(layer.data[3], truth)
    press(widget, "Undo correction")
    assert np.array_equal(layer.data[3], before)


def test_what_is_painted_while_slices_are_predicted_stays_and_counts_next_time(bench: tuple[Any, Any]) -> None:
    viewer, widget = bench
    widget.values.value = "3, 700"
    widget.query.value = viewer.layers["scan"]
    press(widget, "Answer")  # nothing is labeled yet: this opens an empty layer
    layer, truth = viewer.layers["scan (mvg)"], layer_array(scan(seed=2)[1])
    layer.data[2] = truth[2]
    widget.buttons["Answer"].changed.emit(True)
    layer.data[5] = truth[5]
    wait(widget)
    assert np.array_equal(layer.data[5], truth[5])
    press(widget, "Answer")
    assert np.array_equal(layer.data[5], truth[5])
    press(widget, "Undo correction")
    assert not np.array_equal(layer.data[5], truth[5])
    assert np.array_equal(layer.data[2], truth[2])


def test_an_error_is_a_line_in_the_viewer(bench: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list[str]()
    monkeypatch.setattr("mvg.napari_plugin.widget.show_error", lines.append)
    _, widget = bench
    press(widget, "Undo correction")
    assert lines == ["nothing that is being labeled; expected an image that was answered; press Answer first."]
    widget.values.value = "one"
    press(widget, "Answer")
    assert lines[1:] == ["the label values 'one'; expected whole numbers such as 1, 2, 5; correct them."]


def test_napari_knows_the_plugin() -> None:
    from npe2 import PluginManifest

    (entry,) = entry_points(group="napari.manifest", name="mvg")
    folder, file = entry.value.split(":")
    manifest = PluginManifest.from_file(Path(str(import_module(folder).__file__)).with_name(file))
    assert [widget.display_name for widget in manifest.contributions.widgets or ()] == ["Label by example"]
    for command in manifest.contributions.commands or ():
        module, name = str(command.python_name).split(":")
        assert callable(getattr(import_module(module), name))
