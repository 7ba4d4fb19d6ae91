"""What explanations are made of: utterances frame by frame, and as the model reads them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.features.clips import Advance
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.extract import Features, pool_frames
from conversation_emotion.features.sources import Source, encode_source, list_sources
from conversation_emotion.inference.certainty import Sums, arrange
from conversation_emotion.inference.explanation.pieces import find_words, leave_out_word
from conversation_emotion.inference.saved_model import SavedModel
from conversation_emotion.utterances.table import has_text


class Shortened(NamedTuple):
    """Texts that lack a word, as the model reads them; the row of each, by text and voice."""

    arrays: ModalityArrays
    rows: dict[tuple[str, str], int]

    def read(self, text: str, voice: str) -> Tensor | None:
        """Returns the states of a text of a voice, (L, T, D); None of one without words."""
        row = self.rows.get((text, voice))
        if row is None:
            return None
        states, frames = self.arrays.gather(torch.tensor([row]))
        return states[0, :, : int(frames.sum())]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Utterances of whole dialogues.

    Attributes:
        utterances: The utterance table.
        framed: Hidden states of the sources that can be pointed at, with all frames or tokens.
        features: Of all sources, as the model reads them.
        sums: What they are standardised by.
        arrays: The same, laid out.
        shortened: Texts that lack a word, of sources without tokens.
    """

    utterances: pd.DataFrame
    framed: dict[str, Features]
    features: dict[str, Features]
    sums: Sums
    arrays: dict[str, ModalityArrays]
    shortened: dict[str, Shortened]


def encode_material(
    utterances: pd.DataFrame,
    saved: SavedModel,
    encoders: Mapping[str, Encoder],
    sums: Sums,
    *,
    framed: Collection[str],
    shortened: Collection[str],
    cache: Path,
    passing: Path,
    advance: Advance,
) -> Material:
    """Encodes utterances for explanations.

    Args:
        utterances: The utterance table, with ``seconds``.
        saved: The model.
        encoders: The encoder of each source.
        sums: What features are standardised by, as of `add_up`.
        framed: Sources whose frames or tokens are wanted.
        shortened: Sources whose texts are wanted without each word in turn.
        cache: Keeps what predictions need as well.
        passing: Keeps the rest, which is large.
        advance: Takes the seconds of audio that are done.
    """
    sources = list_sources(saved.card.features)
    found: dict[str, Features] = {}
    features: dict[str, Features] = {}
    for name, source in sources.items():
        wanted = source
        if name in framed and source.pooling != "frames":
            wanted = source._replace(pooling="frames", half_precision=False)
        place = cache if wanted == source else passing
        one = encode_source(utterances, wanted, encoders[name], place, advance=advance)
        features[name] = one if wanted == source else _pool(one, source)
        if name in framed:
            found[name] = one
    return Material(
        utterances=utterances,
        framed=found,
        features=features,
        sums=sums,
        arrays=arrange(saved, features, utterances, sums),
        shortened={
            name: _shorten(utterances, saved, name, encoders[name], sums, passing)
            for name in shortened
        },
    )


def _pool(framed: Features, source: Source) -> Features:
    """Pools frames as the model has them."""
    kind = torch.float16 if source.half_precision else torch.float32
    states = []
    for one in framed.states:
        if one is None:
            states.append(None)
            continue
        given = torch.from_numpy(one.copy())[None], torch.tensor([one.shape[1]])
        states.append(pool_frames(*given, source.pooling)[0].to(kind).numpy())
    return framed._replace(states=states)


def _shorten(
    utterances: pd.DataFrame,
    saved: SavedModel,
    name: str,
    encoder: Encoder,
    sums: Sums,
    passing: Path,
) -> Shortened:
    """Encodes every text without each of its words in turn."""
    whose = utterances.loc[has_text(utterances), ["text"]].assign(voice="")
    if "voice" in utterances:
        whose["voice"] = utterances["voice"].fillna("")
    wanted = dict.fromkeys(
        (leave_out_word(text, number), voice)
        for text, voice in whose.drop_duplicates().to_numpy().tolist()
        for number in range(len(find_words(text)))
    )
    table = pd.DataFrame([*wanted], columns=["text", "voice"])
    table = table[table["text"] != ""].reset_index(drop=True)
    table["utterance_id"] = table.index.astype(str)
    found = encode_source(table, list_sources(saved.card.features)[name], encoder, passing)
    (arrays,) = arrange(saved, {name: found}, table, sums).values()
    pairs = zip(table["text"], table["voice"], strict=True)
    return Shortened(arrays, {pair: row for row, pair in enumerate(pairs)})
