"""A fine-tuning that is killed in earnest ends with the weights that it would have had."""

import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from experiments.finetune import EXPERIMENT
from experiments.framework import commandline
from tests.experiments.test_finetune import write_corpus, write_encoder
from tests.processes import Command
from tests.tracked import write_empty_store


@pytest.mark.faults
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch, capsys):
    root = tmp_path / "EmoDB"
    write_corpus(root)
    flags = [
        *("--corpus", "emodb", "--root", str(root)),
        *("--speech-encoder", write_encoder(tmp_path / "encoder"), "--max-folds", "1"),
        *("--epochs", "6", "--patience", "6"),
    ]
    places = {name: tmp_path / name for name in ("killed", "whole")}
    for place in places.values():
        write_empty_store(place / "mlruns" / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with Command("experiments.finetune", *flags, folder=places["killed"]) as process:
        while not (states := list(places["killed"].glob("mlruns/finetuning/*/seed0/*/state.pt"))):
            assert process.returncode is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done, _, _ = torch.load(states[0], weights_only=True)["numbers"]
    assert 1 <= done < 6

    for place in places.values():
        monkeypatch.chdir(place)
        EXPERIMENT.run(commandline.parse(EXPERIMENT.settings, flags))
        assert ("resuming run" in capsys.readouterr().out) == (place == places["killed"])
    resumed, whole = (
        load_file(next(place.glob("mlruns/finetuning/*/encoders/03/model.safetensors")))
        for place in places.values()
    )
    assert resumed.keys() == whole.keys()
    for name, weights in whole.items():
        assert torch.equal(resumed[name], weights), name
