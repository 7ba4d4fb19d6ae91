r"""Fusion of speech and text encoders: where should they be fused to recognise emotion?

    python -m experiments.fusion
    python -m experiments.fusion --corpus meld --root MELD.Raw --rows 9,10,11
    python -m experiments.fusion --corpus iemocap --root IEMOCAP_full_release --rows 1-11 \
        --split superb --superb-folds META_DATA --wav2vec2 tuned/wav2vec2 --hubert tuned/hubert

The rows are those of Morais et al. (2022), table 1, by their number, and ours from 12 on: "+"
concatenates frames before one ECAPA-TDNN, "&" utterance vectors before the classifier; gates,
cross-attention and decisions (19 and 20, which train the rows that they fuse, weighed by valid) are
beyond the paper. Fine-tuned, averaged encoders are the folders that experiments.finetune writes.
Prints WACC and UACC next to the published figures, and the significance of every difference; each
row is a run of its own. The first command needs no download.
"""

from collections.abc import Iterator
from dataclasses import replace

from conversation_emotion.settings.fusion import ROWS, FusionSettings, read_rows
from conversation_emotion.settings.space import Range, Trial, propose
from conversation_emotion.settings.votes import split_targets
from conversation_emotion.settings.words import GIVEN, split_words
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Job, RowRun, Rows, Runs, Task


class FusionTable(Experiment[FusionSettings]):
    """A row for each number."""

    name = "fusion"
    settings = FusionSettings
    heading = "Fusion of encoders; {settings.data.corpus}"
    compares = True

    def rows(self, settings: FusionSettings) -> dict[str, FusionSettings]:
        """Returns a run for each row and target."""
        numbers = read_rows(settings.rows)
        rows = {f"{one}  {settings.title(one)}": settings.for_row(one) for one in numbers}
        return split_words(split_targets(rows))

    def task(self, row: FusionSettings, memory: Memory) -> Task:
        """Extracts the frames of the row's encoders."""
        from conversation_emotion.tasks.fusion import prepare_fusion

        return prepare_fusion(row, memory)

    def inputs(self, row: FusionSettings) -> tuple[str, str]:
        """Returns the modalities and the encoders of a row."""
        flags = ROWS[int(row.rows)].encoders
        modality = "+".join({"bert": "text"}.get(flag, "speech") for flag in flags)
        return modality, " ".join(getattr(row, flag) for flag in flags)

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains a row, or fuses the decisions of rows above it."""
        from conversation_emotion.evaluation.decisions import pool_decisions
        from conversation_emotion.training.cross_validation import evaluate

        if not (parts := ROWS[int(job.settings.rows)].decisions_of):
            return super().train(job, before)
        words = (job.settings.words, GIVEN)  # which rows without text have; the last row counts
        same = [run for run in before if run.settings.votes == job.settings.votes]
        same = [run for run in same if run.settings.words in words]
        found = {int(run.settings.rows): run.predictions for run in same}
        tables = [found[part] for part in parts]
        pool = pool_decisions(tables, job.task.labels, metric=job.task.select_by)
        job.run.log_table(pool.weights, "weights.parquet")
        scores = evaluate(job.task, pool.predictions, job.run)
        return RowRun(**vars(job), predictions=pool.predictions, scores=scores)

    def below(self, run: RowRun) -> Rows:
        """Returns the published figures of a row."""
        from conversation_emotion.evaluation.published import find_published

        settings: FusionSettings = run.settings
        return find_published("fusion", corpus=settings.data.corpus, row=int(settings.rows))

    def notes(self, settings: FusionSettings, runs: Runs) -> Iterator[str]:
        """Names the encoders, and the metrics as the paper calls them."""
        flags = dict.fromkeys(f for run in runs for f in ROWS[int(run.settings.rows)].encoders)
        yield "; ".join(f"{flag}: {getattr(settings, flag)}" for flag in flags)
        yield "UACC is UAR, WACC is WA; all rows but 1 and 2 average their best epochs"

    def search_space(self, trial: Trial, settings: FusionSettings) -> FusionSettings:
        """Varies the row, the size of the aggregator, dropout and step size."""
        settings.votes.check_one("a sweep of rows")
        settings.words.check_one("a trial")
        numbers = read_rows(settings.rows)
        if fused := [number for number in numbers if ROWS[number].decisions_of]:
            raise ValueError(f"--rows {fused[0]} fuses decisions; a sweep trains single rows")
        row = trial.suggest_categorical("rows", [str(number) for number in numbers])
        return propose(
            trial,
            replace(settings.for_row(int(row)), training=settings.training),
            learning_rate=Range(1e-4, 1e-2, log=True),
            aggregator_size=[32, 64, 128],
            dropout=Range(0.0, 0.6),
        )


EXPERIMENT = FusionTable()


if __name__ == "__main__":
    EXPERIMENT.main()
