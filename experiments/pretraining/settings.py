"""Settings that pre-training commands share: what to hear, how to train."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conversation_emotion.settings.corpus import find_corpus


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """Which speech to learn from."""

    root: tuple[str, ...] = ("demo=",)
    """Folders of audio, searched with their subfolders, or corpora as NAME=ROOT; demo= is built
    in."""

    weights: tuple[float, ...] = ()
    """Share of each --root in an epoch; none hears every clip once."""

    min_seconds: float = 0.5
    """Shorter clips are left out."""

    max_seconds: float = 20.0
    """Longer ones are cut into equal pieces."""

    crop_seconds: float | None = None
    """Cut or repeat every clip to this length, at a random place; none crops the clips of a batch
    to the shortest of them."""

    batch_samples: int | None = None
    """Samples of a batch at most, on each device; 16,000 are a second. None takes 1,000,000 on a
    GPU, and on a processor, where many small updates teach more than a few large ones, 320,000."""

    noise: float = 0.0
    """Chance that a clip gets noise, 5 to 30 dB below the speech."""

    speed: float = 0.0
    """Chance that a clip is played 8 % to 14 % slower or faster."""

    pitch: float = 0.0
    """Chance that its pitch alone is shifted by as much."""

    gain: float = 0.0
    """Chance of a gain that glides over the clip within 6 dB."""

    max_broken: float = 0.01
    """Share of the clips that may be broken; they are named and passed over, more stop the
    training."""

    workers: int = 1
    """Processes that read ahead."""

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
        if self.crop_seconds is not None and self.crop_seconds < 0.1:
            raise ValueError(f"--crop-seconds must be 0.1 or more, got {self.crop_seconds:g}")
        flag = "--max-seconds" if self.crop_seconds is None else "--crop-seconds"
        longest = self.crop_seconds or self.max_seconds
        if self.batch_samples is not None and self.batch_samples < 16_000 * longest:
            raise ValueError(
                f"--batch-samples {self.batch_samples} is less than a clip of {flag} "
                f"{longest:g} ({16_000 * longest:.0f} samples)"
            )
        for name in ("noise", "speed", "pitch", "gain", "max_broken"):
            if not 0 <= getattr(self, name) <= 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What a sweep judges an encoder by; a pre-training alone does not probe."""

    probe_corpus: str = "demo"
    """Corpus on which a sweep trains a linear probe of each encoder."""

    probe_root: Path | None = None
    """Its folder; demo needs none."""

    probe_seeds: int = 3
    """Times that each of its folds is trained."""

    def __post_init__(self) -> None:
        if find_corpus(self.probe_corpus).needs_root and self.probe_root is None:
            raise ValueError(f"--probe-corpus {self.probe_corpus} needs --probe-root")
        if self.probe_seeds < 1:
            raise ValueError(f"--probe-seeds must be 1 or more, got {self.probe_seeds}")


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How to train on it."""

    learning_rate: float | None = None
    """Highest step size of Adam; none takes the model's own."""

    weight_decay: float = 1e-2
    """Decay of weights, not of biases and norms."""

    warmup: float = 0.05
    """Share of the training in which the step size rises; behind it falls as a cosine."""

    max_gradient_norm: float = 10.0
    """Longer gradients are shortened to this."""

    accumulate: int = 1
    """Batches of each update."""

    steps: int | None = None
    """Updates; none takes as many as fit into --max-minutes."""

    max_minutes: float | None = None
    """Minutes after which training ends, interruptions not counted; without --steps and this,
    100,000 updates."""

    checkpoint_minutes: float = 1.0
    """Minutes from one checkpoint to the next."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass; auto takes bf16 where the device is built for it."""

    compile: bool = False
    """Compile the objective with torch.compile, worth its minute on a GPU."""

    seed: int = 0
    """Of weights, order, crops, masks and dropout."""

    out: Path | None = None
    """Folder for the encoder at the end; none puts it beside the checkpoint, under mlruns."""

    def __post_init__(self) -> None:
        for name in ("accumulate", "steps", "max_minutes", "checkpoint_minutes", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be above 0, got {value}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"--warmup must lie in [0, 1), got {self.warmup}")
