"""eNTERFACE'05 (Martin et al., 2006): English sentences by people of many nations, six emotions.

Reads the release as distributed, a folder for each subject, emotion and sentence::

    subject 19/anger/sentence 4/s19_an_4.avi
    subject 6/anger/s6_an.avi                    all sentences of subject 6 in one video

also one folder further down. Folders name the subject, the emotion and which of its five
sentences; the names of the files are not to be trusted with any of it: those of subject 11 begin
with s12, some of subject 3 with s_3, two of subject 2 have each other's number, one ends in 3avi.
The six videos of subject 6, one or two minutes long, are not cut into sentences; each is one
utterance here. The sound is that of the video. ``gender`` and ``text`` are not in the release.

A column behind the contract: ``sentence``.
"""

from conversation_emotion.corpora.recordings import Layout
from conversation_emotion.utterances.labels import own_names

EMOTIONS = own_names(("anger", "disgust", "fear", "happiness", "sadness", "surprise"))

CORPUS = Layout(
    corpus="enterface",
    root="the eNTERFACE'05 folder, the one that holds 'subject 1' and so on",
    places=("subject*/**/*.avi", "*/subject*/**/*.avi"),
    name=r"subject (?P<speaker>\d+)/<emotion>/(?:sentence (?P<sentence>\d)/)?[^/]+",
    example="subject 19/anger/sentence 4/s19_an_4",
    language="en",
    emotions=EMOTIONS,
    describe=lambda name, _: {
        "utterance_id": f"s{'_'.join(filter(None, name.groups()))}",
        "speaker": f"s{name['speaker']}",
    },
).source()
