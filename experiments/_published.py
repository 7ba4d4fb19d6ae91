"""Published figures, to stand beside ours, with where they come from."""

from typing import NamedTuple


class Published(NamedTuple):
    """Scores as printed, in percent."""

    system: str
    uar: float | None
    macro_f1: float | None
    source: str
    wa: float | None = None
    weighted_f1: float | None = None


_SHI = "Shi et al., Interspeech 2023, as a re-implementation's author reports it"
_EMOTION2VEC = "emotion2vec (Ma et al., ACL 2024), table 6, as summarised by a reader"

EPC: dict[tuple[str, str], list[Published]] = {
    ("iemocap", "speech"): [
        Published("one GRU (Shahriar and Kim, 2019)", 56.78, 55.11, _SHI),
        Published("two roles (Shi et al., 2020)", 61.98, 60.21, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 65.01, 65.91, _SHI),
        Published("hierarchical GRU on emotion2vec", 77.19, 76.71, _EMOTION2VEC),
    ],
    ("iemocap", "text"): [
        Published("one GRU (Shahriar and Kim, 2019)", 71.19, 70.65, _SHI),
        Published("two roles (Shi et al., 2020)", 74.96, 74.54, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 77.30, 76.67, _SHI),
    ],
    ("iemocap", "speech+text"): [
        Published("one GRU (Shahriar and Kim, 2019)", 74.61, 73.62, _SHI),
        Published("two roles (Shi et al., 2020)", 76.31, 75.50, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 80.18, 80.01, _SHI),
        Published("hierarchical GRU on emotion2vec", 81.68, 80.75, _EMOTION2VEC),
    ],
    ("meld", "speech"): [
        Published("BLSTM", 25.22, 20.66, _SHI),
        Published("two roles (Shi et al., 2020)", 26.96, 25.13, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 28.67, 25.97, _SHI),
    ],
    ("meld", "text"): [
        Published("BLSTM", 41.41, 41.45, _SHI),
        Published("two roles (Shi et al., 2020)", 42.19, 42.67, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 45.44, 45.13, _SHI),
    ],
    ("meld", "speech+text"): [
        Published("BLSTM", 42.31, 42.46, _SHI),
        Published("two roles (Shi et al., 2020)", 42.39, 42.51, _SHI),
        Published("hierarchical GRU (Shi et al., 2023)", 45.21, 44.36, _SHI),
    ],
}
"""Prediction of the next turn's emotion, four classes, by corpus and modality."""

_LANGUAGES = (
    "emotion2vec (Ma et al., 2024), table of nine languages; its split of EmoDB is not published, "
    "nor are the others, so this is not the same protocol"
)
_ENGLISH = (
    "emotion2vec (Ma et al., 2024), table 3, as summarised by readers, who differ on whether 82.86 "
    "is the UA or the weighted F1 of RAVDESS; its splits are not published"
)
_SONG = "emotion2vec (Ma et al., 2024), table 5, as summarised by a reader"

_LANGUAGE_SYSTEMS = ("WavLM base", "WavLM base+", "data2vec", "emotion2vec")
_LANGUAGE_SCORES = {
    ("aesdd", "all"): (
        (55.33, 55.50, 54.86),
        (53.83, 54.41, 52.48),
        (56.67, 57.26, 56.57),
        (72.33, 72.27, 71.57),
    ),
    ("cafe", "all"): (
        (31.61, 32.02, 30.88),
        (31.40, 33.39, 30.40),
        (57.10, 57.68, 57.36),
        (74.52, 75.26, 74.53),
    ),
    ("resd", "all"): (
        (56.17, 56.17, 55.69),
        (55.00, 55.19, 55.08),
        (49.42, 49.77, 48.97),
        (64.75, 65.04, 64.53),
    ),
    ("emodb", "7-class"): (
        (59.06, 55.32, 58.96),
        (65.66, 64.60, 64.83),
        (67.17, 64.81, 66.52),
        (84.34, 84.85, 84.32),
    ),
    ("emovo", "all"): (
        (40.17, 40.34, 37.36),
        (40.34, 41.98, 40.11),
        (51.21, 51.97, 49.82),
        (61.21, 62.97, 60.89),
    ),
    ("m3ed", "all"): (
        (44.03, 18.90, 34.50),
        (45.09, 20.18, 36.49),
        (44.44, 21.10, 37.77),
        (49.15, 26.98, 44.38),
    ),
    ("subesco", "all"): (
        (54.50, 54.77, 53.96),
        (54.73, 54.69, 54.59),
        (78.29, 78.25, 78.21),
        (90.91, 90.96, 90.91),
    ),
    ("shemo", "all"): (
        (67.27, 46.60, 65.63),
        (66.73, 44.29, 65.12),
        (70.80, 53.96, 69.84),
        (79.97, 66.04, 79.56),
    ),
    ("urdu", "all"): (
        (71.00, 70.25, 70.82),
        (67.25, 68.68, 67.47),
        (71.75, 72.67, 71.83),
        (81.50, 81.87, 81.60),
    ),
}

SER: dict[tuple[str, str], list[Published]] = {
    **{
        place: [
            Published(system, uar, None, _LANGUAGES, wa, weighted_f1)
            for system, (wa, uar, weighted_f1) in zip(_LANGUAGE_SYSTEMS, scores, strict=True)
        ]
        for place, scores in _LANGUAGE_SCORES.items()
    },
    ("meld", "7-class"): [
        Published("WavLM base", None, None, _ENGLISH, 46.95),
        Published("data2vec 2.0", None, None, _ENGLISH, 48.92),
        Published("emotion2vec", 28.03, None, _ENGLISH, 51.88, 48.70),
    ],
    ("ravdess", "all"): [
        Published("WavLM base", None, None, _ENGLISH, 37.01),
        Published("data2vec 2.0", None, None, _ENGLISH, 81.04),
        Published("emotion2vec", 82.86, None, _ENGLISH, 82.43),
    ],
    ("savee", "all"): [
        Published("WavLM base", None, None, _ENGLISH, 42.08),
        Published("data2vec 2.0", None, None, _ENGLISH, 83.13),
        Published("emotion2vec", None, None, _ENGLISH, 84.38, 84.45),
    ],
    ("ravdess-song", "all"): [Published("emotion2vec", 85.2, None, _SONG, 85.0, 84.8)],
}
"""Recognition of single utterances with a linear head on speech, by corpus and label set."""


_MORAIS = (
    "Morais et al., ICASSP 2022, leave one session out, base or large models not stated; its rows "
    "1 to 4"
)

FINETUNED: dict[tuple[str, str, str], list[Published]] = {
    ("iemocap", "4-class", "speech"): [
        Published("wav2vec 2.0, tuned, one checkpoint", 74.56, None, _MORAIS, 74.09),
        Published("HuBERT, tuned, one checkpoint", 73.45, None, _MORAIS, 72.99),
        Published("wav2vec 2.0, tuned, mean of 5", 76.86, None, _MORAIS, 76.47),
        Published("HuBERT, tuned, mean of 5", 75.80, None, _MORAIS, 75.20),
    ],
}
"""Fine-tuned encoders with the mean of the frames, by corpus, label set and modality."""


class PublishedMultitask(NamedTuple):
    """Scores as printed, in percent."""

    alpha: float
    wa: float
    wer: float


CAI = (
    "Cai et al., Interspeech 2021, wav2vec 2.0 base, ten folds by recording prefix (which it calls "
    "leave one speaker out), accuracy pooled over folds; alpha 0 with a smaller step size"
)

MULTITASK: dict[tuple[str, str], list[PublishedMultitask]] = {
    ("iemocap", "4-class"): [
        PublishedMultitask(0, 71.66, 99.81),
        PublishedMultitask(0.001, 73.97, 22.33),
        PublishedMultitask(0.01, 76.34, 20.07),
        PublishedMultitask(0.1, 78.15, 19.29),
    ],
}
"""Emotion and transcript at once, by corpus and label set."""


_SENTIMENT = (
    "emotion2vec (Ma et al., 2024), table 7, of speech, as summarised by a reader; the figures of "
    "the other encoders were not to be had"
)

SENTIMENT: dict[str, list[Published]] = {
    "cmu-mosi": [Published("emotion2vec, speech", None, None, _SENTIMENT, weighted_f1=65.41)],
    "cmu-mosei": [Published("emotion2vec, speech", None, None, _SENTIMENT, weighted_f1=74.75)],
}
"""Positive against negative sentiment with a linear head, by corpus."""


_EMOBOX = (
    "EmoBox (Ma et al., 2024), table 5, accuracy on its balanced lists; train and test as its "
    "caption tells them, though many values below chance make that doubtful"
)

_CROSS_CORPUS_NAMES = ("iemocap", "meld", "ravdess", "savee")
_CROSS_CORPUS_WA = {
    "HuBERT large": (
        (44.60, 15.03, 39.99),
        (44.69, 38.22, 43.74),
        (36.18, 25.02, 56.96),
        (42.81, 31.54, 31.92),
    ),
    "WavLM large": (
        (48.59, 34.16, 35.53),
        (39.06, 23.06, 25.74),
        (44.03, 33.90, 63.35),
        (43.69, 34.10, 36.69),
    ),
    "Whisper large v3": (
        (46.14, 38.24, 46.12),
        (51.42, 47.00, 36.44),
        (48.12, 40.68, 66.91),
        (49.30, 42.18, 49.63),
    ),
}

CROSS_CORPUS: dict[tuple[str, str], list[Published]] = {
    (column, row): [
        Published(system, None, None, _EMOBOX, table[place][others.index(column)])
        for system, table in _CROSS_CORPUS_WA.items()
    ]
    for place, row in enumerate(_CROSS_CORPUS_NAMES)
    for others in [[name for name in _CROSS_CORPUS_NAMES if name != row]]
    for column in others
}
"""Four classes, by train and test corpus."""


class PublishedConcordance(NamedTuple):
    """CCC as printed, in the order of `conversation_emotion.evaluation.concordance.DIMENSIONS`, and mean."""

    system: str
    dimensions: tuple[float, float, float]
    mean: float
    source: str


_LI = "Li et al., ICASSP 2021, as readers of it report; its other rows were not to be had"

DIMENSIONAL: dict[str, list[PublishedConcordance]] = {
    "iemocap": [
        PublishedConcordance("pre-trained CPC, five-fold", (0.752, 0.752, 0.691), 0.731, _LI),
    ],
    "msp-podcast": [
        PublishedConcordance("pre-trained CPC", (0.706, 0.377, 0.639), 0.574, _LI),
    ],
}
"""Activation, valence and dominance of single utterances, by corpus."""
