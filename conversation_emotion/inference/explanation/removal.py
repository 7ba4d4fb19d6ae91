"""What a prediction loses without an utterance of its context, a word, or a source."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import combinations
from math import comb

from conversation_emotion.inference.explanation.scoring import WindowCase

Worth = Callable[[Collection[str]], float]
"""What a set of sources is worth together."""


def lose_utterances(case: WindowCase, places: Sequence[int]) -> Iterator[float]:
    """Yields by how much the log-probability falls when each utterance is left out alone."""
    whole = case.score()
    for place in places:
        yield whole - case.without_utterance(place).score()


def share_sources(case: WindowCase) -> dict[str, float]:
    """Returns the Shapley value of each source, from all 2^M sets of them.

    They add up to the log-probability with all sources, less that with none.
    """
    names = tuple(case.batch.states)

    def value(kept: Collection[str]) -> float:
        return case.without_sources([name for name in names if name not in kept]).score()

    return find_shapley_values(names, value)


def find_shapley_values(names: Sequence[str], value: Worth) -> dict[str, float]:
    """Returns the mean, over all orders of joining, of what each adds (Shapley, 1953)."""
    count = len(names)
    sets = [frozenset(one) for size in range(count + 1) for one in combinations(names, size)]
    worth = {one: value(one) for one in sets}
    return {
        name: sum(
            (worth[one | {name}] - worth[one]) / (count * comb(count - 1, len(one)))
            for one in sets
            if name not in one
        )
        for name in names
    }
