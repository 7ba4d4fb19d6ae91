"""Emotion in nine languages, three corpora of English, or song, with frozen encoders.

    python -m experiments.languages --roots emodb=EmoDB cafe=CaFE --speech-encoder emotion2vec_base
    python -m experiments.languages --table english --roots ravdess=RAVDESS savee=SAVEE
    python -m experiments.languages --table song --roots ravdess-song=RAVDESS

emotion2vec's tables of languages, English corpora and song (Ma et al., 2024): a linear head of 256
units on frozen features, WA, UA and weighted F1. There is a row for each corpus whose folder is
given and each encoder, with the published rows below. Splits are those of the corpora in
experiments.ser, by speaker or official; the authors' own are not published. Song has five folds by
actor, of which one tests and one further, unseen one selects the epoch. Once features are
extracted a corpus takes a minute or two on two cores. Writes mlruns/, one parent run per row.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from conversation_emotion.settings.flags import change
from conversation_emotion.settings.probes import TABLES, LanguagesSettings
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Rows, Runs, Task

LANGUAGES = {
    "aesdd": "Greek",
    "cafe": "French",
    "resd": "Russian",
    "emodb": "German",
    "emovo": "Italian",
    "m3ed": "Mandarin",
    "subesco": "Bangla",
    "shemo": "Persian",
    "urdu": "Urdu",
    "ravdess-song": "English, sung",
}
"""Languages of the corpora; of all others English."""


class Languages(Experiment[LanguagesSettings]):
    """A row per corpus and encoder."""

    name = "languages"
    settings = LanguagesSettings
    columns = ("wa", "uar", "weighted_f1")

    def rows(self, settings: LanguagesSettings) -> dict[str, LanguagesSettings]:
        """Returns a run for each corpus that is given, and each encoder."""
        roots = {place.partition("=")[0]: place for place in settings.roots}
        return {
            f"{corpus} ({LANGUAGES.get(corpus, 'English')}): {encoder}": change(
                settings, roots=(roots[corpus],), speech_encoder=(encoder,)
            )
            for corpus in TABLES[settings.table]
            if corpus in roots
            for encoder in settings.features.speech_encoder
        }

    def task(self, row: LanguagesSettings, memory: Memory) -> Task:
        """Extracts the features of an encoder on one corpus."""
        from conversation_emotion.tasks.prepare import prepare_recognition

        return prepare_recognition(row.row(), memory)

    def title(self, settings: LanguagesSettings) -> str:
        """Names the table."""
        titles = {"languages": "nine languages", "english": "corpora of English", "song": "song"}
        return f"Emotion in {titles[settings.table]}: linear head on frozen encoders"

    def results(self, settings: LanguagesSettings, runs: Runs) -> Rows:
        """Puts the majority and the published figures of each corpus below its rows."""
        from conversation_emotion.evaluation.published import find_published

        rows = []
        for corpus, group in groupby(runs, lambda run: run.task.dataset.label_map.corpus):
            *_, last = found = list(group)
            rows += map(self.result, found)
            place = last.name.partition(": ")[0]
            rows.append(self.baseline(last, "majority", f"{place}: majority"))
            label_set = last.task.dataset.label_map.label_set
            figures = find_published("ser", corpus=corpus, label_set=label_set)
            rows += [replace(row, name=f"{place}: {row.name}") for row in figures]
        return rows

    def protocol(self, settings: LanguagesSettings, runs: Runs) -> Iterator[str]:
        """Describes the protocol of each corpus, and names those that are not given."""
        described = set()
        for run in runs:
            corpus = run.task.dataset.label_map.corpus
            if corpus not in described:
                described.add(corpus)
                yield from (f"{corpus}: {line}" for line in super().protocol(settings, [run]))
        if absent := [name for name in TABLES[settings.table] if name not in described]:
            yield f"no --roots were given for {', '.join(absent)}"

    def notes(self, settings: LanguagesSettings, runs: Runs) -> Iterator[str]:
        """Describes layers and pooling, and encoders that saw a corpus."""
        from conversation_emotion.evaluation.published import describe_pretraining

        features = settings.features
        pooling = features.for_encoder(features.speech_encoder[0]).speech_pooling
        yield f"layers {features.speech_layers}; pooling {pooling}"
        corpora = dict.fromkeys(run.task.dataset.label_map.corpus for run in runs)
        yield from describe_pretraining(features.speech_encoder, corpora)


EXPERIMENT = Languages()


if __name__ == "__main__":
    EXPERIMENT.main()
