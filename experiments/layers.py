"""Which layer of an encoder carries emotion: one of them, a learned sum, or the last four?

    python -m experiments.layers
    python -m experiments.layers --corpus emodb --root EmoDB --encoders emotion2vec-mini fbank mfcc
    python -m experiments.layers --corpus emodb --root EmoDB --also ravdess=RAVDESS --seeds 5 \
        --encoders emotion2vec_base wavlm-base

Each layer, SUPERB's learned weighted sum and the mean of the last four get the linear probe of
experiments.ser with the same settings and folds; hidden states are extracted once. What a reader
may choose without looking at test is in a row of its own: in each fold and seed, the layer that is
best on valid. Prints a table per corpus, writes a curve per corpus and encoder as PNG and as a page
(HTML), and mlruns/, one parent run per corpus and encoder with a child per layer. The demo corpus
takes about three minutes on two cores, EmoDB about one.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings, check_encoders
from conversation_emotion.settings.training import TrainingSettings
from experiments import commandline as _cli
from experiments.commandline import parse_places
from experiments.ser import SERConfig


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """Which layers of which encoders, and of which corpora."""

    encoders: tuple[str, ...] = ("emotion2vec-mini", "fbank", "mfcc")
    """Encoders to look into, named as in experiments.ser."""

    layers: tuple[str, ...] = ()
    """What to probe: numbers of layers, sum and last-4; nothing probes all that an encoder has."""

    also: tuple[str, ...] = ()
    """Further corpora as NAME=ROOT, each with its own classes and protocol."""

    half_precision: bool = False
    """Keep features on disk in 16 instead of 32 bits."""

    out: Path | None = None
    """Folder for table and pictures; without it, mlruns/layers/ and the names of the corpora."""

    def __post_init__(self) -> None:
        check_encoders(self.encoders, side_by_side=False)
        for name in self.layers:
            if name not in ("sum", "last-4") and not name.isdecimal():
                raise ValueError(f"--layers takes numbers, sum and last-4, got {name!r}")
        parse_places("--also", self.also)


@dataclass(frozen=True, kw_only=True)
class LayersConfig:
    """Settings of one comparison of layers."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    layers: LayerSettings = field(default_factory=LayerSettings)

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=100, patience=20)
    )

    hidden_size: int = 256
    """Units between the probe's two linear maps."""

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ValueError(f"--hidden-size must be 1 or more, got {self.hidden_size}")

    def corpora(self) -> list[CorpusSettings]:
        """Returns the settings of each corpus; those of --also are automatic."""
        also = parse_places("--also", self.layers.also)
        return [self.data, *(CorpusSettings(corpus=name, root=also[name]) for name in also)]

    def of_run(self, data: CorpusSettings, encoder: str) -> "LayersConfig":
        """Returns the settings of the run of one corpus and encoder."""
        layers = dataclasses.replace(self.layers, encoders=(encoder,), also=(), out=None)
        return dataclasses.replace(self, data=data, layers=layers)

    def probe(self, data: CorpusSettings, encoder: str) -> SERConfig:
        """Returns the settings of the linear probe, which sums layers where it gets several."""
        features = EncoderSettings(
            encoders=(encoder,), speech_layers="all", half_precision=self.layers.half_precision
        )
        return SERConfig(
            data=data, features=features, training=self.training, hidden_size=self.hidden_size
        )


def run(config: LayersConfig) -> None:
    """Extracts all layers once, trains a probe on each, prints the tables, draws the curves."""
    from experiments import _layer_report, _layers
    from experiments.tracking import runs as _tracking

    heard = _layers.hear(config)
    commands = [(config.of_run(one.data, one.encoder), one.prepared.fingerprint) for one in heard]
    with _tracking.open_runs("layers", commands) as parents:
        probed = [_layers.probe(config, *pair) for pair in zip(heard, parents, strict=True)]
        _layer_report.report(config, probed, parents)


def main() -> None:
    """Runs the experiment from the command line."""
    _cli.launch(run, LayersConfig)


if __name__ == "__main__":
    main()
