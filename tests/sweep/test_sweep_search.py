"""What the search spaces of the experiments vary, and what the command line makes of it."""

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from conversation_emotion.settings.dimensional import DimensionalSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.flags import change, flatten
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from experiments.sweep import __main__ as sweep
from experiments.sweep.settings import SweepSettings
from experiments.sweep.space import default_parameters, feature_variants, widen
from experiments.sweep.trials import load_experiment
from tests.tiny_experiment import EXPERIMENT, TinyConfig


def load(name):
    experiment: Any = load_experiment(f"experiments.{name}")
    return experiment.search_space, experiment.settings()


@pytest.mark.parametrize("name", sweep.EXPERIMENTS)
def test_every_experiment_has_what_a_sweep_needs(name):
    experiment = load_experiment(f"experiments.{name}")
    needed = ("search_space", "prepare", "validate", "test")
    assert all(callable(getattr(experiment, method)) for method in needed)


@pytest.mark.parametrize("name", sweep.EXPERIMENTS)
def test_every_parameter_bears_the_name_of_the_setting_it_varies(name):
    space, config = load(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        settings: dict[str, Any] = flatten(space(trial, config))
        assert trial.params
        for parameter, value in trial.params.items():
            if parameter == "alpha":  # one of several, as a row of the table
                assert settings["alphas"] == (value,)
            elif parameter == "speech_encoder":
                assert settings["speech_encoder"] == (value,)
            elif parameter == "row":
                assert value.startswith(settings["modality"][0])
            else:
                assert settings[parameter] == value


@pytest.mark.parametrize("name", ["epc", "ser", "dimensional"])
def test_the_default_setting_lies_in_the_space(name):
    space, config = load(name)
    proposed = space(FixedTrial(default_parameters(space, config)), config)
    if isinstance(config, SERSettings):  # a sweep varies the head that is trained
        config = change(config, head="superb")
    assert proposed == config


def test_epc_covers_fusion_aggregator_dialogue_model_layers_sizes_and_optimiser():
    space, config = load("epc")
    parameters = set(default_parameters(space, config))
    assert {"fusion", "dialogue_model", "text_layers", "hidden_size", "optimizer"} <= parameters
    assert "speech_pooling" in parameters
    kept = EPCSettings(features=FeatureSettings(speech_pooling="frames"))
    assert {"aggregator"} <= set(default_parameters(space, kept))


def test_what_makes_no_difference_is_not_varied():
    space, _ = load("epc")
    text = EPCSettings(features=FeatureSettings(modality="text"))
    assert not {"fusion", "speech_pooling", "speech_layers"} & set(default_parameters(space, text))
    speech = EPCSettings(features=FeatureSettings(modality="speech", speech_encoder="wav2vec2"))
    assert {"speech_layers"} <= set(default_parameters(space, speech))
    functionals = SERSettings(features=EncoderSettings(speech_encoder=("egemaps",)))
    assert not {"speech_layers", "speech_pooling", "aggregator"} & set(
        default_parameters(load("ser")[0], functionals)
    )


def test_aggregators_without_a_size_are_left_out_where_one_is_given():
    space, _ = load("ser")
    sized = SERSettings(features=EncoderSettings(aggregator="ecapa", aggregator_size=64))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    chosen = {space(study.ask(), sized).features.aggregator for _ in range(20)}
    assert chosen == {"attention", "ecapa"}


def test_a_published_protocol_is_not_swept():
    space, _ = load("ser")
    with pytest.raises(ValueError, match="--protocol superb fixes what a sweep varies"):
        space(FixedTrial({}), SERSettings(protocol="superb"))


@pytest.mark.parametrize("config", [SERSettings, DimensionalSettings])
def test_several_encoders_are_one_more_thing_to_vary(config):
    name = "ser" if config is SERSettings else "dimensional"
    space, default = load(name)
    both = (*default.features.speech_encoder, "mfcc2")
    features = replace(default.features, speech_encoder=both)
    variants = feature_variants(space, replace(default, features=features))
    assert {variant.features.speech_encoder for variant in variants} == {
        (encoder,) for encoder in both
    }


def test_the_features_of_all_trials_are_known_before():
    space, config = load("epc")
    variants = {
        (variant.features.speech_pooling, variant.features.text_layers)
        for variant in feature_variants(space, config)
    }
    assert variants == {
        (pooling, layers)
        for pooling in ("mean", "statistics")
        for layers in ("last", "last-4", "all")
    }


def test_a_default_outside_of_the_space_is_replaced_by_what_is_inside():
    outside = TinyConfig(x=7.0, fusion="late")
    assert default_parameters(EXPERIMENT.search_space, outside) == {
        "x": 0.0,
        "fusion": "late",
    }


def test_flags_of_the_sweep_and_of_the_experiment_are_separated():
    module, settings, config = sweep.read(
        ["epc", "--trials", "3", "--modality", "text", "--workers=2", "--learning-rate", "0.002"]
    )
    assert module == "experiments.epc"
    assert settings == SweepSettings(trials=3, workers=2)
    assert (config.features.modality, config.training.learning_rate) == ("text", 0.002)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name an experiment first: epc, ser"),
        (["epk"], "no experiment 'epk' to sweep; choose from epc, ser"),
        (["epc", "--trials", "0"], "--trials must be 1 or more, got 0"),
        (["epc", "--trails", "9"], "Unrecognized options: --trails"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(flags, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        sweep.read(flags)
    assert message in re.sub(r"[\s│]+", " ", capsys.readouterr().err)


def test_help_answers_without_loading_what_is_slow():
    command = [sys.executable, "-X", "importtime", "-m", "experiments.sweep", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--trials" in answer.stdout
    loaded = set(re.findall(r"\|\s+(\w+)$", answer.stderr, re.MULTILINE))
    assert not loaded & {"torch", "pandas", "mlflow", "transformers", "optuna", "matplotlib"}


def test_any_setting_may_be_varied_and_ones_own_choices_narrowed():
    vary = ("modality=text,speech+text", "dialogue_model=single,two-role", "history=2,4")
    vary += ("speech_encoder=fbank,mfcc",)
    space, settings = load("epc")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(30):
        trial = study.ask()
        proposed = widen(space, vary)(trial, settings)
        assert ("fusion" in trial.params) == (proposed.features.modality == "speech+text")
        assert proposed.model.history == int(trial.params["history"])
        assert ("speech_encoder" in trial.params) == ("fusion" in trial.params)
        drawn.append((proposed.features.modality, proposed.model.dialogue_model))
    assert {*drawn} == {(m, d) for m in ("text", "speech+text") for d in ("single", "two-role")}
    given = [one.features.modality for one in feature_variants(widen(space, vary), settings)]
    assert {*given} == {"text", "speech+text"}


def test_encoders_are_varied_where_a_table_has_several():
    space, settings = load("ser")
    wider = widen(space, ("speech_encoder=mfcc,fbank", "seeds=3,1"))
    variants = feature_variants(wider, change(settings, speech_encoder=("fbank",)))
    assert {one.features.speech_encoder for one in variants} == {("fbank",), ("mfcc",)}
    given = default_parameters(wider, change(settings, speech_encoder=("fbank",)))
    assert (given["speech_encoder"], given["seeds"]) == ("fbank", "1")  # those that were set


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("fussion=early,late", "the experiment has no setting 'fussion'; did you mean fusion?"),
        ("history=4", "name two values or more, such as history=A,B"),
        ("fusion=early,", "name two values or more"),
        ("fusion=early,never", "invalid choice"),
    ],
)
def test_what_cannot_be_varied_is_a_usage_error(vary, message, capsys):
    with pytest.raises(SystemExit):
        sweep.read(["epc", "--vary", vary])
    assert message in " ".join(re.sub(r"[│\s]+", " ", capsys.readouterr().err).split())
