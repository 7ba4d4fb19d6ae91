"""Fine-tuning of an encoder with its heads: the best checkpoints by valid are kept to be averaged.

What an epoch does depends on its number alone, so a training that was killed goes on from the end
of its last whole epoch to the weights that it would have had.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from torch import Tensor, nn

from conversation_emotion.datasets.clip_batches import Clips, plan_batches
from conversation_emotion.models.averaging import Weights, average_weights, greedy_soup
from conversation_emotion.models.fine_tuned import EncoderModel
from conversation_emotion.training.checkpoint import read_state, write_state
from conversation_emotion.training.clip_judging import TuningSettings, judge, tuning_loss
from conversation_emotion.training.layer_rates import layered_groups
from conversation_emotion.training.optimisation import schedule


class Checkpoint(NamedTuple):
    """One epoch of a training.

    Attributes:
        epoch: Its number.
        score: On valid, what the checkpoints are ranked by.
        loss: On valid; the lower one ranks first where scores tie.
    """

    epoch: int
    score: float
    loss: float


class Finetuning:
    """The training of one fold; there is no test part here, on purpose.

    Args:
        model: What learns; in place.
        clips: All clips of the corpus.
        train: Usable rows to learn from.
        valid: Usable rows to rank the checkpoints by.
        settings: How to train.
        folder: Where state and best checkpoints appear, each whole or not at all.
        class_weights: Weight of each class in the loss: (C,).
        accelerator: Device, of a single process.
        export: Gives the weights to keep of a model; adapters are to be merged into theirs.
    """

    def __init__(
        self,
        model: EncoderModel,
        clips: Clips,
        train: NDArray[np.int64],
        valid: NDArray[np.int64],
        settings: TuningSettings,
        folder: Path,
        *,
        class_weights: Tensor,
        accelerator: Accelerator,
        export: Callable[[nn.Module], Weights] = lambda model: model.state_dict(),
    ) -> None:
        if accelerator.num_processes > 1:
            raise ValueError(
                f"fine-tuning runs in one process, got {accelerator.num_processes}; start it "
                "without torchrun"
            )
        self.model, self.clips, self.settings = model, clips, settings
        self.train, self.valid = train, valid
        self.folder, self.export, self.accelerator = folder, export, accelerator
        self.class_weights = class_weights.to(accelerator.device)
        groups = layered_groups(
            model,
            model.encoder.num_blocks,  # type: ignore[arg-type]
            learning_rate=settings.learning_rate,
            head_learning_rate=settings.head_learning_rate,
            decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
        )
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.prepared, self.optimizer = accelerator.prepare(model, optimizer)
        self.kept: list[Checkpoint] = []
        self.epoch = self.since_best = self.step = 0
        updates = len(self._plan(0)) / settings.accumulate
        self.num_steps = settings.epochs * math.ceil(updates)

    def run(
        self, on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None
    ) -> list[Checkpoint]:
        """Trains to the end and returns the checkpoints kept, from the best on.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        self._restore()
        while self.epoch < self.settings.epochs and self.since_best < self.settings.patience:
            started = time.monotonic()
            loss = self._learn()
            judged = judge(self.prepared, self.clips, self.valid, self.settings, self.accelerator)
            scores = judged.scores()
            self._keep(Checkpoint(self.epoch, scores[self.settings.select_by], judged.loss))
            self.epoch += 1
            self._save()
            metrics = {f"valid/{name}": value for name, value in scores.items()}
            metrics |= {"train/loss": loss, "valid/loss": judged.loss}
            on_epoch(self.epoch - 1, {**metrics, "seconds": time.monotonic() - started})
        return self.kept

    def read(self, checkpoint: Checkpoint) -> Weights:
        """Reads the weights of a checkpoint that was kept."""
        return cast(Weights, read_state(self._path(checkpoint.epoch)))

    def average(self, how: Literal["best", "greedy"], score: Callable[[Weights], float]) -> Weights:
        """Averages the checkpoints kept: all, or those that do not lower the score."""
        weights = [self.read(checkpoint) for checkpoint in self.kept]
        return average_weights(weights) if how == "best" else greedy_soup(weights, score).weights

    def _learn(self) -> float:
        """Learns for an epoch and returns the mean loss of its batches."""
        set_seed(self.settings.seed * 10_000 + self.epoch)
        self.model.train()
        plan, losses = self._plan(self.epoch), []
        for number, rows in enumerate(plan, start=1):
            batch = self.clips.gather(rows).to(self.accelerator.device)
            with torch.autocast(batch.inputs.device.type, torch.bfloat16, self.settings.is_bf16):
                judgement = self.prepared(batch.inputs, batch.lengths)
            loss = tuning_loss(judgement, batch, self.class_weights, self.settings)
            losses.append(loss.detach())
            self.accelerator.backward(loss / self.settings.accumulate)
            if number % self.settings.accumulate == 0 or number == len(plan):
                self._update()
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise FloatingPointError(f"the train loss is {mean}; lower --learning-rate")
        return mean

    def _update(self) -> None:
        share = schedule(self.step, self.num_steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        return list(
            plan_batches(
                self.clips,
                self.train,
                batch_size=self.settings.batch_size,
                batch_seconds=self.settings.batch_seconds,
                seed=[self.settings.seed, epoch],
            )
        )

    def _keep(self, new: Checkpoint) -> None:
        """Keeps a checkpoint if it is among the best; what falls out of them is deleted."""
        self.since_best = (
            0 if not self.kept or _rank(new) < _rank(self.kept[0]) else (self.since_best + 1)
        )
        self.kept = sorted([*self.kept, new], key=_rank)[: self.settings.keep]
        if new in self.kept:
            weights = {name: tensor.cpu() for name, tensor in self.export(self.model).items()}
            write_state(self._path(new.epoch), weights)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kept": [tuple(checkpoint) for checkpoint in self.kept],
            "numbers": (self.epoch, self.since_best, self.step),
        }
        write_state(self.folder / "state.pt", state)
        known = {self._path(checkpoint.epoch) for checkpoint in self.kept}
        for path in self.folder.glob("epoch-*.pt"):
            if path not in known:
                path.unlink()

    def _restore(self) -> None:
        state = read_state(self.folder / "state.pt")
        if state is None:
            return
        self.model.load_state_dict(cast(Weights, state["model"]))
        self.optimizer.load_state_dict(cast(dict[str, object], state["optimizer"]))
        self.kept = [Checkpoint(*fields) for fields in cast(list[tuple], state["kept"])]
        self.epoch, self.since_best, self.step = cast(tuple[int, int, int], state["numbers"])

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.pt"


def _rank(checkpoint: Checkpoint) -> tuple[float, float, int]:
    return -checkpoint.score, checkpoint.loss, checkpoint.epoch
