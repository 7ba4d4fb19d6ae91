"""emotion2vec's pre-training by online distillation: an encoder of emotion from unlabelled speech.

    python -m experiments.pretrain_emotion2vec --size mini --root recordings --max-minutes 2
    python -m experiments.pretrain_emotion2vec --size base --root iemocap=IEMOCAP_full_release
        --start facebook/data2vec-audio-base --accumulate 4
    accelerate launch --multi_gpu -m experiments.pretrain_emotion2vec --size base --root recordings

A masked student predicts what its own moving average makes of the whole clip: every hidden frame,
and the utterance (Ma et al., 2024). Prints throughput, keeps curves in mlruns/, and ends with a
folder that every experiment takes as --speech-encoder. A killed command goes on where it was.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import commandline as _cli
from experiments.pretraining.settings import AudioSettings, LoopSettings, ProbeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import optuna

    from conversation_emotion.evaluation.metrics import Interval
    from conversation_emotion.tracker import Memory, Validation


@dataclass(frozen=True, kw_only=True)
class Emotion2vecSettings:
    """Settings of the model and of what it learns."""

    size: Literal["mini", "base", "large"] = "mini"
    """Size of the model: 8, 94 or 165 million parameters."""

    start: str | None = None
    """Weights to begin with: a folder of ours, a data2vec-audio checkpoint (folder or hub id), or a
    released .pt of emotion2vec or data2vec 2.0; none is a cold start."""

    mask: Literal["blocks", "spans"] = "blocks"
    """How hidden frames are drawn: exactly the share, or data2vec's overlapping spans."""

    mask_share: float = 0.5
    """Share of the frames to hide."""

    mask_length: int = 5
    """Frames of a hidden block."""

    num_clones: int = 8
    """Masks of each clip; front end and teacher are computed once for all of them."""

    top_blocks: int = 8
    """Blocks of the teacher that make the target, the last ones."""

    utterance: Literal["token", "chunk", "global", "none"] = "chunk"
    """What predicts the utterance: one token, the mean of ten, the mean of the frames, nothing."""

    utterance_target: Literal["clips", "channels", "literal"] = "clips"
    """Its target, pooled before the norm over time, standardised over clips or channels; literal is
    pooled behind it, zero for every clip, as in public code."""

    frame_weight: float = 1.0
    """Weight of the frame loss."""

    utterance_weight: float = 1.0
    """Weight of the utterance loss, alpha in the paper."""

    anchor_weight: float = 0.0
    """Weight of predicting spectrum and pitch as well, our addition that mends cold starts of small
    models; 0 in the paper."""

    dropout: float = 0.1
    """Of the student: inputs, attention, outputs of each block, and before the decoder."""

    tau_start: float = 0.999
    """Share of the teacher that stays at the first update."""

    tau_end: float = 0.99999
    """The same behind --tau-anneal."""

    tau_anneal: float = 0.2
    """Share of the training in which it moves from one to the other."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of one pre-training."""

    audio: AudioSettings = field(default_factory=AudioSettings)

    training: LoopSettings = field(default_factory=LoopSettings)

    probe: ProbeSettings = field(default_factory=ProbeSettings)

    model: Emotion2vecSettings = field(default_factory=Emotion2vecSettings)


def search_space(trial: "optuna.trial.BaseTrial", config: PretrainConfig) -> PretrainConfig:
    """Proposes the settings of one trial; everything else stays as configured."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model,
            mask_share=trial.suggest_float("mask_share", 0.3, 0.8),
            mask_length=trial.suggest_int("mask_length", 2, 10),
            utterance_weight=trial.suggest_float("utterance_weight", 0.0, 10.0),
            anchor_weight=trial.suggest_float("anchor_weight", 0.0, 1.0),
            dropout=trial.suggest_float("dropout", 0.0, 0.3),
            tau_start=trial.suggest_categorical("tau_start", [0.99, 0.999, 0.9997]),
        ),
        training=dataclasses.replace(
            config.training,
            learning_rate=trial.suggest_float("learning_rate", 1e-5, 2e-3, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        ),
    )


def prepare(config: PretrainConfig) -> str:
    """Finds what a sweep learns from, and returns a digest of it."""
    from experiments.pretraining import probing as _probing

    return _probing.prepare(config)


def validate(config: PretrainConfig, memory: "Memory") -> "Iterator[Validation]":
    """Pre-trains and yields how a linear probe of the encoder does on valid, for a sweep."""
    from experiments.pretraining import probing as _probing

    return _probing.validate(run, config, memory)


def test(config: PretrainConfig) -> "dict[str, Interval]":
    """Scores a linear probe of the encoder on test, once a sweep has chosen the setting."""
    from experiments.pretraining import probing as _probing

    return _probing.test(run, config)


def run(config: PretrainConfig) -> "Path":
    """Builds student and teacher, trains them, and keeps the encoder."""
    from experiments.pretraining import command as _pretraining
    from experiments.pretraining import objectives as _objectives

    learner = _objectives.build_emotion2vec(config.model, config.training.seed)
    return _pretraining.pretrain_and_track("pretrain_emotion2vec", config, learner)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, PretrainConfig)


if __name__ == "__main__":
    main()
