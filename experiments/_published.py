"""Published figures, to stand beside ours, with where they come from."""

from typing import NamedTuple


class Published(NamedTuple):
    """Scores as printed, in percent."""

    system: str
    uar: float
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
    "so this is not the same protocol"
)

SER: dict[tuple[str, str], list[Published]] = {
    ("emodb", "7-class"): [
        Published("WavLM base", 55.32, None, _LANGUAGES, 59.06, 58.96),
        Published("data2vec", 64.81, None, _LANGUAGES, 67.17, 66.52),
        Published("emotion2vec", 84.85, None, _LANGUAGES, 84.34, 84.32),
    ],
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


class PublishedConcordance(NamedTuple):
    """CCC as printed, in the order of `conversation_emotion.concordance.DIMENSIONS`, and mean."""

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
