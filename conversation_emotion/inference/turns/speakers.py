"""Tells the speakers of turns apart by their voices."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.corpora.annotations import report
from conversation_emotion.features.encoders import Encoder, load_encoder
from conversation_emotion.features.sources import Source, encode_source
from conversation_emotion.inference.turns.turn import Turn, tabulate_turns
from conversation_emotion.settings.cache import writable_cache
from conversation_emotion.settings.turns import TurnSettings

VOICE_ENCODERS = ("speechbrain/spkrec-ecapa-voxceleb", "resemblyzer")
"""Encoders that were trained to tell speakers apart, the better one first."""

FALLBACK = "emotion2vec-mini"
"""Encoder where neither can be had; it has to be told how many speak."""

_DISTANCES = {"ecapa": 0.7, "resemblyzer": 0.25}
"""Mean cosine distance between turns from which on two clusters are two speakers, by the first word
of the identity. That of Resemblyzer was chosen on 18 dialogues (``benchmarks/README.md``);
that of ECAPA is near the one of pyannote.audio 2.1, as remembered, and was not measured here."""

_MOST = 4_000  # turns that are clustered, for the memory of distances; others join the nearest


def name_speakers(
    turns: Sequence[Turn], settings: TurnSettings | None = None, device: str | None = None
) -> list[Turn]:
    """Returns the turns with a speaker where voices tell, recording by recording.

    Turns that have a speaker keep it, and so do all if speakers are channels or to stay unknown.
    Speakers are ``speaker_1`` and on, in the order in which they first speak. Turns that are too
    short to encode, or have a problem, have none.

    Args:
        turns: Turns of one recording or more.
        settings: How many speak, or how far apart they are, by which encoder.
        device: Where the encoder computes; None takes a GPU if there is one.

    Raises:
        FileNotFoundError: ``--speaker-encoder`` is none that can be had.
        ValueError: It was not trained to tell voices apart, and neither the number of speakers nor
            their distance is given.
    """
    settings = settings or TurnSettings()
    turns = list(turns)
    unknown = [
        number
        for number, turn in enumerate(turns)
        if turn.speaker is None and turn.recording is not None and not turn.problem
    ]
    if settings.speakers in ("channels", "unknown") or not unknown:
        return turns
    found = choose_encoder(settings, device)
    if found is None:
        return turns
    vectors = embed_turns([turns[number] for number in unknown], *found)
    kind = found[1].identity.split()[0]
    recordings = np.array([turns[number].recording for number in unknown])
    for recording in dict.fromkeys(recordings.tolist()):
        places = np.flatnonzero(recordings == recording)
        labels = cluster_speakers(
            vectors[places],
            num_speakers=settings.num_speakers,
            distance=settings.speaker_distance or _DISTANCES.get(kind, 1.0),
            standardise=kind not in _DISTANCES,
        )
        for place, label in zip(places.tolist(), labels.tolist(), strict=True):
            if label >= 0:
                number = unknown[place]
                turns[number] = replace(turns[number], speaker=f"speaker_{label + 1}")
    return turns


def choose_encoder(settings: TurnSettings, device: str | None = None) -> tuple[str, Encoder] | None:
    """Returns the encoder of voices with its name; None where speakers stay unknown.

    Raises:
        FileNotFoundError: ``--speaker-encoder`` cannot be had.
        ValueError: The encoder has to be told how many speakers there are, and is not.
    """
    is_told = settings.num_speakers is not None or settings.speaker_distance is not None
    if settings.speaker_encoder is not None:
        encoder = load_encoder("speech", settings.speaker_encoder, device)
        if encoder.identity.split()[0] not in _DISTANCES and not is_told:
            raise ValueError(
                f"--speaker-encoder {settings.speaker_encoder} was not trained to tell voices "
                "apart, and cannot find how many there are: give --num-speakers"
            )
        return settings.speaker_encoder, encoder
    for name in VOICE_ENCODERS:
        with suppress(FileNotFoundError, ModuleNotFoundError):
            return name, load_encoder("speech", name, device)
    remedy = (
        "give --num-speakers, or the folder of speechbrain/spkrec-ecapa-voxceleb as "
        "--speaker-encoder, or run pip install --no-deps resemblyzer"
    )
    if is_told:
        print(f"note: no encoder of voices can be had, speakers are told apart by {FALLBACK}")
        return FALLBACK, load_encoder("speech", FALLBACK, device)
    if settings.speakers == "clusters":
        raise ValueError(f"--speakers clusters: no encoder of voices can be had; {remedy}")
    print(f"note: speakers are unknown; {remedy}")
    return None


def embed_turns(turns: Sequence[Turn], name: str, encoder: Encoder) -> NDArray[np.float32]:
    """Returns a vector for each turn, kept in the cache of features: (N,) -> (N, D).

    It is the encoder's own of a clip, or mean and deviation over time of a low layer, which keeps
    the voice. The vector of a turn that cannot be encoded, which is reported, is not a number.
    """
    table = tabulate_turns(turns).assign(utterance_id=[str(number) for number in range(len(turns))])
    has_one_frame = encoder.identity.split()[0] in _DISTANCES
    pooling = "mean" if has_one_frame else "statistics"
    layers = 1 if encoder.num_layers > 1 else "last"
    source = Source("speech", name, layers, pooling, half_precision=False)
    with writable_cache() as cache:
        found = encode_source(table, source, encoder, cache)
    size = encoder.hidden_size * (1 if has_one_frame else 2)
    vectors = np.full((len(turns), size), np.nan, dtype=np.float32)
    for number, states in enumerate(found.states):
        if states is not None:
            vectors[number] = states[0, 0]
    why = list(found.failures.values())
    report("speakers", "turns are too short to know the speaker by, or cannot be read", why)
    return vectors


def cluster_speakers(
    embeddings: NDArray[np.floating],
    *,
    num_speakers: int | None = None,
    distance: float = 0.7,
    standardise: bool = False,
) -> NDArray[np.int64]:
    """Clusters the turns of one recording by voice: (N, D) -> (N,) labels from 0 on.

    Agglomerative, by the mean cosine distance between clusters; standardised features are of unit
    length and merged by Ward's criterion. The turn that comes first has label 0, the first of
    another speaker 1, and so on. A turn whose embedding is not finite, or zero, has label -1.

    Args:
        embeddings: A vector for each turn, in the order of time.
        num_speakers: How many clusters there are; with fewer turns, each is one.
        distance: Where the number is not given, from which distance on clusters stay apart.
        standardise: Whether to centre and scale each feature over the turns, which takes away what
            all of them share; for encoders that were not trained to tell voices apart.
    """
    from sklearn.cluster import AgglomerativeClustering  # here, for its import takes a second

    labels = np.full(len(embeddings), -1, dtype=np.int64)
    usable = np.flatnonzero(np.isfinite(embeddings).all(axis=1) & embeddings.any(axis=1))
    vectors = embeddings[usable].astype(np.float64)
    if standardise and len(vectors):
        vectors = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    known = vectors[:: -(-len(vectors) // _MOST)] if len(vectors) else vectors
    if len(known) < 2 or len(known) <= (num_speakers or 1):
        found = np.arange(len(known)) if num_speakers != 1 else np.zeros(len(known), dtype=int)
    else:
        is_ward = standardise and num_speakers is not None
        found = AgglomerativeClustering(
            n_clusters=num_speakers,  # type: ignore[arg-type]  # None asks for the distance
            metric="euclidean" if is_ward else "cosine",
            linkage="ward" if is_ward else "average",
            distance_threshold=distance if num_speakers is None else None,
        ).fit_predict(known)
    if len(known) < len(vectors):
        centres = np.stack([known[found == n].mean(axis=0) for n in range(found.max() + 1)])
        found = (vectors @ centres.T).argmax(axis=1)
    labels[usable] = _rank_by_first(found)
    return labels


def _rank_by_first(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Renumbers labels in the order of their first appearance: (N,) -> (N,)."""
    ranks = {label: rank for rank, label in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([ranks[label] for label in labels.tolist()], dtype=np.int64)
