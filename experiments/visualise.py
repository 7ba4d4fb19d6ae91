r"""How do encoders lay out emotion? Held-out utterances on a plane, by arousal and by emotion.

    python -m experiments.visualise
    python -m experiments.visualise --corpus emodb --root EmoDB
    python -m experiments.visualise --corpus iemocap --root IEMOCAP_full_release --fold Ses05 \
        --encoders emotion2vec_base wavlm-base data2vec-audio-base

A picture as that of Ma et al. (2024): the first linear layer of the probe of experiments.ser,
after the same number of epochs for every encoder, is placed on a plane by UMAP. The probe learns
from the train part; what is shown is the test part of one fold: a session of IEMOCAP, a fifth of
the speakers (8:2) of SUBESCO and EmoDB, else that of the corpus' protocol. Arousal is that of the
corpus' ratings, high above the median of train, or of each emotion (the map is in
conversation_emotion/arousal.py). Silhouette and compactness under a picture are of its fold and of
the layer itself, not of the plane; the table has their mean over all folds. Writes a PNG and a page
(HTML) whose points play their clip: it holds recordings, so the corpus' licence decides who may
have it. Needs umap-learn: pip install 'conversation-emotion[visual]'. EmoDB takes about two minutes
on two cores.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.ser import SERConfig


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Which encoders, and the stage of training at which each probe is looked at."""

    encoders: tuple[str, ...] = ("emotion2vec-mini", "fbank", "mfcc")
    """Encoders to put side by side, named as in experiments.ser."""

    speech_layers: Literal["last", "last-4", "all"] | int = "last"
    """Layer to use: the last, the mean of the last four, a number, or a learned sum of all."""

    epochs: int = 50
    """Passes over train, for every encoder: none stops earlier, and the last weights are shown."""

    learning_rate: float = 1e-3
    """Peak step size of AdamW."""

    weight_decay: float = 1e-2
    """Weight decay of AdamW."""

    hidden_size: int = 256
    """Units of the layer that is shown."""

    seeds: int = 1
    """How many times each fold is trained for the table; the picture is of seed 0."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    def __post_init__(self) -> None:
        EncoderSettings(encoders=self.encoders)
        for name in ("epochs", "hidden_size", "seeds"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be 1 or more, got {getattr(self, name)}")
        TrainingSettings(learning_rate=self.learning_rate, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """What is drawn, and where to."""

    fold: str | None = None
    """Fold whose test part is shown, by name; without it, the first."""

    neighbors: int = 15
    """Neighbours of a point that UMAP keeps near; more show the whole, fewer the details."""

    audio_mib: float = 20.0
    """Size of the sound in the page at most; further points stay silent, and 0 leaves all so."""

    out: Path | None = None
    """Folder for the pictures; without it, mlruns/visualise/ and the corpus' name."""

    def __post_init__(self) -> None:
        if self.neighbors < 2:
            raise ValueError(f"--neighbors must be 2 or more, got {self.neighbors}")
        if self.audio_mib < 0:
            raise ValueError(f"--audio-mib must be 0 or more, got {self.audio_mib:g}")


@dataclass(frozen=True, kw_only=True)
class VisualiseConfig:
    """Settings of one comparison of pictures."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    stage: StageSettings = field(default_factory=StageSettings)

    picture: PictureSettings = field(default_factory=PictureSettings)

    def of_run(self, encoder: str) -> "VisualiseConfig":
        """Returns the settings of the run of one encoder."""
        stage = dataclasses.replace(self.stage, encoders=(encoder,))
        return dataclasses.replace(
            self, stage=stage, picture=dataclasses.replace(self.picture, out=None)
        )

    @property
    def auto_split(self) -> str | None:
        """The split of a picture of this corpus; None leaves it to the corpus."""
        return {"emodb": "speaker-k-fold", "iemocap": "leave-one-session-out"}.get(self.data.corpus)

    def probe(self, data: CorpusSettings, encoder: str) -> SERConfig:
        """Returns the settings of the linear probe of an encoder."""
        stage = self.stage
        features = EncoderSettings(
            encoders=(encoder,),
            speech_layers=stage.speech_layers,
            half_precision=stage.half_precision,
        )
        training = TrainingSettings(
            epochs=stage.epochs,
            learning_rate=stage.learning_rate,
            weight_decay=stage.weight_decay,
            seeds=stage.seeds,
        )
        return SERConfig(
            data=data, features=features, training=training, hidden_size=stage.hidden_size
        )


def run(config: VisualiseConfig) -> None:
    """Trains every fold's probe to the stage, measures all, and draws one fold."""
    from conversation_emotion.evaluation.separation import check_umap
    from experiments import _plane_report, _stages
    from experiments.tracking import runs as _tracking

    check_umap()
    prepared = _stages.prepare(config)
    fold = _stages.find_fold(config, prepared)
    commands = [(config.of_run(name), data.fingerprint) for name, data in prepared.items()]
    with _tracking.open_runs("visualise", commands) as parents:
        shown = [
            _stages.represent(config, encoder, data, parent)
            for (encoder, data), parent in zip(prepared.items(), parents, strict=True)
        ]
        _plane_report.report(config, shown, fold, parents)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, VisualiseConfig)


if __name__ == "__main__":
    main()
