r"""Utterance emotion: how much of it does a frozen encoder hold, of speech or of text?

    python -m experiments.ser
    python -m experiments.ser --corpus emodb --root EmoDB --speech-encoder fbank mfcc --seeds 5
    python -m experiments.ser --corpus iemocap --root IEMOCAP_full_release \
        --protocol emotion2vec-session --speech-encoder emotion2vec_base
    python -m experiments.ser --corpus meld --root MELD.Raw --labels 7-class --modality text

The default is logistic regression on the mean over frames of all layers, standardised with the
statistics of train; its C is chosen on valid, and there is nothing to repeat. With --seeds, or any
other setting of a training, it is SUPERB's probe (Yang et al., 2021): a linear map to 256 units,
the mean of the frames, and a linear map to the classes. --head and --aggregator replace either.
--protocol does what was published, exactly. Every encoder gets the same settings; the default one,
the lower blocks of Whisper, comes with the package. Each row is a parent run of its own in mlruns/.
"""

from collections.abc import Iterator
from dataclasses import replace

from conversation_emotion.settings.flags import change
from conversation_emotion.settings.protocols import PROTOCOLS, remarks, resolve
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.space import OPTIMIZER, Range, Trial, propose, propose_features
from conversation_emotion.settings.votes import split_targets
from conversation_emotion.settings.words import split_words
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Runs, Task

SOLVED = {
    "lda": "linear discriminant analysis",
    "logistic": "logistic regression",
    "svm": "linear support vector machine",
}
"""What the heads are called that are solved."""


class SER(Experiment[SERSettings]):
    """A row per encoder, with the same head on each."""

    name = "ser"
    settings = SERSettings
    published_by = ("corpus", "label_set", "modality")

    def rows(self, settings: SERSettings) -> dict[str, SERSettings]:
        """Returns a run for each encoder and target; all targets are learned with one head."""
        settings = replace(settings, votes=resolve(settings).votes)
        if settings.votes.is_voted and settings.protocol not in PROTOCOLS:
            settings = settings.settle()
        features = settings.features
        rows = {name: change(settings, speech_encoder=(name,)) for name in features.speech_encoder}
        is_text = features.modality == "text"
        return split_words(split_targets({features.text_encoder: settings} if is_text else rows))

    def task(self, row: SERSettings, memory: Memory) -> Task:
        """Extracts the features of an encoder for every labelled utterance."""
        from conversation_emotion.tasks.prepare import prepare_recognition

        return prepare_recognition(resolve(row), memory)

    def title(self, settings: SERSettings) -> str:
        """Names head and corpus."""
        head = describe_head(resolve(settings).settle())
        return f"Emotion of single utterances: {head} on frozen encoders; {settings.data.corpus}"

    def notes(self, settings: SERSettings, runs: Runs) -> Iterator[str]:
        """Describes head and pooling, the protocol's faults, and encoders that saw the corpus."""
        from conversation_emotion.evaluation.published import describe_pretraining

        resolved = resolve(settings).settle()
        features, modality = resolved.features, resolved.features.modality
        row = resolved.features_of(features.speech_encoder[0])
        layers, pooling = (getattr(row, f"{modality}_{name}") for name in ("layers", "pooling"))
        kept = "frames kept" if pooling == "frames" else f"frames to {pooling}"
        yield f"layers {layers}; {kept}; {describe_head(resolved)}"
        if resolved.model.is_solved:
            chosen = "C is chosen on valid, then" if resolved.model.has_cost else "on test"
            yield (
                f"{chosen} the head learns from train and valid, but for the dialogues of test; "
                "valid is predicted from train alone"
            )
        yield from remarks(resolved.protocol)
        encoders = (features.text_encoder,) if modality == "text" else features.speech_encoder
        yield from describe_pretraining(encoders, [settings.data.corpus])

    def search_space(self, trial: Trial, settings: SERSettings) -> SERSettings:
        """Varies encoder, layers, pooling, head size, dropout and the optimizer."""
        if (protocol := settings.protocol) in PROTOCOLS:
            raise ValueError(f"--protocol {protocol} fixes what a sweep varies; name a --split")
        settings.words.check_one("a trial")
        settings = self.propose_row(trial, settings, "speech_encoder")
        if settings.model.head == "auto":
            settings = change(settings, head="superb")
        if settings.model.is_solved:
            pooled = replace(settings.features, speech_pooling="mean", aggregator="mean")
            return replace(settings, features=propose_features(trial, pooled))
        settings = propose(trial, settings, hidden_size=[64, 128, 256])
        return propose(
            trial,
            replace(settings, features=propose_features(trial, settings.features)),
            dropout=Range(0.0, 0.6),
            **OPTIMIZER,
            weight_decay=Range(1e-4, 0.5, log=True),
        )


def describe_head(settings: SERSettings) -> str:
    """Describes what is trained on an encoder."""
    aggregator = settings.features.aggregator.replace("ecapa", "ECAPA-TDNN")
    if settings.model.head == "superb" and aggregator == "mean":
        return "linear probe"
    if settings.model.is_solved:
        return SOLVED[settings.model.head]
    return f"{settings.model.head} head, {aggregator} aggregator"


EXPERIMENT = SER()


if __name__ == "__main__":
    EXPERIMENT.main()
