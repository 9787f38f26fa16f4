"""The routes that 3D Slicer's plug-in and other viewers call."""

import hmac
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

import mvg
from mvg.imaging.files import read_labels, suffix_of, write
from mvg.server.api.access import Bench, file_response
from mvg.server.api.parts import FilePart, FileParts, uploads_of
from mvg.server.finished import finished_path
from mvg.server.monailabel.images import image_file, image_id, image_suffix, row_of
from mvg.server.monailabel.inference import infer_labels, multipart
from mvg.server.monailabel.labels import SubmittedLabel, label_numbers, model_names, numbered, submit
from mvg.server.monailabel.samples import ALL, STRATEGIES, every_study, finished_tasks, next_study
from mvg.server.refusals import RefusedError, missing
from mvg.server.uploads import store_file, store_uploads
from mvg.server.workbench import Workbench

PREFIX = "/monailabel"
_FINAL = "final"

router = APIRouter(prefix=PREFIX, tags=["MONAI Label"])


@router.get("/info")
def info(bench: Bench) -> dict[str, Any]:
    """The models, their labels and the strategies."""
    records = model_names(bench)
    models = {
        name: {
            "type": "segmentation", "labels": label_numbers(record), "dimension": 3, "config": {},
            "description": f"{len(record.examples)} examples",
        }
        for name, record in records.items()
    }  # fmt: skip
    labels = list(dict.fromkeys(label.name for record in records.values() for label in record.labels))
    return {
        "name": "mvg", "description": "mvg: predicts what examples show", "version": mvg.__version__, "labels": labels,
        "models": models, "trainers": {}, "scoring": {}, "train_stats": {},
        "strategies": {name: {"description": text} for name, text in STRATEGIES.items()},
        "datastore": _status(bench), "config": {},
    }  # fmt: skip


@router.get("/auth")
def auth(bench: Bench) -> dict[str, Any]:
    """Whether a token is needed; it is the password of any user."""
    return {"enabled": bench.settings.token is not None}


@router.post("/auth/token")
def auth_token(bench: Bench, password: Annotated[str, Form()], username: Annotated[str, Form()] = "") -> dict[str, str]:
    """The token for a password, which is the token."""
    token = bench.settings.token or ""
    if not hmac.compare_digest(password.encode(), token.encode()):
        raise RefusedError(401, "a wrong password", "the token that `mvg serve` printed", "copy it from there")
    return {"access_token": token, "token_type": "bearer"}


@router.get("/auth/token/valid")
def auth_valid(request: Request) -> dict[str, Any]:
    """Whether the token is right."""
    if not request.scope.get("mvg_authorized", True):
        raise RefusedError(401, "a wrong token", "the token that `mvg serve` printed", "copy it from there")
    return {}


@router.post("/activelearning/{strategy}")
def next_sample(bench: Bench, strategy: str) -> dict[str, Any]:
    """The study to label next; empty where none is left."""
    row = next_study(bench, strategy)
    return {} if row is None else {"id": image_id(bench, row), "name": f"{image_id(bench, row)}{image_suffix(row)}"}


@router.get("/datastore")
def datastore(bench: Bench, output: str = "stats") -> dict[str, Any]:
    """The images and their labels, or how many there are."""
    if output != "all":
        return _status(bench)
    finished, objects = finished_tasks(bench), {}
    for row in every_study(bench):
        labels = {}
        if row.id in finished:
            names = {"label_names": label_numbers(finished[row.id])}
            labels[_FINAL] = {"ext": ".nii.gz", "info": {"params": names}}
        name = image_id(bench, row)
        objects[name] = {"image": {"ext": image_suffix(row), "info": {"name": name}}, "labels": labels}
    return {"objects": objects}


@router.put("/datastore")
@router.put("/datastore/image")
def add_image(bench: Bench, file: FilePart, image: str = "", params: Annotated[str, Form()] = "{}") -> dict[str, Any]:
    """Upload an image; its id is ours."""
    return {"image": image_id(bench, _uploaded(bench, [file]))}


@router.get("/datastore/image")
def download_image(bench: Bench, image: str) -> Response:
    """The file of an image."""
    row = row_of(bench, image)
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        content = image_file(bench, row, Path(folder)).read_bytes()
    return file_response(content, f"{image_id(bench, row)}{image_suffix(row)}")


@router.head("/datastore/image")
def has_image(bench: Bench, image: str) -> Response:
    """Whether there is an image."""
    row_of(bench, image)
    return Response()


@router.get("/datastore/image/info")
def image_info(bench: Bench, image: str) -> dict[str, Any]:
    """What is known of an image."""
    return {"name": image_id(bench, row_of(bench, image))}


@router.put("/datastore/label")
def save_label(
    bench: Bench, image: str, label: FilePart, params: Annotated[str, Form()] = "{}", tag: str = _FINAL
) -> dict[str, Any]:
    """Accept labels: they are an example from now on."""
    row = row_of(bench, image)
    names = [SubmittedLabel(str(one["name"]), int(one["idx"])) for one in _object(params).get("label_info") or ()]
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        path = store_file(uploads_of([label])[0], Path(folder) / "label")
        submit(bench, row, read_labels(path), names)
    return {"image": image_id(bench, row), "label": image_id(bench, row)}


@router.get("/datastore/label")
def download_label(bench: Bench, label: str, tag: str = _FINAL) -> Response:
    """The accepted labels of an image."""
    row = row_of(bench, label)
    record = finished_tasks(bench).get(row.id)
    if record is None or tag not in (_FINAL, ""):
        raise missing("accepted label of the image", label, "submit one first")
    accepted = numbered(read_labels(finished_path(bench.records.folder(record.id), row)), record)
    with tempfile.TemporaryDirectory(prefix="mvg-") as folder:
        path = Path(folder) / "label.nii.gz"
        write(accepted, path)
        return file_response(path.read_bytes(), f"{image_id(bench, row)}.nii.gz")


@router.put("/session")
def create_session(bench: Bench, files: FileParts) -> dict[str, Any]:
    """Upload an image for a while."""
    row = _uploaded(bench, files)
    return {"session_id": row.id, "session_info": {"image": image_id(bench, row)}}


@router.get("/session/{session}")
def get_session(bench: Bench, session: str) -> dict[str, Any]:
    """The image of a session."""
    return {"name": session, "image": image_id(bench, bench.library.row(session))}


@router.delete("/session/{session}")
def remove_session(bench: Bench, session: str) -> dict[str, Any]:
    """Remove the image of a session, unless it was labeled."""
    row = bench.library.row(session)
    used = any(example.study == row.id for record in bench.records.all() for example in record.examples)
    if row.file.origin == "upload" and not used:
        for identity in bench.sessions.in_memory():
            if identity.endswith(f".{row.id}"):
                bench.sessions.release(identity)
        bench.workspace.discard(bench.workspace.uploads / row.file.path.split("/")[0])
        bench.library.forget(row.id)
    return {"name": session}


@router.post("/infer/{model}")
def infer(
    bench: Bench, model: str, request: Request, params: Annotated[str, Form()] = "{}", file: FilePart = None,
    image: str = "", session_id: str = "",
) -> Response:  # fmt: skip
    """The labels that a model predicts for an image."""
    record = model_names(bench).get(model)
    if record is None:
        raise missing("model", model, "choose one that /info lists")
    options, output = _object(params), request.query_params.get("output", "all")
    row = _uploaded(bench, [file]) if file is not None else row_of(bench, session_id or image)
    suffix = str(options.get("result_extension") or ".nii.gz")
    if suffix_of(f"x{suffix}") != suffix:
        raise RefusedError(422, f"the format '{suffix[:20]}'", "a suffix such as .nii.gz or .nrrd", "choose one")
    content = infer_labels(bench, record, row, suffix)
    facts = {"label_names": label_numbers(record), "label": label_numbers(record)}
    if output == "image":
        return file_response(content, f"{image_id(bench, row)}{suffix}")
    if output == "json":
        return Response(json.dumps(facts), media_type="application/json")
    return multipart(facts, f"{image_id(bench, row)}{suffix}", content)


@router.get("/train")
def training() -> Response:
    """No training is running: submitted labels count at once."""
    raise missing("training", "running", "submit labels; they count at once")


@router.post("/train")
@router.post("/train/{model}")
def train(model: str = "") -> Response:
    """Nothing is trained."""
    raise RefusedError(409, "a request to train", "submitted labels, which are examples at once", "press Run")


@router.delete("/train")
def stop_training() -> dict[str, Any]:
    """Nothing is trained."""
    return {}


def _status(bench: Workbench) -> dict[str, Any]:
    total, _ = bench.index.counts(ALL)
    completed = len(finished_tasks(bench))
    return {"total": total, "completed": completed, "label_tags": {_FINAL: completed}, "train": []}


def _uploaded(bench: Workbench, parts: list[Any]) -> Any:
    result = store_uploads(bench.workspace, uploads_of(parts))
    if not result.studies:
        raise RefusedError(422, result.errors[0][1].rstrip("."), "a medical image", "send another")
    bench.index.add_study(result.studies[0])
    return bench.library.row(result.studies[0].id)


def _object(text: str) -> dict[str, Any]:
    """The JSON object of a form; RefusedError for other texts."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError(422, "params that are no JSON object", "an object", "correct the request")
    return value
