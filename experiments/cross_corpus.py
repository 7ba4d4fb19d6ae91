r"""Cross-corpus emotion recognition: does what is trained on some corpora hold on another?

    python -m experiments.cross_corpus --roots emodb=EmoDB ravdess=RAVDESS --seeds 5
    python -m experiments.cross_corpus --roots iemocap=IEMOCAP meld=MELD.Raw ravdess=RAVDESS \
        --train iemocap meld --test ravdess --test-lists ravdess=RAVDESS_selected_balenced.jsonl

Every corpus is mapped to angry, happy, neutral and sad by its own explicit map, and what the map
drops is counted. Without --train and --test each corpus trains alone and is tested on every other,
as in EmoBox's table 5; with --train its corpora are pooled. Nothing of a test corpus is seen before
the test: statistics, weights and epoch come from the train corpora, a fifth of whose speakers, or
of their dialogues where all talk to each other, validates. --test-lists takes EmoBox's balanced
lists, 60 utterances of each class; without one, all utterances of the four classes are targets.
Prints one row per encoder, train and test corpus, and writes mlruns/.
"""

from collections.abc import Iterator
from dataclasses import replace

from conversation_emotion.settings.probes import CrossCorpusSettings
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Job, RowRun, Rows, Runs, Task


class CrossCorpus(Experiment[CrossCorpusSettings]):
    """A run per encoder and train corpora, a row per test corpus."""

    name = "cross_corpus"
    settings = CrossCorpusSettings
    heading = "Emotion across corpora, four classes: linear probe of frozen encoders"

    def rows(self, settings: CrossCorpusSettings) -> dict[str, CrossCorpusSettings]:
        """Returns a run for each encoder and train corpora."""
        return {
            f"{'+'.join(row.train)}: {row.features.speech_encoder[0]}": row
            for row in settings.rows()
        }

    def task(self, row: CrossCorpusSettings, memory: Memory) -> Task:
        """Pools the corpora, and extracts the features of an encoder."""
        from conversation_emotion.tasks.cross_corpus import prepare_cross_corpus

        return prepare_cross_corpus(row, memory)

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains a row, and keeps its scores on each test corpus."""
        from conversation_emotion.evaluation.results import name_metrics

        run = super().train(job, before)
        for corpus in job.settings.test:
            scores = job.task.evaluate_corpus(run.predictions, corpus)
            job.run.log_metrics(name_metrics(f"test_{corpus}", scores["model"]))
        return run

    def results(self, settings: CrossCorpusSettings, runs: Runs) -> Rows:
        """Groups rows by train and test corpora, with majority and published figures below."""
        from conversation_emotion.evaluation.published import find_published

        rows = []
        pairs = dict.fromkeys((run.settings.train, x) for run in runs for x in run.settings.test)
        for train, test in pairs:
            direction = f"{'+'.join(train)} → {test}"
            chosen = [
                replace(run, scores=run.task.evaluate_corpus(run.predictions, test))
                for run in runs
                if run.settings.train == train
            ]
            for run in chosen:
                encoder = run.settings.features.speech_encoder[0]
                rows.append(self.result(run, name=f"{direction}: {encoder}", corpus=test))
            rows.append(self.baseline(chosen[-1], "majority", f"{direction}: majority"))
            rows += find_published("cross_corpus", train="+".join(train), corpus=test)
        return rows

    def protocol(self, settings: CrossCorpusSettings, runs: Runs) -> Iterator[str]:
        """Describes seeds, targets and maps of each corpus."""
        from conversation_emotion.evaluation import results
        from conversation_emotion.tasks.cross_corpus import select_corpus

        corpora = runs[0].task.corpora
        tested = dict.fromkeys(test for run in runs for test in run.settings.test)
        split = runs[0].task.dataset.split
        n = {name: len(corpora.targets[name]) for name in tested}
        last = {test: run for run in runs for test in run.settings.test}
        clusters = [
            f"{results.describe_clusters(select_corpus(run.predictions, test))} of {test}"
            for test, run in last.items()
        ]
        yield from results.describe_protocol(
            split.name,
            split.validation,
            split.notes,
            num_folds=1,
            num_seeds=settings.training.seeds,
            n=n,
            bounds=f"95 % interval over {', '.join(clusters)}",
        )
        listed = {place.partition("=")[0] for place in settings.test_lists}
        for name, dropped in corpora.pooled.num_dropped.items():
            kept = corpora.pooled.label_maps[name].classes
            mapped = ", ".join(f"{old} = {new}" for old, new in kept.items() if old != new)
            out = ", ".join(f"{count} {emotion}" for emotion, count in dropped.items()) or "none"
            which = "targets by its list; " if name in listed else ""
            yield f"{name}: {which}{mapped or 'classes by their own names'}; dropped: {out}"

    def notes(self, settings: CrossCorpusSettings, runs: Runs) -> Iterator[str]:
        """Describes layers and pooling, and encoders that saw a corpus."""
        from conversation_emotion.evaluation.published import describe_pretraining

        features = settings.features
        pooling = features.for_encoder(features.speech_encoder[0]).speech_pooling
        yield f"layers {features.speech_layers}; pooling {pooling}"
        corpora = runs[0].task.corpora.pooled.label_maps
        yield from describe_pretraining(features.speech_encoder, corpora)


EXPERIMENT = CrossCorpus()


if __name__ == "__main__":
    EXPERIMENT.main()
