"""Clusters: dialogues where people talk to each other, speakers where they do not."""

import pandas as pd

from conversation_emotion.utterances.clusters import find_clusters


def tabulate(corpus: str, dialogues: str, speakers: str) -> pd.DataFrame:
    columns = {"dialogue_id": list(dialogues), "speaker": list(speakers)}
    return pd.DataFrame({"corpus": corpus, **columns})


def test_people_who_talk_are_clusters_by_dialogue_and_single_recordings_by_speaker():
    talk = tabulate("talk", "aabb", "xyxx")
    single = tabulate("single", "cdef", "vvww")
    pooled = pd.concat([talk, single], ignore_index=True)
    expected = [*["dialogue a"] * 2, *["dialogue b"] * 2, *["speaker v"] * 2, *["speaker w"] * 2]
    assert find_clusters(pooled).tolist() == expected


def test_monologues_are_clusters_by_speaker_unless_there_is_only_one():
    assert find_clusters(tabulate("m", "aab", "xxx")).tolist() == [
        *["dialogue a"] * 2,
        "dialogue b",
    ]
    assert find_clusters(tabulate("m", "aabc", "xxxy")).tolist() == [
        *["speaker x"] * 3,
        "speaker y",
    ]
