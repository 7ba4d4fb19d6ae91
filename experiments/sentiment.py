"""Sentiment: is an utterance positive or negative, from speech, text, or both?

    python -m experiments.sentiment --corpus meld --root MELD.Raw
    python -m experiments.sentiment --corpus meld --root MELD.Raw --modality text --history 6
    python -m experiments.sentiment --corpus cmu-mosi --root CMU_MOSI --speech-encoder WavLM-base
    python -m experiments.sentiment --corpus cmu-mosi --root CMU_MOSI --regression

As in emotion2vec's table (Ma et al., 2024, after Lian et al., 2023): neutral utterances are left
out, the corpus' own split is used, and a linear head is trained on the mean of an encoder's last
four layers. --labels all keeps neutral as a third class. --history adds the turns before as
context, by the dialogue model of experiments.epc; --regression predicts the number from -3 to 3
instead. --register keeps the model of one row for experiments.predict. The defaults need no
download. Prints one row per modality and encoder, and writes mlruns/.
"""

from collections.abc import Iterator

from conversation_emotion.settings.flags import change
from conversation_emotion.settings.sentiment import SentimentSettings
from conversation_emotion.settings.space import OPTIMIZER, Range, Trial, propose
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import CLASSIFICATION, Experiment, Rows, Runs, Table, Task


class Sentiment(Experiment[SentimentSettings]):
    """A row per modality and encoder."""

    name = "sentiment"
    settings = SentimentSettings
    published_by = ("corpus",)
    baselines = {"last_emotion": "same sentiment as the last turn (given its gold label)"}  # noqa: RUF012

    def rows(self, settings: SentimentSettings) -> dict[str, SentimentSettings]:
        """Returns a run for each modality, and for each encoder of it."""
        rows, features = {}, settings.features
        for modality in features.modality:
            for encoder in features.speech_encoder[: 1 if modality == "text" else None]:
                encoders = {"speech": encoder, "text": features.text_encoder}
                name = f"{modality}: " + ", ".join(encoders[part] for part in modality.split("+"))
                rows[name] = change(settings, modality=(modality,), speech_encoder=(encoder,))
        return rows

    def task(self, row: SentimentSettings, memory: Memory) -> Task:
        """Prepares polarity or strength, with context or without."""
        from conversation_emotion.tasks.sentiment import prepare_sentiment

        return prepare_sentiment(row, memory)

    def run(self, settings: SentimentSettings) -> Table:
        """Trains and scores every row; the columns are those of classes or of numbers."""
        self.columns = ("pearson", "mae", "ccc") if settings.regression else CLASSIFICATION
        return super().run(settings)

    def title(self, settings: SentimentSettings) -> str:
        """Names target, corpus and context."""
        target = "the number" if settings.regression else "its polarity"
        context = f"{settings.history} turns of context" if settings.history else "no context"
        return f"Sentiment, {target}: {settings.data.corpus}, {context}"

    def published(self, settings: SentimentSettings, runs: Runs) -> Rows:
        """Returns the figures of two classes."""
        has_two = not settings.regression and settings.data.labels != "all"
        return super().published(settings, runs) if has_two else []

    def notes(self, settings: SentimentSettings, runs: Runs) -> Iterator[str]:
        """Describes layers and pooling."""
        features = settings.features
        yield (
            f"speech layers {features.speech_layers} (fbank, mfcc, egemaps: last), text layers "
            f"{features.text_layers}; mean of the frames"
        )

    def search_space(self, trial: Trial, settings: SentimentSettings) -> SentimentSettings:
        """Varies row, head size, dropout and the optimizer."""
        return propose(
            trial,
            self.propose_row(trial, settings, "row"),
            hidden_size=[64, 128, 256],
            dropout=Range(0.0, 0.7),
            **OPTIMIZER,
            weight_decay=Range(1e-4, 0.9, log=True),
        )


EXPERIMENT = Sentiment()


if __name__ == "__main__":
    EXPERIMENT.main()
