"""What a user sees of an error: one line, whatever raises it, with the file and the switch."""

import json
import logging
import pickle
import re
import sqlite3
import struct
import subprocess
import sys
import tomllib
import zipfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import ParseError

import av.error
import numpy as np
import optuna.exceptions
import pandas as pd
import pyarrow
import pytest
import requests
import soundfile
import sqlalchemy.exc
import torch
from mlflow.exceptions import MlflowException
from safetensors import SafetensorError

from conversation_emotion.evaluation.results import ResultsTable
from experiments import __main__ as program
from experiments import find_commands
from experiments.framework import commandline
from experiments.framework.commandline import DEBUG, LONGEST, describe_error, explained
from experiments.sweep import __main__ as sweep
from experiments.tracking import server, store
from experiments.tracking.runs import TrackedRun
from tests.commands import FBANK, MANIFEST, QUICK
from tests.small_corpus import write_corpus

SWITCH = f"({DEBUG}=1 shows where)"
WORKER = "Caught it in worker 0.\nTraceback (most recent call last):\n  File x\nOSError: no disk\n"


class PanicError(BaseException):
    """What libraries in Rust raise is no `Exception`."""


ERRORS: list[tuple[BaseException, str]] = [
    (sqlite3.DatabaseError("file is not a database"), "DatabaseError: file is not a database"),
    (pyarrow.ArrowInvalid("no magic bytes"), "ArrowInvalid: no magic bytes"),
    (zipfile.BadZipFile("File is not a zip file"), "BadZipFile: File is not a zip file"),
    (json.JSONDecodeError("Expecting value", "{", 0), "JSONDecodeError: Expecting value: line 1"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "UnicodeDecodeError: 'utf-8' codec"),
    (pickle.UnpicklingError("invalid load key, '<'."), "UnpicklingError: invalid load key"),
    (struct.error("unpack requires 4 bytes"), "error: unpack requires 4 bytes"),
    (soundfile.LibsndfileError(1), "LibsndfileError: "),
    (av.error.InvalidDataError(1, "Invalid data", "a.mp3"), "[Errno 1] Invalid data"),
    (pd.errors.ParserError("Expected 2\nfields"), "ParserError: Expected 2 fields"),
    (np.linalg.LinAlgError("SVD did not converge"), "LinAlgError: SVD did not converge"),
    (torch.OutOfMemoryError("tried 2 GiB"), "OutOfMemoryError: tried 2 GiB"),
    (RuntimeError("Error(s):\n\tMissing\n\tkeys"), "Error(s): Missing keys"),
    (SafetensorError("header too large"), "SafetensorError: header too large"),
    (requests.ConnectionError("refused"), "refused"),
    (MlflowException("API request failed"), "MlflowException: API request failed"),
    (optuna.exceptions.StorageInternalError("gone"), "StorageInternalError: gone"),
    (
        sqlalchemy.exc.OperationalError("SELECT\n1", None, OSError("locked")),
        "OperationalError: (builtins.OSError) locked [SQL: SELECT 1]",
    ),
    (ParseError("no element found"), "ParseError: no element found"),
    (tomllib.TOMLDecodeError("Invalid statement"), "TOMLDecodeError: Invalid statement"),
    (KeyError("weight"), "KeyError: 'weight'"),
    (AttributeError("'NoneType' object has no attribute 'x'"), "AttributeError: 'NoneType'"),
    (MemoryError(), "MemoryError"),
    (AssertionError(), "AssertionError"),
    (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth exceeded"),
    (RuntimeError(WORKER), "OSError: no disk"),
    (PanicError("called `unwrap` on `None`"), "PanicError: called `unwrap` on `None`"),
]


def throw(error: BaseException, *given: object, **more: object) -> NoReturn:
    """Raises an error as if for the first time."""
    error.__context__ = None
    raise error.with_traceback(None)


class Settings:
    """Settings whose every use raises an error."""

    def __init__(self, error: BaseException) -> None:
        object.__setattr__(self, "error", error)

    def __getattribute__(self, name: str) -> object:
        return Settings if name == "__class__" else throw(object.__getattribute__(self, "error"))


def ending(name: str, *flags: str) -> str:
    """How a command ends the process."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["conversation-emotion", *name.split(), *flags])
        program.main()
    return str(end.value)


@pytest.mark.parametrize("stage", ["parse", "check_inputs", "run"])
def test_any_error_of_any_command_is_one_line_with_the_debug_switch(stage, monkeypatch, workplace):
    monkeypatch.setattr(store, "check_store", lambda: None)
    for module in (store, server):
        monkeypatch.setattr(module, "find_store", lambda: "sqlite:///mlflow.db")
    commands = find_commands()
    monkeypatch.setattr(program, "find_commands", lambda: commands)
    for error, expected in ERRORS:
        given = Settings(error)
        monkeypatch.setattr(commandline, "parse", lambda *_, given=given, **more: given)
        monkeypatch.setattr(sweep, "read", lambda _, given=given: ("experiments.ser", given, given))
        for module in (commandline, sweep):
            monkeypatch.setattr(module, "check_inputs", lambda settings: None)
        if stage == "parse":
            monkeypatch.setattr(sweep, "read", partial(throw, error))
        if stage != "run":
            for module in (commandline, sweep):
                monkeypatch.setattr(module, stage, partial(throw, error))
        for name in commands:
            end = ending(name)
            assert re.fullmatch(f"error: .*{re.escape(expected)}.* {re.escape(SWITCH)}", end), name


def test_with_the_debug_switch_errors_are_raised_as_they_are(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    for error, _ in ERRORS:
        with pytest.raises(type(error)), explained():
            raise error


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    (folder / "corpus").mkdir()
    write_corpus(folder / "corpus", num_train=2)
    return folder


@pytest.mark.parametrize(
    ("stage", "number", "place"),
    [
        (
            ("conversation_emotion.corpora.manifest", "build_utterances"),
            9,
            "; the file at hand was .*corpus/manifest.csv",
        ),
        (("conversation_emotion.features.sources", "extract_speech"), 0, ""),
        (("conversation_emotion.training.cross_validation", "fit"), 11, ""),
        (("conversation_emotion.tasks.emotion", "score_predictions"), 10, ""),
        ((TrackedRun, "log_metrics"), 15, ""),
        ((ResultsTable, "render"), 20, ""),
    ],
)
def test_each_stage_of_a_run_ends_in_one_line(corpus, monkeypatch, stage, number, place):
    monkeypatch.chdir(corpus)
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(corpus / "cache"))
    error, expected = ERRORS[number]
    home, name = stage
    home = import_module(home) if isinstance(home, str) else home
    monkeypatch.setattr(home, name, partial(throw, error))
    end = ending("ser", *MANIFEST, *FBANK, *QUICK)
    assert re.fullmatch(f"error: .*{re.escape(expected)}.*{place} {re.escape(SWITCH)}", end)


def test_passwords_and_endless_messages_are_cut(monkeypatch):
    error = ConnectionError("postgresql://me:secret@host/db: " + "x" * 5000)
    line = describe_error(error)
    assert line.startswith("postgresql://me:***@host/db: xxx")
    assert len(line) <= LONGEST


def test_libraries_log_no_traceback(caplog):
    with explained():
        try:
            raise OSError("gone")
        except OSError:
            logging.getLogger("mlflow").exception("the store is away")
    assert caplog.records[-1].getMessage() == "the store is away"
    assert caplog.records[-1].exc_info is None


@pytest.mark.parametrize("arguments", [["experiments"], ["experiments.corpora", "--help"]])
@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_reader_that_leaves_ends_the_command_in_silence(arguments, buffering, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", buffering)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, "-m", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_pipe_that_breaks_elsewhere_is_an_error():
    with pytest.raises(SystemExit, match="error: .*Broken pipe"), explained():
        raise BrokenPipeError(32, "Broken pipe")
