"""Predicts the emotions of recordings: who felt what, when, and how probable each emotion is.

    python -m experiments.predict RECORDING
    python -m experiments.predict FOLDER interview.mp4 turns.rttm --output turns.vtt
    python -m experiments.predict RECORDINGS --model voices
    python -m experiments.predict RECORDING --asr openai/whisper-base --language de
    python -m experiments.predict RECORDINGS --adapt turns.csv --adapt-output mine

Without --model a model predicts that comes with the package, see its card in
conversation_emotion/inference/default. Others are those that an experiment registered (--register),
by name, or name and version such as voices/2; or a run that kept one; or the folder of a saved
model.

A recording of up to 30 seconds is one turn; of a longer one voice activity finds the turns. RTTM,
SRT, WebVTT, TextGrid, ELAN, the JSON of Whisper, WhisperX and FunASR, and tables with audio, text,
speaker, start, end, or some of them, give turns of their own. Writes a row for each turn: the most
probable emotion, the probability of each, and why a row has no prediction. Words, which come with
the turns or by --asr, add their sentiment, and the emotion where there is no sound. --adapt, a
table of some turns with their emotion, adapts the model to who speaks. --report adds a page of
timelines with their sound: one file, which needs no network. --explain writes which moments, words,
turns and modalities a prediction rests on, and the page then shows them.
"""

from typing import TYPE_CHECKING

from conversation_emotion.settings.prediction import PredictSettings
from experiments.framework.commandline import launch

if TYPE_CHECKING:
    from pandas import DataFrame

    from conversation_emotion.inference.predictor import Predictor


def run(settings: PredictSettings) -> None:
    """Loads the model, predicts every turn, writes the table and summarises it."""
    from conversation_emotion.features.encoders import load_transcriber
    from conversation_emotion.features.transcription import write_words
    from conversation_emotion.inference.curves import check_has_curves
    from conversation_emotion.inference.explanation import check_kinds
    from conversation_emotion.inference.labelled import (
        adapt_predictor,
        check_free,
        read_labelled,
        save_adapted,
    )
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import predict_rows, read_rows, summarise
    from conversation_emotion.inference.turns import write_turns

    sentiment, text_model = (
        None if name == "none" else name for name in (settings.sentiment, settings.text_model)
    )
    predictor = Predictor.load(
        settings.model, sentiment=sentiment, text_model=text_model, mc_dropout=settings.mc_dropout
    )
    card = predictor.saved.card
    if settings.frames is not None:
        check_has_curves(card)
    if settings.explain is not None:
        check_kinds(card)
    if settings.adapt_output is not None:
        check_free(settings.adapt_output)
    labelled = None if settings.adapt is None else read_labelled(settings.adapt, card)
    transcriber = None if settings.asr is None else load_transcriber(settings.asr)
    if transcriber is not None and settings.language is not None:
        transcriber.find_language(settings.language)  # before any work
    rows = read_rows(
        settings.paths, settings.turns, audio=settings.audio, is_conversation=card.is_conversation
    )
    if transcriber is not None:
        rows = write_words(rows, transcriber, settings.language)
        if labelled is not None:
            labelled = write_words(labelled, transcriber, settings.language)
    if labelled is not None:
        predictor = adapt_predictor(predictor, labelled, rows, settings.adapt_by)
        card = predictor.saved.card
        if settings.adapt_output is not None:
            save_adapted(settings.adapt_output, predictor.saved)
    table = predict_rows(
        predictor, rows, classes=settings.classes, min_confidence=settings.min_confidence
    )
    write_turns(table, settings.output)
    write_further(settings, predictor, rows, table)
    summarise(card, table, settings.output)


def write_further(
    settings: PredictSettings, predictor: "Predictor", rows: "DataFrame", table: "DataFrame"
) -> None:
    """Writes curves, explanations and the page of predictions, each where it is asked for."""
    from conversation_emotion.inference.curves import predict_curves
    from conversation_emotion.inference.explanation import explain_rows
    from conversation_emotion.inference.page import read_about, render_page, write_page
    from conversation_emotion.inference.saved_model import find_model
    from conversation_emotion.inference.turns import write_turns

    card, curves, explanation = predictor.saved.card, None, None
    if settings.frames is not None:
        curves = predict_curves(predictor, rows, classes=settings.classes)
        write_turns(curves, settings.frames)
    if settings.explain is not None:
        explanation = explain_rows(predictor, rows, classes=settings.classes)
        write_turns(explanation, settings.explain)
    if settings.page.report is not None:
        about = read_about(find_model(settings.model), card)
        shown = table.assign(offset=rows.get("offset"))
        page = render_page(
            shown, card, settings.page, about=about, frames=curves, explanation=explanation
        )
        write_page(settings.page.report, page)


def main() -> None:
    """Predicts from the command line."""
    launch(run, PredictSettings, "predict")


if __name__ == "__main__":
    main()
