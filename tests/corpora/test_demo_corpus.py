"""The demo corpus: its contract, its sound, its plan, and the best score that can be reached."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.corpora.demo import DATA, load_demo, make
from conversation_emotion.corpora.demo.make import record, resample
from conversation_emotion.corpora.demo.plan import SESSIONS, plan_session, read_sentences
from conversation_emotion.corpora.demo.process import (
    CEILING_UAR,
    EMOTIONS,
    PROCESS,
    EmotionProcess,
    bayes_rule,
    expected_targets,
    rule_uar,
)
from conversation_emotion.corpora.demo.process import TURNS_PER_DIALOGUE as TURNS
from conversation_emotion.utterances.labels import find_label_map, map_labels

SAMPLE_RATE = 16_000
UNIFORM = (0.25, 0.25, 0.25, 0.25)
ECHO = {name: tuple(float(name == other) for other in EMOTIONS) for name in EMOTIONS}


@pytest.fixture(scope="module")
def demo() -> pd.DataFrame:
    return load_demo()


@pytest.fixture(scope="module")
def loudness(demo: pd.DataFrame) -> pd.Series:
    """Root mean square of every utterance's stretch of its recording."""
    levels = pd.Series(0.0, index=demo.index)
    for audio, rows in demo.groupby("audio"):
        waveform, sample_rate = soundfile.read(str(audio))
        assert sample_rate == SAMPLE_RATE
        for index, start, end in zip(rows.index, rows["start"], rows["end"], strict=True):
            assert end <= len(waveform) / sample_rate
            speech = waveform[round(start * sample_rate) : round(end * sample_rate)]
            levels[index] = np.sqrt(np.mean(speech**2))
    return levels


def last_turn_rule() -> np.ndarray:
    """The rule that names the emotion of the last turn, the partner's, by past: (C+1, C+1)."""
    return np.tile(np.arange(5) % 4, (5, 1))


def count_targets(utterances: pd.DataFrame) -> np.ndarray:
    """Counts the first utterances of all turns but a dialogue's first, where they are labelled.

    Returns:
        Counts by the labels of the first utterances of the two turns before, index C where there
        is none, and by their own: (C+1, C+1, C).
    """
    counts = np.zeros((5, 5, 4))
    for _, dialogue in utterances.groupby("dialogue_id"):
        in_order = dialogue.sort_values("order")
        is_first = in_order["speaker"] != in_order["speaker"].shift()
        names = in_order.loc[is_first, "emotion"]
        emotions = [4 if pd.isna(name) else EMOTIONS.index(name) for name in names]
        for own, partner, target in zip([4, *emotions], emotions, emotions[1:], strict=False):
            if target != 4:
                counts[own, partner, target] += 1
    return counts


def needs_espeak() -> str:
    """Path of espeak-ng 1.51, or a skip that says what is missing."""
    if (program := shutil.which("espeak-ng")) is None:
        pytest.skip("espeak-ng is not installed; only the plan is checked")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if " 1.51 " not in version.stdout:
        pytest.skip(f"the shipped times are those of espeak-ng 1.51, not of {version.stdout}")
    return program


def test_a_woman_and_a_man_speak_in_each_of_five_sessions(demo: pd.DataFrame):
    speakers = demo[["session", "speaker", "gender"]].drop_duplicates()

    assert sorted(speakers["session"].unique()) == ["Ses01", "Ses02", "Ses03", "Ses04", "Ses05"]
    assert speakers["speaker"].nunique() == len(speakers) == 10
    for _, pair in speakers.groupby("session"):
        assert sorted(pair["gender"]) == ["female", "male"]


def test_corpus_is_large_and_its_package_small(demo: pd.DataFrame):
    assert len(demo) >= 600
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 6_000_000


def test_every_emotion_has_its_share_and_few_utterances_have_none(demo: pd.DataFrame):
    shares = demo["emotion"].value_counts(normalize=True)
    targets = map_labels(demo["emotion"], find_label_map("demo", "4-class", demo["emotion"]))

    assert sorted(shares.index) == ["angry", "happy", "neutral", "sad"]
    assert shares.min() >= 0.15
    assert 0.005 < targets.num_unlabelled / len(demo) < 0.04


def test_speakers_alternate_and_repeat_no_sentence(demo: pd.DataFrame):
    for _, dialogue in demo.groupby("dialogue_id"):
        turn = (dialogue["speaker"] != dialogue["speaker"].shift()).cumsum()
        assert turn.value_counts().max() <= 2
        assert 12 <= turn.max() <= 16
        assert dialogue["text"].is_unique
        assert (dialogue["emotion"].groupby(turn).nunique() <= 1).all()


def test_utterances_follow_one_another_with_a_pause(demo: pd.DataFrame):
    pauses = demo["start"] - demo.groupby("dialogue_id")["end"].shift(fill_value=0.0)

    assert pauses.between(0.199, 0.601).all()
    assert demo["duration"].between(0.5, 5.0).all()
    np.testing.assert_allclose(demo["offset"] + demo["duration"], demo["end"], atol=1e-4)


def test_every_utterance_is_heard_and_no_pause_is(demo: pd.DataFrame, loudness: pd.Series):
    waveform, _ = soundfile.read(str(demo.loc[0, "audio"]))
    before = waveform[: round(demo["start"].iloc[0] * SAMPLE_RATE) - 800]

    assert loudness.min() > 0.01
    assert np.sqrt(np.mean(before**2)) < 0.005


def test_anger_is_louder_and_sadness_softer_and_slower(demo: pd.DataFrame, loudness: pd.Series):
    letters_per_second = demo["text"].str.len() / demo["duration"]
    loud = loudness.groupby(demo["emotion"]).mean()
    fast = letters_per_second.groupby(demo["emotion"]).mean()

    assert loud["angry"] > loud["happy"] > loud["neutral"] > loud["sad"]
    assert min(fast["angry"], fast["happy"]) > fast["neutral"] > fast["sad"]


def test_emotions_overlap_in_loudness(demo: pd.DataFrame, loudness: pd.Series):
    by_emotion = loudness.groupby(demo["emotion"])
    low, high = by_emotion.quantile(0.05), by_emotion.quantile(0.95)

    assert low["angry"] < high["neutral"]
    assert low["neutral"] < high["sad"]


def test_ratings_follow_the_emotion_on_a_scale_of_one_to_five(demo: pd.DataFrame):
    ratings = demo[["valence", "arousal", "dominance"]]
    usual = ratings.groupby(demo["emotion"]).mean()

    assert ratings.min().min() >= 1
    assert ratings.max().max() <= 5
    assert (usual["valence"].idxmax(), usual["arousal"].idxmax()) == ("happy", "angry")
    assert (usual["arousal"].idxmin(), usual["dominance"].idxmin()) == ("sad", "sad")


def test_sentiment_follows_valence(demo: pd.DataFrame):
    negative, positive = demo["valence"] < 2.5, demo["valence"] > 3.5

    assert set(demo.loc[negative, "sentiment"]) == {"negative"}
    assert set(demo.loc[positive, "sentiment"]) == {"positive"}
    assert set(demo.loc[~negative & ~positive, "sentiment"]) == {"neutral"}


def test_most_sentences_betray_the_emotion_and_some_mislead(demo: pd.DataFrame):
    written_for = {text: name for name, texts in read_sentences().items() for text in texts}
    labelled = demo[demo["emotion"].notna()]
    source = labelled["text"].map(written_for)

    assert (source == labelled["emotion"]).mean() == pytest.approx(0.70, abs=0.04)
    assert (source == "any").mean() == pytest.approx(0.18, abs=0.04)


def test_own_past_partner_and_base_share_the_next_emotion():
    # Own anger, a sad partner: 0.64 for angry; 0.26 x (0, 0, 0.6, 0.4); 0.10 x base.
    assert PROCESS.transition("angry", "sad") == pytest.approx([0.663, 0.026, 0.183, 0.128])
    # Base takes the place of what does not exist: 0.64 x 0.26 + 0.26 x 0.7 + 0.10 x 0.26.
    assert PROCESS.transition(None, "happy")[1] == pytest.approx(0.3744)
    assert PROCESS.transition(None, None) == pytest.approx([0.23, 0.26, 0.27, 0.24])


@pytest.mark.parametrize(("turns", "uar"), [([2], 0.25), ([3], 0.625), ([2, 3], 0.5)])
def test_ceiling_of_pure_inertia_is_chance_where_nothing_is_known(turns: list[int], uar: float):
    # A second turn has no own past, 1 right in 4; a third repeats the first, always right.
    process = EmotionProcess(inertia=1.0, contagion=0.0, base=UNIFORM, responses=ECHO)
    rule = bayes_rule(process, turns)

    assert rule_uar(rule, expected_targets(process, turns)) == pytest.approx(uar)


def test_ceiling_equals_a_simulation():
    generator = np.random.default_rng(7)
    contexts: dict[tuple[str | None, str], np.ndarray] = {}
    for _ in range(3000):
        turns = PROCESS.sample(int(generator.choice(TURNS)), generator)
        for own, partner, target in zip([None, *turns], turns, turns[1:], strict=False):
            counts = contexts.setdefault((own, partner), np.zeros(4))
            counts[EMOTIONS.index(target)] += 1
    totals = np.sum(list(contexts.values()), axis=0)
    # The best rule of each context takes its largest share; a context adds that share once.
    simulated = sum((counts / totals).max() for counts in contexts.values()) / 4

    assert pytest.approx(simulated, abs=0.01) == CEILING_UAR


def test_ceiling_lies_between_the_last_turn_and_certainty(demo: pd.DataFrame):
    best, last = bayes_rule(PROCESS, TURNS), last_turn_rule()
    last_turn = rule_uar(last, expected_targets(PROCESS, TURNS))

    assert 0.25 < last_turn < CEILING_UAR < 1
    assert rule_uar(best, count_targets(demo)) == pytest.approx(CEILING_UAR, abs=0.05)
    assert rule_uar(last, count_targets(demo)) == pytest.approx(last_turn, abs=0.05)


def test_only_labelled_first_utterances_of_later_turns_are_targets():
    table = pd.DataFrame(
        {
            "dialogue_id": "d",
            "order": range(8),
            "speaker": list("AABABAAB"),
            "emotion": ["sad", "sad", "sad", "happy", None, "angry", "sad", "neutral"],
        }
    )

    uar = rule_uar(last_turn_rule(), count_targets(table))

    # Targets: sad after sad (right), happy after sad, angry after nothing known, for which the
    # rule takes its first class, angry (right), neutral after angry.
    assert uar == pytest.approx((1 + 0 + 1 + 0) / 4)


def test_stated_scores_are_the_computed_ones(demo: pd.DataFrame):
    best, last = bayes_rule(PROCESS, TURNS), last_turn_rule()
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    table = [line.split("|")[2:4] for line in readme.splitlines() if line.endswith("% |")]
    stated = [[float(cell.strip(" %")) for cell in cells] for cells in table]

    for scores, rule in zip(stated[1:], (last, best), strict=True):
        targets = (expected_targets(PROCESS, TURNS), count_targets(demo))
        computed = [rule_uar(rule, one) for one in targets]
        assert scores == [round(100 * score, 1) for score in computed]


@pytest.mark.parametrize("session", SESSIONS)
def test_plan_reproduces_the_shipped_table(session: str, demo: pd.DataFrame):
    planned = pd.DataFrame(
        [utterance.row for dialogue in plan_session(session) for utterance in dialogue]
    )
    shipped = demo.loc[demo["session"] == session, list(planned)].reset_index(drop=True)

    pd.testing.assert_frame_equal(planned, shipped, check_dtype=False)


def test_speaking_again_reproduces_times_and_sound(demo: pd.DataFrame):
    program = needs_espeak()
    dialogue = plan_session("Ses04")[0]
    shipped = demo[demo["dialogue_id"] == dialogue[0].row["dialogue_id"]]

    waveform, spans = record(dialogue, program, np.random.default_rng(0))
    heard, _ = soundfile.read(str(shipped["audio"].iloc[0]))

    assert spans == list(zip(shipped["start"], shipped["end"], strict=True))
    assert len(heard) == len(waveform)
    # Opus keeps the envelope, here in tenths of a second, not the exact samples.
    whole = len(heard) // 1600 * 1600
    both = np.stack([heard[:whole], waveform[:whole]])
    loud = np.abs(both).reshape(2, -1, 1600).mean(axis=2)
    assert np.corrcoef(loud)[0, 1] > 0.98


def test_missing_espeak_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["make", "--output", str(tmp_path / "demo")])

    with pytest.raises(SystemExit, match="2"):
        make.main()
    assert "error: espeak-ng is not on the PATH" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_resampling_keeps_a_tone():
    tone, expected = (np.sin(2 * np.pi * 440 * np.arange(n) / n) for n in (22050, SAMPLE_RATE))

    np.testing.assert_allclose(resample(tone, 22050), expected, atol=1e-9)


def test_unknown_session_is_named():
    with pytest.raises(ValueError, match=r"no session 'Ses06'; the demo has Ses01, .*Ses05"):
        plan_session("Ses06")


def test_folder_without_a_table_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=rf"no utterances.csv in {tmp_path}; omit the root"):
        load_demo(tmp_path)


def test_missing_recordings_are_counted_and_named(tmp_path: Path):
    shutil.copy(DATA / "utterances.csv", tmp_path)

    with pytest.raises(FileNotFoundError, match=r"65 recordings are missing .* 'Ses01_00.ogg'"):
        load_demo(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inertia": 0.8}, "sum to 1 at most, got 0.8 and 0.3"),
        ({"inertia": -0.1}, "must be 0 or more .* got -0.1"),
        ({"base": (0.5, 0.5)}, r"base must hold 4 probabilities .* got \(0.5, 0.5\)"),
        ({"responses": {"angry": UNIFORM, "happy": UNIFORM}}, r"lack .*\['neutral', 'sad'\]"),
    ],
)
def test_impossible_process_is_refused(change: dict[str, object], message: str):
    settings = {"inertia": 0.5, "contagion": 0.3, "base": UNIFORM, "responses": ECHO}

    with pytest.raises(ValueError, match=message):
        EmotionProcess(**{**settings, **change})  # type: ignore[arg-type]


def test_loading_needs_no_torch():
    script = (
        "import sys; from conversation_emotion.corpora.demo import load_demo; load_demo();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
