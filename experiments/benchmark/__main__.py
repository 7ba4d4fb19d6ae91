r"""The board: how do encoders of speech and text compare, over all tasks and corpora at hand?

    python -m experiments.benchmark
    python -m experiments.benchmark --roots demo emodb=EmoDB ravdess=RAVDESS meld=MELD.Raw \
        --speech-encoder fbank emotion2vec-mini whisper-base-lower openai/whisper-base
    python -m experiments.benchmark --also RESULTS_OF_OTHERS

Emotion of single utterances per corpus and across corpora, of the turn that just ended and of the
one to come, sentiment, and ratings (--tasks dimensions): every encoder frozen, the same settings,
no speaker in train and test, unless a corpus' own split, as MELD's, has some. The tasks whose names
begin with shuffled share speakers, as other boards do, and tell how much that gains. Each score is
a file below --output with its command; what is there is not measured again, so that a board that
was interrupted goes on, and files of others join it. Prints the boards, writes board.html and
board.csv, and mlruns/. Each score takes a minute or more on two cores; --tasks chooses.
"""

from functools import partial

from conversation_emotion.settings.benchmark import BenchmarkSettings
from experiments.framework.commandline import launch


def run(settings: BenchmarkSettings) -> None:
    """Measures what is missing, and shows the boards."""
    for folder in settings.also:
        if not folder.is_dir():
            raise FileNotFoundError(f"--also {folder}: no such folder")
    from conversation_emotion.evaluation.board import (
        make_boards,
        read_costs,
        read_results,
        tabulate,
    )
    from conversation_emotion.evaluation.results import screen_width
    from conversation_emotion.figures.board_page import render_boards, write_boards
    from conversation_emotion.figures.documents import write_page
    from experiments.benchmark.measure import measure_all

    failed = measure_all(settings)
    folders = [settings.output, *settings.also]
    results = read_results(folders)
    if not results:
        raise ValueError(f"{settings.output} has no result: {'; '.join(failed) or 'no task fits'}")
    boards = list(make_boards(results))
    print(write_boards(boards, screen_width()))
    write_page(settings.output / "board.html", render_boards(boards, read_costs(folders), failed))
    tabulate(boards).to_csv(settings.output / "board.csv", index=False)
    for line in failed:
        print(f"not measured: {line}")
    print(f"written: {settings.output / 'board.html'}, {settings.output / 'board.csv'}")


main = partial(launch, run, BenchmarkSettings, "benchmark")

if __name__ == "__main__":
    main()
