"""The process that decides every turn's emotion: a speaker's inertia, contagion by the partner.

The emotion of turn ``t`` follows, with the speaker's own last turn ``t - 2`` and the partner's
``t - 1``,

    P(e | own, partner) = inertia [e = own] + contagion response(e | partner) + rest base(e)

where ``rest = 1 - inertia - contagion``. Where a turn does not exist, ``base`` takes the place of
its term: the second turn of a dialogue has no own past, the first turn has no past at all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversation_emotion.utterances.labels import FOUR_CLASSES

EMOTIONS = FOUR_CLASSES


@dataclass(frozen=True, kw_only=True)
class EmotionProcess:
    """A chain over the turns of two speakers who alternate.

    Args:
        inertia: Probability that the speaker's own last emotion decides the turn.
        contagion: Probability that the partner's last emotion decides it, through `responses`.
        base: Probability of each emotion where no past decides.
        responses: What each emotion of the partner evokes, a distribution in the order of
            `EMOTIONS` for each.
    """

    inertia: float
    contagion: float
    base: tuple[float, ...]
    responses: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if self.inertia < 0 or self.contagion < 0 or self.inertia + self.contagion > 1:
            raise ValueError(
                "inertia and contagion must be 0 or more and sum to 1 at most, "
                f"got {self.inertia} and {self.contagion}"
            )
        if absent := [emotion for emotion in EMOTIONS if emotion not in self.responses]:
            raise ValueError(f"responses lack the emotions {absent}")
        for name, probabilities in {"base": self.base, **self.responses}.items():
            if len(probabilities) != len(EMOTIONS) or not np.isclose(sum(probabilities), 1):
                raise ValueError(
                    f"{name} must hold {len(EMOTIONS)} probabilities that sum to 1, "
                    f"got {probabilities}"
                )

    def transition(self, own: str | None, partner: str | None) -> NDArray[np.float64]:
        """Distribution of a turn's emotion given the last ones of its speaker and partner: (C,).

        An emotion is `None` where it is unknown or absent.
        """
        base = np.array(self.base)
        stay = base if own is None else np.array([float(own == name) for name in EMOTIONS])
        response = base if partner is None else np.array(self.responses[partner])
        rest = 1 - self.inertia - self.contagion
        return self.inertia * stay + self.contagion * response + rest * base

    def sample(self, num_turns: int, generator: np.random.Generator) -> list[str]:
        """Draws the emotions of one dialogue, turn by turn."""
        emotions: list[str] = []
        for turn in range(num_turns):
            own = emotions[turn - 2] if turn >= 2 else None
            partner = emotions[turn - 1] if turn >= 1 else None
            choice = generator.choice(len(EMOTIONS), p=self.transition(own, partner))
            emotions.append(EMOTIONS[choice])
        return emotions


PROCESS = EmotionProcess(
    inertia=0.64,
    contagion=0.26,
    base=(0.23, 0.26, 0.27, 0.24),
    responses={
        # angry, happy, neutral, sad
        "angry": (0.6, 0.0, 0.0, 0.4),
        "happy": (0.0, 0.7, 0.3, 0.0),
        "neutral": (0.2, 0.5, 0.3, 0.0),
        "sad": (0.0, 0.0, 0.6, 0.4),
    },
)
"""The process of the shipped corpus: anger is returned or hurts, sadness is calmed or shared."""

TURNS_PER_DIALOGUE = (12, 13, 14, 15, 16)
"""Numbers of turns that a dialogue may have, all equally likely."""
