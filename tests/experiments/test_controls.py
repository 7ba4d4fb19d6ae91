"""Controls: shuffled labels come down to chance, and a planted signal to near the ceiling.

``pytest -m controls`` shows both for every experiment and for every split in one table. Labels of a
tested utterance that reach training, by whatever way, lift the shuffled above chance.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from conversation_emotion.datasets.clip_batches import ClipBatch
from conversation_emotion.settings.corpus import SplitName
from conversation_emotion.settings.dimensional import DimensionalSettings, RatingSettings
from conversation_emotion.settings.epc_benchmark import EPCBenchmarkSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.fine_tuning import (
    FinetuneSettings,
    MultitaskSettings,
    TunableSettings,
)
from conversation_emotion.settings.fusion import FusionSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.probes import (
    CrossCorpusSettings,
    LanguagesSettings,
    LayersSettings,
    StageSettings,
    VisualiseSettings,
)
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.sentiment import ModalitySettings, SentimentSettings
from conversation_emotion.settings.training import FineTuningSettings, FitSettings, TrainingSettings
from conversation_emotion.splits.folds import Fold
from conversation_emotion.splits.protocols import SHARED_DIALOGUES, SPLITS
from conversation_emotion.tasks.task import Task
from conversation_emotion.tracker import Memory, MemoryTracker
from experiments import (
    cross_corpus,
    dimensional,
    epc,
    finetune,
    fusion,
    languages,
    layers,
    multitask,
    sentiment,
    ser,
    visualise,
)
from experiments.benchmark import epc as benchmark_epc
from experiments.framework.experiment import Experiment, Job, RowRun
from tests import control_corpora
from tests.emotion2vec_models import make_model

pytestmark = pytest.mark.controls

SPEECH = FeatureSettings(modality="speech", speech_encoder="fbank")
FBANK = EncoderSettings(speech_encoder=("fbank",))
PROBE = TrainingSettings(learning_rate=2e-2, epochs=14, patience=14, max_folds=1, average_best=1)
LONG = replace(PROBE, epochs=50, patience=50)
GRU = {"dialogue_model": "single", "hidden_size": 64, "dropout": 0.1, "input_dropout": 0.1}
TURNS = replace(PROBE, average_best=0)
"""The last epoch is kept, so that nothing stops what learns by heart."""

TUNING = FineTuningSettings(
    learning_rate=1e-2,
    head_learning_rate=1e-2,
    epochs=5,
    patience=5,
    average_best=1,
    max_folds=1,
)


@dataclass(frozen=True)
class Control:
    """An experiment with the settings that it gets, by the folder of the corpora and their kind."""

    experiment: Experiment[Any]
    settings: Callable[[Path, str], Any]
    metric: str = "uar"
    num_classes: int = 4
    system: str = "model"

    @property
    def chance(self) -> float:
        return 1 / self.num_classes if self.num_classes else 0.0

    def margin(self, n: int) -> float:
        """Returns how far n guesses get from chance, once in a thousand times."""
        variance = self.chance * (1 - self.chance) if self.num_classes else 1.0
        return 3.3 * math.sqrt(variance / n)


def recognise(split: SplitName, *, speeds: tuple[float, ...] = ()) -> Control:
    def settings(root: Path, kind: str) -> SERSettings:
        data = replace(control_corpora.conversations(root, kind, split), speeds=speeds)
        return SERSettings(data=data, features=FBANK, training=PROBE)

    return Control(ser.EXPERIMENT, settings)


def converse(split: SplitName, **model: Any) -> Control:
    def settings(root: Path, kind: str) -> EPCSettings:
        data = control_corpora.conversations(root, kind, split)
        settings = ConversationModelSettings(**{**GRU, **model})
        return EPCSettings(data=data, features=SPEECH, model=settings, training=TURNS)

    return Control(epc.EXPERIMENT, settings)


def emobox(make: Callable[..., Any]) -> Callable[[Path, str], Any]:
    """Makes settings of the split that shares most, where they need nothing else."""
    return lambda root, kind: make(data=control_corpora.conversations(root, kind, "emobox"))


def encoder(root: Path) -> str:
    return str(root / "encoder")


def roots(root: Path, kind: str) -> tuple[str, ...]:
    return f"emodb={root / kind / 'emodb'}", f"ravdess={root / kind / 'ravdess'}"


def benchmark(root: Path, kind: str) -> EPCBenchmarkSettings:
    return EPCBenchmarkSettings(
        data=control_corpora.conversations(root, kind, "emobox"),
        features=SPEECH,
        model=ConversationModelSettings(**GRU),
        training=TURNS,
        horizons=(1,),
        retrain=(),
    )


CONTROLS: dict[str, Control] = {
    **{f"ser, {split}": recognise(split) for split in SPLITS},
    "ser, speeds, emobox": recognise("emobox", speeds=(0.9,)),
    **{
        f"epc, horizon 0, {split}": converse(cast(SplitName, split), horizon=0)
        for split in SHARED_DIALOGUES
    },
    "epc, horizon 0, gold past, emobox": converse("emobox", horizon=0, history_labels="gold"),
    "epc, horizon 1, emobox": converse("emobox"),
    "benchmark epc, emobox": Control(benchmark_epc.EXPERIMENT, benchmark),
    "sentiment, context, emobox": Control(
        sentiment.EXPERIMENT,
        lambda root, kind: SentimentSettings(
            data=control_corpora.conversations(root, kind, "emobox"),
            features=ModalitySettings(modality=("speech",), speech_encoder=("fbank",)),
            training=TURNS,
            history=6,
            dialogue_model="single",
            hidden_size=64,
            dropout=0.1,
            state_dropout=0.1,
        ),
        num_classes=2,
    ),
    "dimensional, emobox": Control(
        dimensional.EXPERIMENT,
        emobox(
            lambda data: DimensionalSettings(
                data=data,
                features=RatingSettings(speech_encoder=("fbank",)),
                training=FitSettings(
                    learning_rate=5e-3, epochs=15, batch_size=64, max_folds=1, average_best=1
                ),
            )
        ),
        metric="ccc_mean",
        num_classes=0,
    ),
    "fusion, emobox": Control(
        fusion.EXPERIMENT,
        emobox(lambda data: FusionSettings(data=data, rows="3", wav2vec2="fbank", training=PROBE)),
    ),
    "layers, emobox": Control(
        layers.EXPERIMENT,
        lambda root, kind: LayersSettings(
            data=control_corpora.conversations(root, kind, "emobox"),
            speech_encoder=(encoder(root),),
            layers=("0", "2"),
            training=PROBE,
        ),
        system="chosen",
    ),
    "visualise, emobox": Control(
        visualise.EXPERIMENT,
        emobox(
            lambda data: VisualiseSettings(
                data=data,
                stage=StageSettings(speech_encoder=("fbank",), learning_rate=2e-2, epochs=15),
            )
        ),
    ),
    "finetune, emobox": Control(
        finetune.EXPERIMENT,
        lambda root, kind: FinetuneSettings(
            data=control_corpora.conversations(root, kind, "emobox"),
            tuned=TunableSettings(speech_encoder=encoder(root)),
            training=TUNING,
        ),
    ),
    "multitask, emobox": Control(
        multitask.EXPERIMENT,
        lambda root, kind: MultitaskSettings(
            data=control_corpora.conversations(root, kind, "emobox"),
            tuned=TunableSettings(speech_encoder=encoder(root)),
            training=TUNING,
            alphas=(0.1,),
        ),
    ),
    "languages, speakers": Control(
        languages.EXPERIMENT,
        lambda root, kind: LanguagesSettings(
            roots=roots(root, kind)[:1], features=FBANK, training=replace(LONG, max_folds=3)
        ),
        num_classes=7,
    ),
    "cross_corpus": Control(
        cross_corpus.EXPERIMENT,
        lambda root, kind: CrossCorpusSettings(
            roots=roots(root, kind),
            features=FBANK,
            training=replace(LONG, max_folds=None),
            train=("emodb",),
        ),
    ),
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("controls")
    control_corpora.write_conversations(root)
    for kind in control_corpora.KINDS:
        control_corpora.write_emodb(root / kind / "emodb", kind)
        control_corpora.write_ravdess(root / kind / "ravdess", kind)
    make_model(num_hidden_layers=2).save_pretrained(encoder(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(root / "cache"))
        patch.chdir(root)
        yield root


def train(control: Control, settings: Any, kind: str) -> RowRun:
    """Trains the one row of an experiment, without MLflow."""
    ((name, row),) = control.experiment.rows(settings).items()
    task = control.experiment.task(row, Memory())
    return control.experiment.train(Job(name, row, task, MemoryTracker(kind)), [])  # type: ignore[arg-type]


def trained_rows(task: Task, fold: Fold) -> set[int]:
    """Returns the rows whose labels are targets in the training of a fold."""
    batches = [*task.batches(fold, 0).training]
    rows = [one.rows if isinstance(one, ClipBatch) else one.target_rows for one in batches]
    return {row for found in rows for row in found.tolist()}


@pytest.mark.parametrize("name", CONTROLS)
def test_shuffled_labels_give_chance_and_a_planted_signal_nearly_all(
    name, corpora, record_property
):
    control, found = CONTROLS[name], {}
    for kind in control_corpora.KINDS:
        run = train(control, control.settings(corpora, kind), kind)
        for fold in run.task.dataset.split.folds:
            assert trained_rows(run.task, fold) <= {*fold.train}
        found[kind] = run.scores[control.system][control.metric]
    n, shuffled, planted = found["planted"].n, found["shuffled"].score, found["planted"].score
    record_property("control", [name, control.metric, n, control.chance, shuffled, planted])
    assert shuffled < control.chance + control.margin(n)
    assert planted > 0.9
