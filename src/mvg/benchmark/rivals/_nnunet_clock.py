"""Trains nnU-Net's 2D configuration by the clock, and predicts with it; a program that nnU-Net's environment runs.

    python _nnunet_clock.py train DATASET DEVICE SECONDS CLOCK SEED
    python _nnunet_clock.py predict DATASET DEVICE INPUT OUTPUT

It imports nothing of mvg, which that environment may lack. Everything runs in one thread of one process, so that the
time of the processor can be the budget: nnU-Net's own commands start a thread for every core that they see.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Beside this file lie files with the names of other packages.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402

CLOCKS = {"wall": time.monotonic, "processor": time.process_time}
_FOLD = "all"  # trains on all cases
_EXPONENT = 0.9  # of nnU-Net's learning rate: (1 - share) ** exponent


class ClockTrainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer, which stops after some seconds instead of some epochs and validates nothing on the way.

    All else is nnU-Net's: network, augmentation, loss, optimizer, and the learning rate, which falls with the time.
    """

    seconds, clock = 60.0, staticmethod(time.monotonic)
    steps = 0

    def run_training(self) -> None:
        """Take steps until the time is over, at least one."""
        self.on_train_start()
        started = self.clock()
        share = 0.0
        while share < 1:
            self.network.train()
            for group in self.optimizer.param_groups:
                group["lr"] = self.initial_lr * (1 - share) ** _EXPONENT
            self.train_step(next(self.dataloader_train))
            self.steps += 1
            share = (self.clock() - started) / self.seconds
        self.on_train_end()


# Checkpoints name their trainer: nnU-Net predicts with its own.
ClockTrainer.__name__ = nnUNetTrainer.__name__


def train(dataset: str, device: str, seconds: str, clock: str, seed: str) -> None:
    """Train on all cases of a preprocessed data set, and write RESULTS/DATASET/steps.json."""
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(int(seed))
    preprocessed = Path(os.environ["nnUNet_preprocessed"]) / dataset  # noqa: SIM112
    plans: dict[str, Any] = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False  # which newer versions look for
    about = json.loads((preprocessed / "dataset.json").read_text())
    trainer = ClockTrainer(plans=plans, configuration="2d", fold=_FOLD, dataset_json=about, device=torch.device(device))
    trainer.seconds, trainer.clock = float(seconds), CLOCKS[clock]
    trainer.run_training()
    results = Path(os.environ["nnUNet_results"]) / dataset  # noqa: SIM112
    (results / "steps.json").write_text(json.dumps(trainer.steps))


def predict(dataset: str, device: str, inputs: str, outputs: str) -> None:
    """Predict all images of a folder, as nnUNetv2_predict does by default."""
    predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
    results = Path(os.environ["nnUNet_results"]) / dataset  # noqa: SIM112
    predictor.initialize_from_trained_model_folder(str(results / "nnUNetTrainer__nnUNetPlans__2d"), (_FOLD,))
    Path(outputs).mkdir(parents=True, exist_ok=True)
    predictor.predict_from_files_sequential(inputs, outputs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run = train if sys.argv[1] == "train" else predict
    run(*sys.argv[2:])
