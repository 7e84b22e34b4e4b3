"""Whose face: proportions, colours, hair and accessories."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]
"""RGB, 0-255."""

SKINS: tuple[Colour, ...] = (
    (248, 216, 196),
    (240, 200, 172),
    (232, 186, 150),
    (216, 166, 126),
    (194, 140, 100),
    (170, 120, 86),
    (146, 98, 70),
    (122, 82, 60),
)
HAIRS: tuple[Colour, ...] = (
    (34, 28, 28),
    (58, 42, 34),
    (92, 62, 42),
    (128, 88, 54),
    (190, 150, 96),
    (150, 72, 40),
    (136, 132, 130),
)
IRISES: tuple[Colour, ...] = ((84, 54, 34), (62, 42, 30), (110, 84, 44), (84, 110, 84), (86, 120, 150))
HAIRSTYLES = ("crop", "side", "fringe", "bob", "long", "bun", "afro", "buzz", "receding", "bald")
BEARDS = ("none", "stubble", "moustache", "full")


@dataclass(frozen=True, slots=True)
class Identity:
    """A person. Proportions are factors around 1; ``age`` (0-1) is how deep the lines are."""

    skin: Colour = SKINS[2]
    hair: Colour = HAIRS[2]
    iris: Colour = IRISES[0]
    lips: float = 0.5  # 0 pale, 1 made up
    hairstyle: str = "side"
    beard: str = "none"
    glasses: bool = False
    age: float = 0.15
    freckles: bool = False
    face_width: float = 1.0
    face_length: float = 1.0
    jaw: float = 1.0  # breadth of the lower face
    eye_size: float = 1.0
    eye_gap: float = 1.0
    eye_slant: float = 0.0  # height of the outer corner over the inner one, units
    brow_weight: float = 1.0
    brow_height: float = 1.0
    nose_width: float = 1.0
    nose_length: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    clothes: Colour = (70, 88, 120)

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Identity":
        """Sample a person. The same generator state gives the same person."""

        def around(spread: float) -> float:
            return float(np.clip(rng.normal(1.0, spread), 1 - 2 * spread, 1 + 2 * spread))

        tone = int(rng.integers(len(SKINS)))
        masculine = rng.random() < 0.5
        age = float(rng.beta(1.3, 2.2))
        if masculine:
            styles = ("crop", "side", "buzz", "afro", "receding", "bald", "fringe")
            odds = np.array([0.32, 0.33, 0.14, 0.01, 0.1, 0.07, 0.03])
        else:
            styles = ("long", "bob", "bun", "fringe", "side", "afro", "crop")
            odds = np.array([0.32, 0.22, 0.19, 0.13, 0.08, 0.01, 0.05])
        if tone >= 5:
            odds[styles.index("afro")] += 0.3
        hairstyle = str(rng.choice(styles, p=odds / odds.sum()))
        if age > 0.6 and rng.random() < 0.6:
            hair = HAIRS[-1]
        else:
            hair = HAIRS[int(rng.integers(2 if tone >= 5 else len(HAIRS) - 1))]
        beard = str(rng.choice(BEARDS, p=(0.5, 0.24, 0.06, 0.2))) if masculine else "none"
        warmth = rng.normal(1, 0.015, 3)
        skin = _colour(np.clip(np.array(SKINS[tone]) * rng.uniform(0.95, 1.04) * warmth, 30, 250))
        return cls(
            skin=skin,
            hair=hair,
            iris=IRISES[int(rng.integers(2 if tone >= 5 else len(IRISES)))],
            lips=float(rng.uniform(0.1, 0.4) if masculine else rng.uniform(0.35, 1.0)),
            hairstyle=hairstyle,
            beard=beard,
            glasses=bool(rng.random() < 0.16),
            age=age,
            freckles=bool(tone < 3 and rng.random() < 0.15),
            face_width=around(0.035),
            face_length=around(0.035),
            jaw=around(0.05) + (0.04 if masculine else -0.03),
            eye_size=around(0.06) + (-0.02 if masculine else 0.05),
            eye_gap=around(0.03),
            eye_slant=float(rng.normal(0.012, 0.016)),
            brow_weight=around(0.15) + (0.2 if masculine else -0.12),
            brow_height=around(0.08) + (-0.06 if masculine else 0.04),
            nose_width=around(0.09),
            nose_length=around(0.05),
            mouth_width=around(0.06),
            lip_fullness=around(0.14) + (0.12 if tone >= 5 else 0.0) + (-0.08 if masculine else 0.06),
            clothes=_colour(rng.integers(30, 190, 3)),
        )


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
