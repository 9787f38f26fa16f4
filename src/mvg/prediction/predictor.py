"""The predictor: given example pairs, it does the same to new images."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mvg.errors import UnknownNameError
from mvg.imaging.conversion import ImageLike, LabelsLike, as_volume
from mvg.imaging.volume import Volume
from mvg.imaging.window import guess_modality
from mvg.model.device import device_named, prefers_bfloat16
from mvg.model.generalist import Generalist
from mvg.model.layers import reduce_precision
from mvg.model.weights import fingerprint, load_weights
from mvg.prediction import session_file, task_file
from mvg.prediction.huge_pages import prefer_huge_pages
from mvg.prediction.options import PredictionOptions
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.cutting import SliceLayout
from mvg.prediction.prompts.pairs import PairReader, PromptPairs, Volumes, fit_channels
from mvg.prediction.prompts.prompt_set import prepare
from mvg.prediction.prompts.task_choice import PromptImages, PromptTargets, task_spec
from mvg.prediction.prompts.zoom_plan import plan_zoom
from mvg.prediction.reconstruction import ReconstructionOptions, reconstruct
from mvg.prediction.registration.register import Registration, RegistrationOptions, register
from mvg.prediction.session import Session
from mvg.prediction.session_start import SessionStart, check_values
from mvg.tasks.measurement import Measurement

PRECISIONS = ("auto", "float32")


class Predictor:
    """A model that takes prompts; it holds nothing else."""

    def __init__(self, model: Generalist, name: str = "") -> None:
        """`model` on the device that it runs on; `name`: the id or path of its weights, written to task files."""
        self.model, self.name = model.eval(), name

    def prompt(
        self,
        images: Volumes[ImageLike],
        targets: Volumes[LabelsLike],
        task: str | None = None,
        options: PredictionOptions | None = None,
        *,
        modality: str | None = None,
        names: Sequence[str] = (),
        labels: Sequence[int] | None = None,
    ) -> PromptedTask:
        """Take example pairs and return a task that does the same to any query.

            task = predictor.prompt([image], [labels])
            labels = task(query).volume

        images, targets: one target per image, on the same grid: Volumes and LabelMaps, paths, images of nibabel or
        SimpleITK, or (array, affine to RAS+ mm), see `mvg.imaging.conversion`. Each pair is read once. task:
        "segmentation", "synthesis", "inpainting", "denoising" or another kind; None where all targets are labels.
        modality: "CT" if intensities are HU, anything else if they are not, in prompts and queries; None guesses.
        names: of the pairs, for messages. labels: the values that may be predicted and corrected, also those that no
        pair shows yet; None for all that occur. Raises PromptError for pairs that cannot serve, GeometryError for a
        pair on two grids or of other types, FileError for files that cannot be read, UnknownNameError for names.
        """
        options = options or PredictionOptions()
        spec = task_spec(task)
        pairs = PromptPairs(PromptImages(images), PromptTargets(targets, task), names, modality)
        reader = PairReader(pairs, spec.predicted, self.model.config.inputs)
        values = None if labels is None else tuple(labels)
        prompts = prepare(reader, SliceLayout(self.model.config.size, values=values))
        reader.report_annotation()
        zoom = plan_zoom(reader, prompts) if options.zoom == "auto" else None
        return PromptedTask(self.model, self.name, spec, prompts, options, zoom)

    def open(self, volume: ImageLike, labels: Sequence[int], modality: str | None = None) -> Session:
        """Label a volume slice by slice, without any example pair; `labels`: the values that may be used.

        volume: as the images of `prompt`. Raises PromptError for no values, more than 255, or 0 among them.
        """
        check_values(labels)
        volume = fit_channels(as_volume(volume, "the volume"), self.model.config.inputs, "the volume")
        return Session(self.model, volume, SessionStart(tuple(labels), modality or guess_modality(volume.voxels)))

    def open_session(self, path: str | Path) -> Session:
        """A saved session, as it was. Raises FileError, or WeightsError where other weights saved it."""
        contents = session_file.load(Path(path))
        contents.check(fingerprint(self.model), Path(path))
        session = Session(self.model, contents.volume, SessionStart(contents.values, contents.modality))
        session.restore(contents)
        return session

    def register(self, moving: ImageLike, fixed: ImageLike, options: RegistrationOptions | None = None) -> Registration:
        """Align a moving image with a fixed one; the field and the warped image lie on the fixed grid.

            registration = predictor.register("before.nii.gz", "after.nii.gz")
            labels = registration.field.warp_labels(mvg.read_labels("labels_before.nii.gz"))

        See `mvg.prediction.registration.register` for the options and errors.
        """
        return register(moving, fixed, options)

    def reconstruct(
        self, measurement: Measurement, complete: Sequence[Volume], options: ReconstructionOptions | None = None
    ) -> Volume:
        """The volume of incomplete raw data, with which it agrees.

            measurement = mvg.tasks.measurement.read_measurement("scan.h5")
            volume = predictor.reconstruct(measurement, [mvg.read("other_patient.nii.gz")])

        complete: volumes of other patients. Raises PromptError for none, or options out of range, and what `prompt`
        raises. Pictures are not corrected by the weights' refiner, which has not seen what the steps before leave.
        """
        plain = Predictor(self.model.without_refiner(), self.name)

        def learn(images: list[Volume], targets: list[Volume]) -> Callable[[Volume], Volume]:
            task = plain.prompt(images, targets, "reconstruction")

            def predict(image: Volume) -> Volume:
                volume = task(image).volume
                assert isinstance(volume, Volume), "a task of pictures"
                return volume

            return predict

        return reconstruct(learn, measurement, complete, options or ReconstructionOptions())

    def load_task(self, path: str | Path) -> PromptedTask:
        """A saved task for this model. Raises FileError, or WeightsError for another picture size."""
        contents = task_file.load(Path(path))
        task_file.check_size(contents, self.model.config.size, Path(path))
        task = PromptedTask(self.model, self.name, contents.spec, contents.prompts, contents.options, contents.zoom)
        if contents.fingerprint == fingerprint(self.model):
            task.restore_caches(contents)
        return (
            task
            if contents.adapter is None
            else task.adapted(contents.adapter.to(next(self.model.parameters()).device))
        )


def load(weights: str | Path = "tiny", device: str = "auto", precision: str = "auto") -> Predictor:
    """A predictor with shipped weights (an id) or with those of a folder.

    device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is. precision: "float32", or "auto" for
    products in bfloat16 on CPUs that are faster at it; labels then differ in a few pixels of a thousand, at edges.
    Raises WeightsError for unknown or damaged weights, UnknownNameError for a device that is not there, or another
    precision.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    chosen = device_named(device)
    if chosen.type == "cpu":
        prefer_huge_pages()
    model = load_weights(weights, chosen)
    if precision == "auto" and model.config.form == "matching" and prefers_bfloat16(chosen):
        reduce_precision(model)
    return Predictor(model, str(weights))


def load_task(path: str | Path, weights: str | Path | None = None, device: str = "auto") -> PromptedTask:
    """A saved task, with the weights that it names or others of the same kind. Raises FileError, WeightsError."""
    return load(weights or task_file.weights_of(Path(path)), device).load_task(path)
