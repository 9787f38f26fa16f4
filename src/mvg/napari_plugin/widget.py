"""The widget "Label by example": examples from layers, answers as a labels layer, corrections by painting in it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, Label, LineEdit, ProgressBar, PushButton, Select, create_widget
from napari.layers import Image, Labels
from napari.qt.threading import thread_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from numpy.typing import NDArray

import mvg
from mvg.errors import MvgError, PromptError
from mvg.napari_plugin.geometry import label_map_of, layer_affine, volume_of
from mvg.napari_plugin.labeling import Example, Labeling, SliceUpdate

_SUFFIX = " (mvg)"


class LabelByExample(Container):  # type: ignore[type-arg]
    """Examples, an image, "Answer"; painted slices are corrections of the next answer."""

    def __init__(self, viewer: Viewer, load: Callable[[], Any] = mvg.load) -> None:
        self._viewer, self._labeling = viewer, Labeling(load)
        self._image: Image | None = None
        self._answer: Labels | None = None
        self._drawn = np.zeros((0, 0, 0), np.uint8)  # the labels without what was painted since
        self._worker: Any = None
        self.example_image = _layers("Image", Image)
        self.example_labels = _layers("Labels", Labels)
        self.examples = Select(label="Examples", choices=self._example_names)
        self.query = _layers("Label this image", Image)
        self.values = LineEdit(label="Label values", value="1", tooltip="used where there is no example: 1, 2, 5")
        self.progress, self.status = ProgressBar(label=" ", min=0, max=1, value=0), Label(value="")
        buttons = {
            "Add example": self.add_example, "Remove examples": self.remove_examples, "Answer": self.answer,
            "This slice is right": self.confirm, "Undo correction": self.undo, "Next uncertain slice": self.go_on,
        }  # fmt: skip
        self.buttons = {name: PushButton(text=name) for name in buttons}
        for name, action in buttons.items():
            self.buttons[name].changed.connect(self._guarded(action))
        add, remove, *rest = self.buttons.values()
        super().__init__(widgets=[
            self.example_image, self.example_labels, add, self.examples, remove, self.query, self.values, *rest,
            self.progress, self.status,
        ])  # fmt: skip

    def add_example(self) -> None:
        """Make the chosen image and labels an example."""
        image, labels = self.example_image.value, self.example_labels.value
        if image is None or labels is None:
            raise PromptError("no image or no labels", "one layer of each", "choose both")
        volume, label_map = volume_of(image), label_map_of(labels)
        if not volume.same_grid(label_map):
            raise PromptError(
                f"'{image.name}' and '{labels.name}' on two grids", "labels on the grid of their image",
                "choose the labels of this image",
            )  # fmt: skip
        if not label_map.values:
            raise PromptError(f"'{labels.name}' without any label", "labels other than 0", "paint some first")
        self._labeling.examples.append(Example(f"{image.name} / {labels.name}", volume, label_map))
        self._image = None  # the next answer is from all examples
        self.examples.reset_choices()

    def remove_examples(self) -> None:
        """Remove the selected examples."""
        chosen = set(self.examples.value)
        self._labeling.examples = [one for one in self._labeling.examples if one.name not in chosen]
        self._image = None
        self.examples.reset_choices()

    def answer(self) -> None:
        """Answer the chosen image; slices that were painted since the last answer are corrections."""
        self._refuse_while_running()
        if self.query.value is None:
            raise PromptError("no image to label", "an image layer", "open an image")
        if self.query.value is self._image and self._answer is not None and self._answer in self._viewer.layers:
            self._take(())
        else:
            self._open(self.query.value)
        self._start(self._labeling.updates())

    def confirm(self) -> None:
        """The displayed slice is right as it is; together with what was painted it becomes a correction."""
        layer = self._layer()
        axis = self._axis()
        index = round(float(layer.world_to_data(self._viewer.dims.point)[axis]))
        self._take((index,))
        self.status.value = f"slice {index} is kept as it is"

    def undo(self) -> None:
        """Take back the last correction."""
        self._refuse_while_running()
        self._take(())
        changed = self._labeling.undo()
        for update in changed:
            self._display(update)
        self.status.value = "the last correction is taken back" if changed else "there is no correction"

    def go_on(self) -> None:
        """Display the slice that is worth correcting next."""
        self._refuse_while_running()
        layer, chosen = self._layer(), self._labeling.uncertain()
        if chosen is None:
            self.status.value = "all slices were corrected"
            return
        axis, index = chosen
        order = [axis, *(other for other in range(3) if other != axis)]
        self._viewer.dims.order = tuple(order)
        point = [0.0, 0.0, 0.0]
        point[axis] = index
        self._viewer.dims.set_point(axis, layer.data_to_world(tuple(point))[axis])
        self.status.value = f"slice {index} is the least certain"

    def _open(self, image: Image) -> None:
        volume = volume_of(image)
        self._labeling.open(volume, _values_in(self.values.value))
        name = f"{image.name}{_SUFFIX}"
        if name in self._viewer.layers:
            self._viewer.layers.remove(name)
        flat = image.ndim == 2
        array = self._labeling.displayed.copy()
        matrix = layer_affine(volume)
        self._answer = self._viewer.add_labels(
            array[0] if flat else array, name=name, affine=matrix[1:, 1:] if flat else matrix
        )
        self._image, self._drawn = image, array.copy()

    def _take(self, confirmed: tuple[int, ...]) -> None:
        array = self._array()
        self._labeling.take(array, self._axis(), confirmed)
        self._drawn = array.copy()

    def _array(self) -> NDArray[Any]:
        """The labels as they are displayed, of three axes."""
        array = np.asarray(self._layer().data)
        return array if array.ndim == 3 else array[None]

    def _layer(self) -> Labels:
        if self._answer is None or self._answer not in self._viewer.layers:
            raise PromptError("nothing that is being labeled", "an image that was answered", "press Answer first")
        return self._answer

    def _axis(self) -> int:
        """The axis across the slices that are displayed, of three."""
        return 0 if self._layer().ndim == 2 else int(self._viewer.dims.order[0])

    def _start(self, updates: Iterator[SliceUpdate]) -> None:
        layer = self._layer()
        self.progress.max, self.progress.value, self.status.value = layer.data.shape[0], 0, "answering"
        start = thread_worker(lambda: (yield from updates))
        worker = start()
        worker.yielded.connect(self._display)
        worker.returned.connect(lambda _: self._end("answered"))
        worker.errored.connect(self._failed)
        self._worker = worker
        worker.start()

    def _display(self, update: SliceUpdate) -> None:
        """Draw a slice, unless it was painted meanwhile: then it is a correction of the next answer."""
        axis, index, labels = update
        where = tuple(index if other == axis else slice(None) for other in range(3))
        array = self._array()
        if np.array_equal(array[where], self._drawn[where]):
            array[where] = self._drawn[where] = labels
            self._layer().refresh()
        self.progress.value = min(self.progress.value + 1, self.progress.max)

    def _end(self, status: str) -> None:
        self._worker, self.progress.value, self.status.value = None, self.progress.max, status

    def _failed(self, error: Exception) -> None:
        self._end("")
        show_error(str(error))

    def _refuse_while_running(self) -> None:
        if self._worker is not None:
            raise PromptError("an answer that is still being made", "a finished answer", "wait for it")

    def _guarded(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """An action whose errors are one line in the viewer."""

        def run(_: Any) -> None:
            try:
                action()
            except MvgError as error:
                show_error(str(error))

        return run

    def _example_names(self, _: Any = None) -> list[str]:
        return [one.name for one in self._labeling.examples]


def _layers(label: str, kind: type) -> ComboBox:
    widget = create_widget(annotation=kind, label=label)
    assert isinstance(widget, ComboBox), "napari offers layers as a list"
    return widget


def _values_in(text: str) -> list[int]:
    """The label values in a text such as "1, 2, 5"."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise PromptError(f"the label values '{text}'", "whole numbers such as 1, 2, 5", "correct them") from error
