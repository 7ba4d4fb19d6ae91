"""A folder in which every command can be run, and the flags of short runs."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from experiments import find_commands
from tests.emotion2vec_models import make_model
from tests.hums import write_emodb_hums, write_hum, write_ravdess_hums
from tests.saved_models import save_untrained
from tests.small_corpus import write_corpus
from tests.text_encoders.test_text_encoders import save_model as save_bert

QUICK = ["--epochs=1", "--max-folds=1"]
MANIFEST = ["--corpus=manifest", "--root=corpus"]
FBANK = ["--speech-encoder=fbank"]
TUNED = ["--max-folds=1", "--epochs=1", "--average-best=1"]
PRETRAIN = ["--root=hums", "--steps=1", "--workers=0", "--precision=fp32", "--min-seconds=0.1"]


@contextmanager
def all_commands_in(folder: Path) -> Iterator[Path]:
    """Works in a folder with tiny corpora, encoders and a saved model for all commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        (folder / "corpus").mkdir()
        table = write_corpus(folder / "corpus", num_train=2)
        numbers = table.assign(sentiment=table["valence"] - 3).drop(columns="corpus")
        numbers.to_csv(folder / "corpus" / "numbers.csv", index=False)
        write_emodb_hums(folder / "emodb", ("03", "08", "09", "10", "11"), "WLEAFTN", 1)
        tones = {"01": 0, "03": 1, "04": 2, "05": 3}
        write_ravdess_hums(folder / "ravdess", (1, 2, 3, 4, 5), tones)
        for number in range(4):
            write_hum(folder / "hums" / f"{number}.wav", number, number)
        (folder / "taught.csv").write_text("audio,emotion\nhums/0.wav,happy\nhums/1.wav,sad\n")
        make_model(num_hidden_layers=2).save_pretrained(folder / "encoder")
        save_bert(folder / "bert")
        save_untrained(
            folder / "saved", UtteranceModelSettings(), FeatureSettings(modality="speech")
        )
        yield folder


def find_command(name: str) -> tuple[type, Callable[[Any], object]]:
    """Returns the settings of a command, and what it runs."""
    module = import_module(find_commands()[name].module)
    if hasattr(module, "EXPERIMENT"):
        return module.EXPERIMENT.settings, module.EXPERIMENT.run
    return next(iter(inspect.signature(module.run).parameters.values())).annotation, module.run


def interrupt(*given: object, **more: object) -> None:
    """Takes the place of a server, or of what is not to be reached."""
    raise KeyboardInterrupt
