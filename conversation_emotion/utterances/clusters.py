"""Clusters: the utterances of a corpus that depend on each other, over which intervals are."""

from typing import TYPE_CHECKING

from conversation_emotion.utterances.table import Utterances

if TYPE_CHECKING:
    import pandas as pd


def find_clusters(utterances: Utterances) -> "pd.Series":
    """Names the cluster of each utterance, such as ``dialogue dev_dia7`` or ``speaker 03``.

    Where people talk to each other, that is the dialogue. Where every dialogue of a corpus has one
    speaker, as single recordings do, it is the speaker, unless there is only one.
    """
    clusters = "dialogue " + utterances["dialogue_id"].astype(str)
    for _, corpus in utterances.groupby("corpus", sort=False):
        alone = corpus.groupby("dialogue_id")["speaker"].nunique().max() == 1
        if alone and corpus["speaker"].nunique() > 1:
            clusters[corpus.index] = "speaker " + corpus["speaker"].astype(str)
    return clusters
