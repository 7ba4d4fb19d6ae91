"""Explores a corpus or a manifest: what is in it, on one page, before anything is trained.

    python -m experiments.explore
    python -m experiments.explore --corpus emodb --root EmoDB
    python -m experiments.explore --corpus meld --root MELD --target sentiment
    python -m experiments.explore --corpus manifest --root my.csv --raters ann bob

The page has the classes by speaker, gender, part, session and dialogue; lengths, levels, silence,
words and ratings by class; how emotions follow each other, of oneself and of the other; how far
raters agree; which of eGeMAPS' 88 functionals part the classes, over utterances, within and over
speakers; planes of encoders, and what neighbours share in their spaces; utterances with the very
same recording; and odd clips, which play: too short, long, soft, loud, silent, clipped, or with a
label that their neighbours contradict. It is one file that needs no network, and the same lies next
to it as JSON. Whoever has the page has voices and words of the corpus.

All recordings are read once, and encoders see a sample of --sample utterances; what was read and
encoded is kept. eGeMAPS needs openSMILE (extra egemaps), words their encoder (extra offline).
"""

from functools import partial
from pathlib import Path

from conversation_emotion.settings.exploration import ExploreSettings
from experiments.framework.commandline import command_of, launch


def run(settings: ExploreSettings) -> None:
    """Explores the corpus, writes the page and its data, and prints a summary."""
    from conversation_emotion.datasets.dataset import load_utterances
    from conversation_emotion.exploration.explore import explore, to_json
    from conversation_emotion.exploration.page import render_exploration
    from conversation_emotion.figures.documents import write_page
    from conversation_emotion.settings.cache import writable_cache

    utterances = load_utterances(settings.data)
    page = settings.output or Path("mlruns") / "explore" / f"{settings.data.corpus}.html"
    with writable_cache():
        found = explore(utterances, settings)
    written = render_exploration(
        found,
        utterances,
        command=command_of("explore", settings),
        clips=settings.clips,
        limit_bytes=int(settings.audio_mib * 2**20),
    )
    write_page(page, written)
    write_page(page.with_suffix(".json"), to_json(found, settings.clips))
    print("\n".join(found.describe()))
    print(f"page: {page} ({len(written.encode()) / 2**20:.1f} MiB), {page.with_suffix('.json')}")


main = partial(launch, run, ExploreSettings, "explore")

if __name__ == "__main__":
    main()
