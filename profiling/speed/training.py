"""How well training uses the machine: samples per second, share of the peak, share of time spent waiting for data."""

import json
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy import ndimage
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from mvg.data.preparation import prepare
from mvg.training.launch import RunLocation
from mvg.training.optimization import Progress, StepResult
from mvg.training.recipe import recipe_from
from mvg.training.train import train

_CASES, _SHAPE = 14, (128, 128, 8)
_WARM_UP = 5  # steps that do not count
_SLOW = 0.05  # seconds of a product, after which no larger one is measured
_RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "tiny.toml"


def training(steps: int, seed: int) -> dict[str, Any]:
    """Throughput of `recipes/tiny.toml` on synthetic volumes.

    A sample is one request: some pairs. FLOP: products of matrices, convolutions and attention, forward and backward,
    counted in a run of the same steps. Peak: the fastest square products, in the faster of fp32 and bf16.
    Goal: waiting for data takes less than 5 % of the time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_set(folder / "made", seed)
        prepare([folder / "made"], folder / "store")
        peaks = {name: _peak(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
        with flop_counter() as counter:
            _run(folder, "counted", steps, seed, workers=0)
        flop = counter.get_total_flops() / (steps + _WARM_UP)
        seconds, waited = _run(folder, "timed", steps, seed, workers=1)
    batch = _recipe_table()["episodes"]["batch"]
    return {
        "recipe": _RECIPE.name,
        "precision": _recipe_table().get("precision", "bf16-mixed"),
        "steps": steps,
        "batch": batch,
        "samples_per_second": round(steps * batch / seconds, 3),
        "waiting_share": round(waited / seconds, 4),
        "gflop_per_step": round(flop / 1e9, 2),
        "gflops": round(flop * steps / seconds / 1e9, 2),
        "peak_gflops": {name: round(value / 1e9, 2) for name, value in peaks.items()},
        "share_of_peak": round(flop * steps / seconds / max(peaks.values()), 4),
    }


def _recipe_table() -> dict[str, Any]:
    return tomllib.loads(_RECIPE.read_text(encoding="utf-8"))


def _run(folder: Path, name: str, steps: int, seed: int, workers: int) -> tuple[float, float]:
    """Seconds of the steps after the warm-up, and the seconds of these that were spent waiting for data."""
    table = _recipe_table()
    table |= {"name": name, "seed": seed, "data": {"store": str(folder / "store"), "workers": workers}}
    table["schedule"] = {"steps": steps + _WARM_UP, "checkpoint_minutes": 1e6, "validation_minutes": 1e6}
    recipe = recipe_from(table)
    marks: dict[int, tuple[float, float]] = {}

    def on_step(progress: Progress, _result: StepResult, _share: float) -> None:
        marks[progress.step] = (time.perf_counter(), progress.waited)

    train(recipe, RunLocation(folder / name, "cpu"), on_step=on_step)
    (start, waited), (end, waited_then) = marks[_WARM_UP], marks[steps + _WARM_UP]
    return end - start, waited_then - waited


def _peak(dtype: torch.dtype) -> float:
    """FLOP per second of the fastest of some square products; larger ones are left out once a product is slow."""
    best = 0.0
    for side in (256, 512, 1024, 2048):
        matrix, seconds = torch.rand(side, side).to(dtype), 0.0
        for _ in range(6):
            start = time.perf_counter()
            matrix @ matrix
            seconds = time.perf_counter() - start
            best = max(best, 2 * side**3 / seconds)
        if seconds > _SLOW:  # processors without bf16 would take minutes
            break
    return best


def flop_counter() -> FlopCounterMode:
    """A counter that also counts PyTorch's fast attention for processors, forward and backward."""

    def forward(q: Any, k: Any, v: Any, *_rest: Any, out_shape: Any = None, dropout_p: float = 0, **_: Any) -> int:
        return int(sdpa_flop_count(q, k, v))

    def backward(grad: Any, q: Any, k: Any, v: Any, *_rest: Any, out_shape: Any = None, **_: Any) -> int:
        return int(sdpa_backward_flop_count(grad, q, k, v))

    aten = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: forward,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        },
    )


def _make_set(folder: Path, seed: int) -> None:
    """Write volumes of smooth blobs with two labels, in the nnU-Net raw layout."""
    rng = np.random.default_rng(seed)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    for case in range(_CASES):
        field = ndimage.gaussian_filter(rng.normal(size=_SHAPE), (9, 9, 2))
        labels = np.digitize(field, np.quantile(field, (0.8, 0.92))).astype(np.uint8)
        image = (255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / "imagesTr" / f"p{case:03d}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "labelsTr" / f"p{case:03d}.nii.gz")
    about = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "one": 1, "two": 2}, "file_ending": ".nii.gz"}
    about |= {"modality": "MRI", "region": "brain", "patient": r"p\d+"}
    (folder / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
