r"""Which layer of an encoder carries emotion: one of them, a learned sum, or the last four?

    python -m experiments.layers
    python -m experiments.layers --corpus emodb --root EmoDB --speech-encoder emotion2vec-mini fbank
    python -m experiments.layers --corpus emodb --root EmoDB --also ravdess=RAVDESS --seeds 5 \
        --speech-encoder emotion2vec_base wavlm-base

Each layer, SUPERB's learned weighted sum and the mean of the last four get the linear probe of
experiments.ser with the same settings and folds; hidden states are extracted once. A row of its
own has the layer that valid chooses in each fold and seed. Prints a table per corpus, writes curves
as PNG and page, and mlruns/. The demo corpus takes about three minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

from conversation_emotion.settings.probes import LayersSettings
from conversation_emotion.tracker import Memory
from experiments.framework.experiment import Experiment, Job, RowRun, Rows, Runs, Table, Task


class LayersTable(Experiment[LayersSettings]):
    """A run per corpus and encoder, a row per layer."""

    name = "layers"
    settings = LayersSettings
    heading = "Which layer carries emotion: linear probe of frozen encoders; {settings.data.corpus}"
    columns = ("uar", "macro_f1", "wa", "weighted_f1", "weight_in_sum")

    def rows(self, settings: LayersSettings) -> dict[str, LayersSettings]:
        """Returns a run for each corpus and encoder."""
        return {f"{row.data.corpus} {row.encoder}": row for row in settings.rows()}

    def task(self, row: LayersSettings, memory: Memory) -> Task:
        """Extracts all layers of an encoder."""
        from conversation_emotion.training.layers import prepare_layers

        return prepare_layers(row.probe(), row.layers, memory)

    def train(self, job: Job, before: Runs) -> RowRun:
        """Trains a probe on each layer, and scores them all."""
        from conversation_emotion.training.layers import probe_layers, score_layers

        predictions = probe_layers(job.task, job.run)
        scores = score_layers(job.task, predictions, job.run)
        return RowRun(**vars(job), predictions=predictions, scores=scores)

    def show(self, settings: LayersSettings, runs: Runs) -> Table:
        """Shows a table for each corpus, then the curves."""
        corpora = list(dict.fromkeys(run.settings.data for run in runs))
        groups = [[run for run in runs if run.settings.data == data] for data in corpora]
        tables = [super(LayersTable, self).show(group[0].settings, group) for group in groups]
        names = "-".join(data.corpus for data in corpora)
        self._draw(settings.output or Path("mlruns") / "layers" / names, groups, tables)
        return tables[0]

    def results(self, settings: LayersSettings, runs: Runs) -> Rows:
        """Lays out the layers of each encoder with their weight in the sum, and the majority."""
        from conversation_emotion.figures.layer_curves import PROBE_TITLES

        rows = []
        for run in runs:
            task = run.task
            for layer in [layer for layer in run.scores if layer not in ("model", "majority")]:
                title = PROBE_TITLES.get(layer, f"layer {layer}")
                title = "its one layer" if task.names == ("0",) else title
                row = self.result(run, layer, name=f"{run.settings.encoder}, {title}")
                if layer.isdecimal() and int(layer) in task.weights:
                    row = replace(row, values={"weight_in_sum": task.weights[int(layer)]})
                rows.append(row)
        return [*rows, self.baseline(runs[0], "majority")]

    def notes(self, settings: LayersSettings, runs: Runs) -> Iterator[str]:
        """Names the layers that valid chose, and encoders that saw the corpus."""
        from conversation_emotion.evaluation.published import describe_pretraining

        for run in runs:
            chosen = run.task.chosen.items()
            if counts := ", ".join(f"{layer} ({n})" for layer, n in chosen if n):
                yield f"{run.settings.encoder}: layers that valid chose, and how often: {counts}"
        encoders = [run.settings.encoder for run in runs]
        yield from describe_pretraining(encoders, [settings.data.corpus])
        yield "layer 0 is what enters the first Transformer block; frames to their mean"

    def _draw(self, folder: Path, groups: Sequence[Runs], tables: Sequence[Table]) -> None:
        """Writes the curves and their numbers, and keeps them with every run."""
        from conversation_emotion.figures.pages import write_layer_curves

        panels = [
            (
                table.notes[0],
                {run.settings.encoder: run.scores for run in group},
                group[0].scores["majority"]["uar"].score,
            )
            for group, table in zip(groups, tables, strict=True)
        ]
        files = write_layer_curves(folder, panels, tables)
        for run, file in product(chain(*groups), files):
            run.run.log_file(file)
        print(f"curves: {', '.join(map(str, files))}")


EXPERIMENT = LayersTable()


if __name__ == "__main__":
    EXPERIMENT.main()
