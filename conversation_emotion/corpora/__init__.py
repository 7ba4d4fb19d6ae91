"""Corpora by name: each loader turns a folder as distributed into the utterance table."""

import difflib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from conversation_emotion.corpora.aesdd import load_aesdd
from conversation_emotion.corpora.audformat import load_audformat
from conversation_emotion.corpora.baum_1 import load_baum_1
from conversation_emotion.corpora.cafe import load_cafe
from conversation_emotion.corpora.casia import load_casia
from conversation_emotion.corpora.cmu_mosei import load_cmu_mosei
from conversation_emotion.corpora.cmu_mosi import load_cmu_mosi
from conversation_emotion.corpora.crema_d import load_crema_d
from conversation_emotion.corpora.demo import load_demo
from conversation_emotion.corpora.emodb import load_emodb
from conversation_emotion.corpora.emovo import load_emovo
from conversation_emotion.corpora.enterface import load_enterface
from conversation_emotion.corpora.esd import load_esd
from conversation_emotion.corpora.huggingface import load_huggingface
from conversation_emotion.corpora.iemocap import load_iemocap
from conversation_emotion.corpora.jl_corpus import load_jl_corpus
from conversation_emotion.corpora.m3ed import load_m3ed
from conversation_emotion.corpora.manifest import load_manifest
from conversation_emotion.corpora.mead import load_mead
from conversation_emotion.corpora.meld import load_meld
from conversation_emotion.corpora.msp_improv import load_msp_improv
from conversation_emotion.corpora.msp_podcast import load_msp_podcast
from conversation_emotion.corpora.ravdess import load_ravdess, load_ravdess_song
from conversation_emotion.corpora.resd import load_resd
from conversation_emotion.corpora.savee import load_savee
from conversation_emotion.corpora.shemo import load_shemo
from conversation_emotion.corpora.subesco import load_subesco
from conversation_emotion.corpora.tess import load_tess
from conversation_emotion.corpora.urdu import load_urdu

CORPORA: dict[str, Callable[[Path], pd.DataFrame]] = {
    "iemocap": load_iemocap,
    "meld": load_meld,
    "emodb": load_emodb,
    "ravdess": load_ravdess,
    "ravdess-song": load_ravdess_song,
    "savee": load_savee,
    "crema-d": load_crema_d,
    "tess": load_tess,
    "esd": load_esd,
    "mead": load_mead,
    "msp-podcast": load_msp_podcast,
    "msp-improv": load_msp_improv,
    "cmu-mosi": load_cmu_mosi,
    "cmu-mosei": load_cmu_mosei,
    "m3ed": load_m3ed,
    "subesco": load_subesco,
    "cafe": load_cafe,
    "aesdd": load_aesdd,
    "emovo": load_emovo,
    "shemo": load_shemo,
    "resd": load_resd,
    "urdu": load_urdu,
    "casia": load_casia,
    "enterface": load_enterface,
    "jl-corpus": load_jl_corpus,
    "baum-1": load_baum_1,
    "audformat": load_audformat,
    "huggingface": load_huggingface,
    "manifest": load_manifest,
    "demo": load_demo,
}
"""The loader of each corpus; its argument is the corpus' root."""

_ROOTS = {
    "iemocap": "the IEMOCAP_full_release folder",
    "meld": "the MELD.Raw folder, or one with its three CSV files",
    "emodb": "the EmoDB folder, the one that holds wav",
    "ravdess": "the folder that holds Audio_Speech_Actors_01-24, or Actor_01 and so on",
    "ravdess-song": "the folder that holds Audio_Song_Actors_01-24, or Actor_01 and so on",
    "savee": "the SAVEE folder, the one that holds AudioData, or one of files such as JE_n23.wav",
    "crema-d": "the CREMA-D folder, the one that holds AudioWAV",
    "tess": "the TESS folder, the one that holds OAF_angry and so on, or the recordings",
    "esd": "the ESD folder, the one that holds 0001 to 0020",
    "mead": "the MEAD folder, the one that holds M003 and so on",
    "msp-podcast": "the folder of an MSP-Podcast release, the one that holds Labels",
    "msp-improv": "the MSP-IMPROV folder, the one that holds Evalution.txt",
    "cmu-mosi": "the CMU-MOSI folder, the one that holds Raw and CMU_MOSI_Opinion_Labels.csd",
    "cmu-mosei": "the CMU-MOSEI folder, the one that holds Raw and CMU_MOSEI_Labels.csd",
    "m3ed": "the M3ED folder, the one that holds annotation.json and splitInfo",
    "subesco": "the SUBESCO folder, the one that holds the recordings",
    "cafe": "the CaFE folder, the one that holds CaFE_48k or the folders of the emotions",
    "aesdd": "the AESDD folder, the one that holds anger and so on",
    "emovo": "the EMOVO folder, the one that holds f1 to m3",
    "shemo": "the ShEMO folder, the one that holds male and female",
    "resd": "the RESD folder, the one that holds train.csv and test.csv",
    "urdu": "the URDU folder, the one that holds Angry, Happy, Neutral and Sad",
    "casia": "the CASIA folder, the one that holds a folder for each speaker",
    "enterface": "the eNTERFACE'05 folder, the one that holds 'subject 1' and so on",
    "jl-corpus": "the JL-Corpus folder, the one that holds 'Raw JL corpus (unchecked ...)'",
    "baum-1": "the BAUM-1 folder, the one that holds BAUM1a_MP4_all or 'BAUM1s_MP4 - All'",
    "audformat": "the folder of a database in audformat, the one that holds db.yaml",
    "huggingface": "the folder of a Hugging Face dataset: metadata.csv or .jsonl, or Parquet",
    "manifest": "a .csv, .jsonl or .parquet file, or a folder with one file named manifest",
    "demo": "the folder of a demo corpus, or nothing for the one that comes with the package",
}


def load_corpus(name: str, root: str | Path | None = None) -> pd.DataFrame:
    """Loads a corpus into the utterance table.

    Args:
        name: A key of `CORPORA`.
        root: Folder or file that holds the corpus; ``~`` is the home folder. Only the demo corpus
            comes with the package and needs none.

    Raises:
        FileNotFoundError: ``root`` does not exist, or is not what this corpus looks like.
        ValueError: No corpus has this name, it needs a root, or its files break their format.
    """
    if name not in CORPORA:
        close = difflib.get_close_matches(name, CORPORA, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown corpus {name!r}, known are {', '.join(CORPORA)}{hint}")
    if root is None:
        if name == "demo":
            return load_demo()
        raise ValueError(f"{name}: pass {_ROOTS[name]} with --root")
    path = Path(root).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"{name}: {path} does not exist; --root is {_ROOTS[name]}")
    return CORPORA[name](path)
