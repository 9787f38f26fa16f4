"""The curves of a run."""

import json
from pathlib import Path

import numpy as np

from mvg.training.optimization import Progress, StepResult


class Curves:
    """Curves of a run: TensorBoard, and one JSON line per point in `curves.jsonl`."""

    def __init__(self, folder: Path, step: int) -> None:
        """Continues after `step`: points after the checkpoint that a run was resumed from are removed."""
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.board = folder / "curves.jsonl", SummaryWriter(str(folder), purge_step=step + 1)
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            self.path.write_text("".join(kept), encoding="utf-8")
        self.recent: dict[str, list[float]] = {}

    def add(self, progress: Progress, result: StepResult, rate: float, every: int) -> None:
        """Collect a step's loss by its name; write the means every `every` steps."""
        self.recent.setdefault(f"loss/{result.name}", []).append(result.loss)
        if progress.step % every == 0:
            means = {name: float(np.mean(values)) for name, values in self.recent.items()}
            waiting = progress.waited / max(progress.seconds, 1e-9)
            self.write(progress, means | {"rate": rate, "waiting": waiting})
            self.recent = {}

    def write(self, progress: Progress, values: dict[str, float]) -> None:
        """Write one point of every curve."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": progress.step, "minutes": round(progress.seconds / 60, 3)} | values) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, progress.step)
        self.board.flush()
