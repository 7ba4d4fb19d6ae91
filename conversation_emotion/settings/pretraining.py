"""Unlabelled speech, the loop that pre-trains on it, and the probe that a sweep scores with."""

from dataclasses import dataclass, field
from pathlib import Path

from conversation_emotion.settings.corpus import CorpusName, find_corpus
from conversation_emotion.settings.flags import check_at_least, check_share, flag_of
from conversation_emotion.settings.training import Precision


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """Which speech to train on, and how it becomes batches."""

    root: tuple[str, ...] = ("demo=",)
    """Folders of audio, searched with their subfolders, or corpora as NAME=ROOT; demo= is built
    in."""

    weights: tuple[float, ...] = ()
    """Share of each --root in an epoch; none takes every clip once."""

    min_seconds: float = 0.5
    """Shorter clips are left out."""

    max_seconds: float = 20.0
    """Longer ones are cut into equal pieces."""

    crop_seconds: float | None = None
    """Cut or repeat every clip to this length, at a random place; none crops the clips of a batch
    to the shortest of them."""

    batch_samples: int | None = None
    """Samples of a batch at most, on each device; 16,000 are a second. None takes 1,000,000 on a
    GPU, and on a processor, where many small updates train better than a few large ones, 320,000;
    a clip of the longest length at least."""

    noise: float = 0.0
    """Probability that a clip gets white, pink or brown noise, 5 to 30 dB below the speech."""

    speed: float = 0.0
    """Probability that a clip is played 8 % to 14 % slower or faster."""

    pitch: float = 0.0
    """Probability that its pitch alone is shifted by as much."""

    gain: float = 0.0
    """Probability of a gain that glides over the clip within 6 dB."""

    max_broken: float = 0.01
    """Share of the clips that may be broken, or one; they are named and skipped, more stop the
    training."""

    workers: int = 1
    """Processes that read ahead; 0 reads in the training process."""

    def __post_init__(self) -> None:
        if not self.root:
            raise ValueError("--root needs one folder or more")
        if self.weights and len(self.weights) != len(self.root):
            raise ValueError(
                f"--weights has {len(self.weights)} numbers for {len(self.root)} of --root"
            )
        if any(weight < 0 for weight in self.weights) or (self.weights and not sum(self.weights)):
            raise ValueError("--weights must be 0 or more, and one of them above 0")
        if not 0.1 <= self.min_seconds <= self.max_seconds:
            raise ValueError("--min-seconds must lie between 0.1 and --max-seconds")
        check_at_least(self, 0.1, "crop_seconds")
        flag = "--max-seconds" if self.crop_seconds is None else "--crop-seconds"
        if self.batch_samples is not None and self.batch_samples < 16_000 * self.longest_seconds:
            raise ValueError(
                f"--batch-samples {self.batch_samples} is less than a clip of {flag} "
                f"{self.longest_seconds:g} ({16_000 * self.longest_seconds:.0f} samples)"
            )
        check_share(self, "noise", "speed", "pitch", "gain", "max_broken", within="[0, 1]")

    @property
    def longest_seconds(self) -> float:
        """Length of the longest clip of a batch."""
        return self.crop_seconds or self.max_seconds


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How an objective is trained."""

    learning_rate: float | None = None
    """Peak step size of AdamW; none takes that of the objective."""

    weight_decay: float = 1e-2
    """Decay of weights, not of biases and norms."""

    warmup: float = 0.05
    """Share of the updates in which the step size rises; then it falls as a cosine."""

    max_gradient_norm: float = 10.0
    """Longer gradients are shortened to this."""

    accumulate: int = 1
    """Batches of an update."""

    steps: int | None = None
    """Updates; none takes as many as fit into --max-minutes."""

    max_minutes: float | None = None
    """Minutes after which training ends, interruptions not counted; without --steps and this,
    100,000 updates."""

    checkpoint_minutes: float = 1.0
    """Minutes from one checkpoint to the next."""

    precision: Precision = "auto"
    """Arithmetic of the forward pass; auto is bf16 on devices built for it."""

    compile: bool = False
    """Compile the objective with torch.compile, worth its minute on a GPU."""

    seed: int = 0
    """Of weights, order, crops, masks and dropout."""

    output: Path | None = None
    """Folder for the encoder at the end; none puts it next to the checkpoint, under mlruns."""

    def __post_init__(self) -> None:
        for name in ("accumulate", "steps", "max_minutes", "checkpoint_minutes", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{flag_of(name)} must be above 0, got {value}")
        check_share(self, "warmup")

    @property
    def num_steps(self) -> int | None:
        """Updates in all; None where minutes alone decide."""
        return 100_000 if self.steps is None and self.max_minutes is None else self.steps


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What a sweep scores an encoder by; a pre-training alone does not probe."""

    probe_corpus: CorpusName = "demo"
    """Corpus on which a sweep trains a linear probe of each encoder."""

    probe_root: Path | None = None
    """Its folder; demo needs none."""

    probe_seeds: int = 3
    """How many times each of its folds is trained."""

    def __post_init__(self) -> None:
        if find_corpus(self.probe_corpus).needs_root and self.probe_root is None:
            raise ValueError(f"--probe-corpus {self.probe_corpus} needs --probe-root")
        check_at_least(self, 1, "probe_seeds")


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """What every pre-training has; a command adds its model."""

    audio: AudioSettings = field(default_factory=AudioSettings)

    training: LoopSettings = field(default_factory=LoopSettings)

    probe: ProbeSettings = field(default_factory=ProbeSettings)
