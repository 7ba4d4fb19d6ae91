"""Does a prediction fall faster when what its explanation names first is deleted first?

    python -m benchmarks.deletion --roots emodb=EMODB meld=MELD

Of each corpus, targets of held-out speakers or dialogues are drawn, explained, and
robbed of their pieces, tenth by tenth: those first that add most, those first that add least, and
in random order, the mean of several draws. Measured is the mean probability of the class that was
predicted of the whole, over the share that is deleted: the area under the curve (Petsiuk et al.,
2018). That of pieces put back in is one of these in reverse. Where nothing is left to predict from,
the probability is one over the classes, in all orders alike. Next to the area is the difference to
random order, paired, with its 95 % interval and p of a t test over clusters, corrected for all
differences of the table (Holm, 1979).

    emodb   moments of clips; logistic regression on whisper-base-lower, leave one speaker out;
            frames become the mean of train, or the sound of the moment is silenced and encoded anew
    meld    words of texts of the test part; logistic regression on MiniLM, whose token states are
            explained by integrated gradients, or whose sentences without each word; tokens become
            the mean of train, or words are taken out and the rest is encoded anew
    demo    utterances of the context; prediction of the next turn, leave one session out; their
            sound and words are taken out
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import tyro
from numpy.typing import NDArray

from conversation_emotion.evaluation.jackknife import (
    Jackknife,
    interval_bounds,
    jackknife,
    p_values,
)
from conversation_emotion.evaluation.significance import correct_by_holm
from conversation_emotion.features.extract import Features, pool_frames
from conversation_emotion.features.sources import encode_source, encode_waveforms, list_sources
from conversation_emotion.inference.best_model import FOLDER, KeepBest
from conversation_emotion.inference.explanation.gradients import find_baselines
from conversation_emotion.inference.explanation.pieces import (
    OTHER_TOKENS,
    find_words,
    number_moments,
)
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.cache import passing_cache
from conversation_emotion.settings.corpus import CorpusSettings, parse_places
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.emotion import TurnEmotion, UtteranceEmotion
from conversation_emotion.tasks.prepare import prepare_prediction, prepare_recognition
from conversation_emotion.tracker import Memory, MemoryTracker
from conversation_emotion.training.cross_validation import train_fold
from conversation_emotion.utterances.audio import SAMPLE_RATE, read_audio

SHARES = np.linspace(0, 1, 11)
"""Of the pieces that are deleted."""

Masks = NDArray[np.bool_]
"""Pieces that are deleted, in K ways: (K, P)."""

Evaluate = Callable[[Masks], NDArray[np.floating]]
"""From masks to the probability of the class: (K,)."""


@dataclass(frozen=True, kw_only=True)
class DeletionSettings:
    """Which corpora, and how many targets."""

    roots: tuple[str, ...] = ()
    """Corpora to measure, such as emodb=EmoDB meld=MELD."""

    demo: bool = True
    """Whether the demo corpus is measured as well."""

    targets: int = 200
    """Targets of each corpus at most, as many of each speaker or session as of the others."""

    draws: int = 5
    """Random orders of each target."""

    output: Path | None = None
    """CSV of the areas and curves of every target."""


class Deleted(NamedTuple):
    """The curves of one target.

    Attributes:
        way: How its pieces were deleted.
        method: How they were explained.
        cluster: Speaker or dialogue.
        target: Its id.
        curves: Over `SHARES`, by order: (11,) each.
    """

    way: str
    method: str
    cluster: str
    target: str
    curves: dict[str, NDArray[np.floating]]


class Held(NamedTuple):
    """A model, and the utterance table of what was held out from it."""

    predictor: Predictor
    table: pd.DataFrame


def train_models(task: UtteranceEmotion | TurnEmotion) -> Iterator[Held]:
    """Trains the model of each fold, with what it has not seen."""
    keep = KeepBest(task)
    for fold, seed in task.trainings():
        trained, run = train_fold(task, fold, seed), MemoryTracker()
        predictions = trained.predictions
        keep.keep(trained, run, keep.describe(predictions), predictions)
        with tempfile.TemporaryDirectory() as folder:
            for name, written in run.artifacts.items():
                if name.startswith(FOLDER) and isinstance(written, bytes):
                    (Path(folder) / Path(name).name).write_bytes(written)
            predictor = Predictor.load(folder, sentiment=None, text_model=None)
        yield Held(predictor, task.dataset.utterances.iloc[np.sort(fold.test)])


def draw(rows: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Draws rows at random, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def delete(
    attributions: NDArray[np.floating], evaluate: Evaluate, draws: int, seed: int
) -> dict[str, NDArray[np.floating]]:
    """Returns the curve of each order, over `SHARES`: (11,)."""
    generator, count = np.random.default_rng(seed), len(attributions)
    orders = [np.argsort(-attributions, kind="stable"), np.argsort(attributions, kind="stable")]
    orders += [generator.permutation(count) for _ in range(draws)]
    masks = np.zeros((len(orders), len(SHARES), count), dtype=bool)
    for number, order in enumerate(orders):
        for place, share in enumerate(SHARES):
            masks[number, place, order[: round(share * count)]] = True
    distinct, places = np.unique(masks.reshape(-1, count), axis=0, return_inverse=True)
    curves = evaluate(distinct)[places].reshape(masks.shape[:2])
    return {"most first": curves[0], "least first": curves[1], "random": curves[2:].mean(axis=0)}


def delete_moments(held: Held, count: int, draws: int) -> Iterator[Deleted]:
    """Deletes moments of clips: see `Deleted`."""
    predictor, rows = held.predictor, draw(held.table, count)
    features = predictor.saved.card.features
    framed = replace(features, speech_pooling="frames")
    rate = predictor.encoders["speech"].frame_rate  # pyright: ignore[reportAttributeAccessIssue]
    baseline = find_baselines(predictor.saved.model, ["speech"])["speech"].numpy()
    explained = predictor.explain(rows[["audio"]], kinds=["time"])
    for number, pieces in explained.groupby("row"):
        row = int(str(number))
        waveform = read_audio(rows["audio"].iloc[row])
        (states,) = encode_waveforms([waveform], framed, predictor.encoders)["speech"].states
        assert states is not None
        moments = np.unique(number_moments(states.shape[1], rate), return_inverse=True)[1]
        column = f"p_{pieces['target'].iloc[0]}"

        def replace_frames(masks: Masks, states=states, moments=moments, column=column):
            kept = [np.where(one[moments][:, None], baseline[:, None], states) for one in masks]
            pooled = [_pool(one, features.speech_pooling) for one in kept]
            return _predict(predictor, Features(pooled, {}), column)

        def silence(masks: Masks, pieces=pieces, waveform=waveform, column=column):
            edges = pieces[["start", "end"]].to_numpy() * SAMPLE_RATE
            sounds = []
            for mask in masks:
                sounds.append(waveform.copy())
                for start, end in edges[mask].round().astype(int):
                    sounds[-1][start:end] = 0.0
            return _predict(predictor, predictor.encode_waveforms(sounds)["speech"], column)

        values, method = pieces["attribution"].to_numpy(), str(pieces["method"].iloc[0])
        cluster, target = rows[["speaker", "utterance_id"]].iloc[row]
        for way, evaluate in (("frames", replace_frames), ("silenced", silence)):
            curves = delete(values, evaluate, draws, row)
            yield Deleted(way, method, cluster, target, curves)


def delete_words(held: Held, count: int, draws: int) -> Iterator[Deleted]:
    """Deletes words of texts of four words or more: see `Deleted`."""
    predictor = held.predictor
    num_words = held.table["text"].map(lambda text: len(find_words(str(text))))
    rows = draw(held.table[num_words >= 4], count)
    explained = predictor.explain(rows[["text"]], kinds=["word"])
    framed = _encode_tokens(predictor, rows)
    baseline = find_baselines(predictor.saved.model, ["text"])["text"].numpy()
    for number, pieces in explained.groupby("row"):
        row = int(str(number))
        text, column = rows["text"].iloc[row], f"p_{pieces['target'].iloc[0]}"
        words, pieces = find_words(text), pieces[pieces["text"] != OTHER_TOKENS]

        def take_out(masks: Masks, text=text, words=words, column=column):
            texts = [
                " ".join(text[a:b] for (a, b), out in zip(words, mask, strict=True) if not out)
                for mask in masks
            ]
            with passing_cache():  # no other run wants these texts
                found = predictor.predict(pd.DataFrame({"text": texts}))
            return _read(predictor, found, column)

        ways: dict[str, Evaluate] = {"taken out": take_out}
        if (states := framed[row]) is not None:
            spans = predictor.encoders["text"].find_spans(text)  # pyright: ignore

            def replace_tokens(masks: Masks, s=states, spans=spans, words=words, column=column):
                inside = [[a < q and p < b for p, q in words] for a, b in spans]
                hit = masks.astype(int) @ np.array(inside, dtype=int).T > 0
                kept = [np.where(one[:, None], baseline[:, None], s) for one in hit]
                return _predict(predictor, Features([_pool(x, "mean") for x in kept], {}), column)

            ways["tokens"] = replace_tokens
        values, method = pieces["attribution"].to_numpy(), str(pieces["method"].iloc[0])
        cluster, target = rows[["dialogue_id", "utterance_id"]].iloc[row]
        for way, evaluate in ways.items():
            curves = delete(values, evaluate, draws, row)
            yield Deleted(way, method, cluster, target, curves)


def delete_turns(held: Held, count: int, draws: int) -> Iterator[Deleted]:
    """Deletes utterances of contexts: see `Deleted`."""
    predictor, rows = held.predictor, held.table.reset_index(drop=True)
    explained = predictor.explain(rows, kinds=["turn"])
    explained = explained[explained["attribution"].notna()]
    sizes = explained.groupby("row")["turn"].transform("size")
    numbers = pd.DataFrame({"row": explained.loc[sizes >= 3, "row"].unique()})
    for number in draw(numbers, count)["row"].astype(int):
        pieces = explained[explained["row"] == number]
        context = pieces["turn"].to_numpy(int)
        column = f"p_{pieces['target'].iloc[0]}"
        # A turn that is not finished stays as it is, and the model does not read it.
        window = rows.iloc[int(context.min()) : number + 1]

        def take_out(masks: Masks, window=window, context=context, column=column):
            copies = []
            for place, mask in enumerate(masks):
                copy = window.assign(dialogue_id=f"{place:04}")
                copy.loc[context[mask], ["audio", "text"]] = None
                copies.append(copy)
            found = predictor.predict(pd.concat(copies, ignore_index=True))
            return _read(predictor, found[len(window) - 1 :: len(window)], column)

        values, method = pieces["attribution"].to_numpy(), str(pieces["method"].iloc[0])
        cluster, target = rows[["dialogue_id", "utterance_id"]].iloc[number]
        yield Deleted("taken out", method, cluster, target, delete(values, take_out, draws, number))


def _pool(states: NDArray[np.floating], pooling) -> NDArray[np.floating]:
    given = torch.from_numpy(states.astype(np.float32))[None], torch.tensor([states.shape[1]])
    return pool_frames(*given, pooling)[0].numpy()


def _predict(predictor: Predictor, features: Features, column: str) -> NDArray[np.floating]:
    """Returns the probabilities of a class of clips or texts whose features are at hand."""
    (name,) = list_sources(predictor.saved.card.features)
    rows = pd.DataFrame({"audio": [None] * len(features.states)})
    return _read(predictor, predictor.predict_encoded(rows, {name: features}), column)


def _read(predictor: Predictor, found: pd.DataFrame, column: str) -> NDArray[np.floating]:
    """Returns the probabilities of a class, and one over the classes where there are none."""
    return found[column].fillna(1 / len(predictor.saved.card.labels)).to_numpy()


def _encode_tokens(predictor: Predictor, rows: pd.DataFrame) -> Sequence:
    """Returns the token states of each text, none of an encoder without tokens."""
    (source,) = list_sources(predictor.saved.card.features).values()
    if not hasattr(predictor.encoders["text"], "find_spans"):
        return [None] * len(rows)
    with passing_cache() as cache:
        whole = source._replace(pooling="frames")
        return [*encode_source(rows, whole, predictor.encoders["text"], cache).states]


def make_tasks(corpus: str, root: Path) -> Iterator[tuple[str, UtteranceEmotion | TurnEmotion]]:
    """Yields what is measured of a corpus, with its name."""
    data = CorpusSettings(corpus=corpus, root=root)  # pyright: ignore[reportArgumentType]
    if corpus == "demo":
        training = TrainingSettings(learning_rate=5e-4)
        given = FeatureSettings(), ConversationModelSettings(), training, Memory()
        yield "turns, demo", prepare_prediction(CorpusSettings(), *given)
    elif corpus == "emodb":
        yield "moments, EmoDB", prepare_recognition(SERSettings(data=data), Memory())
    else:
        for name in ("tokens:all-MiniLM-L6-v2", "all-MiniLM-L6-v2"):
            features = EncoderSettings(modality="text", text_encoder=name)
            settings = SERSettings(data=data, features=features)
            yield f"words, MELD, {name}", prepare_recognition(settings, Memory())


def measure(settings: DeletionSettings) -> pd.DataFrame:
    """Returns a row for each target, way and order, with its area and curve."""
    kinds = {"moments": delete_moments, "words": delete_words, "turns": delete_turns}
    found = []
    places = parse_places("--roots", settings.roots, ("emodb", "meld"))
    for corpus, root in (places | ({"demo": Path()} if settings.demo else {})).items():
        for name, task in make_tasks(corpus, root):
            count = -(-settings.targets // len(task.dataset.split.folds))
            for held in train_models(task):
                curves = kinds[name.partition(",")[0]](held, count, settings.draws)
                for way, method, cluster, target, orders in curves:
                    for order, curve in orders.items():
                        shown = {
                            f"{share:.0%}": one for share, one in zip(SHARES, curve, strict=True)
                        }
                        area = float(np.trapezoid(curve, SHARES))
                        found.append([name, method, way, cluster, target, order, area, shown])
    head = ["what", "method", "way", "cluster", "target", "order", "area", "curve"]
    table = pd.DataFrame(found, columns=head)
    return pd.concat([table.drop(columns="curve"), pd.DataFrame(table["curve"].tolist())], axis=1)


def compare(areas: pd.DataFrame, other: str) -> Jackknife:
    """Jackknifes the mean difference of the areas of an order and of another over clusters.

    Args:
        areas: A row for each target, a column for each order, and ``cluster``.
        other: One of the orders, which random order is taken from.
    """
    given = areas.assign(fold="all", seed=0, difference=areas[other] - areas["random"])

    def terms(part: pd.DataFrame) -> NDArray[np.floating]:
        return np.stack([part["difference"].to_numpy(), np.ones(len(part))], axis=-1)

    return jackknife(given, terms, lambda sums: (sums[..., 0] / sums[..., 1])[np.newaxis])


def tabulate(table: pd.DataFrame) -> Iterator[str]:
    """Yields the lines of two tables in Markdown: areas with differences, and mean curves."""
    rows = []
    for names, some in table.groupby(["what", "method", "way"], sort=False):
        areas = some.pivot(index=["target", "cluster"], columns="order", values="area")
        areas = areas.reset_index()
        for order in ("most first", "least first"):
            found = compare(areas, order)
            (low, high), p = interval_bounds(found, "difference")[:, 0], p_values(found)[0]
            shown = f"{100 * found.score[0]:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            rows.append((names, order, areas, shown, float(p)))
    heads = ("n", "clusters", "random", "first", "area", "difference", "p, Holm")
    yield f"| what, explained by, deleted as | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}"
    corrected = [_write_p(p) for p in correct_by_holm([row[-1] for row in rows])]
    for ((what, method, way), order, areas, shown, _), p in zip(rows, corrected, strict=True):
        counts = f"{len(areas)} | {areas['cluster'].nunique()} | {100 * areas['random'].mean():.1f}"
        area = f"{order} | {100 * areas[order].mean():.1f}"
        yield f"| {what}, {method}, {way} | {counts} | {area} | {shown} | {p} |"
    shares = [f"{share:.0%}" for share in SHARES[::2]]
    yield f"\n| what, way, order | {' | '.join(shares)} |\n|---|{'---|' * len(shares)}"
    for (what, _, way, order), some in table.groupby(
        ["what", "method", "way", "order"], sort=False
    ):
        means = [f"{100 * some[share].mean():.1f}" for share in shares]
        yield f"| {what}, {way}, {order} | {' | '.join(means)} |"


def _write_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def main(settings: DeletionSettings) -> None:
    """Prints the tables, and writes what they are made of."""
    table = measure(settings)
    if settings.output is not None:
        table.to_csv(settings.output, index=False)
    print(*tabulate(table), sep="\n")


if __name__ == "__main__":
    main(tyro.cli(DeletionSettings, description=__doc__))
