"""How steady and how right the shown labels are over time, with and without smoothing.

python -m benchmarks.live_quality --model models/emotion_net

The synthetic actors go through the eight expressions, so the truth of every
frame is known. Counted are frames whose expression is at least half there
(neutral always). *Delay* is from that moment to the first frame with the right
label; *named* is the proportion of the expressions that got it at all. *Switches*
counts changes of the shown label per second and face; the truth has one in
three seconds.

The second table replaces the network by one that is simulated: right with the
same probability in every frame, its errors independent. There the truth can
be found, so it shows what the smoothing itself does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import record
from fer import cli
from fer.faces import FaceDetector
from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.analysis import Analyser
from fer.live.app import load_predictor
from fer.live.capture import Frame
from fer.live.options import LiveOptions
from fer.predictor import EmotionPredictor, FaceEmotion
from synthetic_faces.actor import Actor


@dataclass
class QualityOptions:
    """Measure the steadiness of the live labels."""

    model: Path | None = None
    """Folder of a trained model; the default one if not given."""
    actors: int = 4
    """How many films, each with one person of its own; one more has three people."""
    seconds: float = 3.0
    """How long an expression lasts."""
    out: Path = Path(__file__).parent / "results" / "live_quality.json"
    """Where the numbers go."""


SMOOTHING = (0.0, 0.1, 0.25, 0.5)
FPS = 25


class Simulated:
    """A predictor whose detection is real and whose predictions are the truth with noise.

    Args:
        detect: the real detector.
        seed: of the noise.
    """

    def __init__(self, detect: FaceDetector, seed: int) -> None:
        self.detect, self.truth = detect, 0
        self._rng = np.random.default_rng(seed)

    def classify(self, frame: np.ndarray, boxes: np.ndarray, turn: int | None) -> list[FaceEmotion]:
        """Return a face for each box: 2 nats of evidence for the true emotion, noise of 1 nat on each of the eight."""
        faces = []
        for box in boxes:
            evidence = self._rng.normal(0, 1, len(EMOTIONS))
            evidence[self.truth] += 2.0
            probabilities = (np.exp(evidence) / np.exp(evidence).sum()).astype(np.float32)
            faces.append(FaceEmotion.from_probabilities(box, probabilities, 0.0))
        return faces


class Once:
    """A predictor that does the same work only once for several analysers that look at the same frame."""

    def __init__(self, predictor: EmotionPredictor | Simulated) -> None:
        self.predictor = predictor
        self.detect = _LastCall(predictor.detect)
        self._classify = _LastCall(predictor.classify)

    def classify(self, frame: np.ndarray, boxes: np.ndarray, turn: int | None) -> list[FaceEmotion]:
        """As the predictor."""
        return self._classify(frame, boxes, turn)


class _LastCall:
    def __init__(self, call: Callable) -> None:
        self.call, self.arguments, self.result = call, None, None

    def __call__(self, frame: np.ndarray, *more: np.ndarray | int) -> object:
        same = self.arguments is not None and self.arguments[0] is frame
        if not (same and all(np.array_equal(a, b) for a, b in zip(self.arguments[1:], more, strict=True))):
            self.arguments, self.result = (frame, *more), self.call(frame, *more)
        return self.result


def main(options: QualityOptions) -> None:
    """Print the tables and write the JSON."""
    predictor = load_predictor(LiveOptions(model=options.model))
    films = [film(predictor, seed, options.seconds) for seed in range(options.actors)]
    real, simulated = ([score([f[kind][i] for f in films]) for i in range(len(SMOOTHING))] for kind in (0, 1))
    identities = crowd(predictor, options.seconds)
    print(f"network: {predictor.card['arch']}\n{table(real)}\n\nsimulated\n{table(simulated)}\n")
    print(
        f"three faces: {identities['tracks']} identities for 3 people, {identities['seen']:.1%} of the faces found"
    )
    record.save(
        options.out,
        arch=predictor.card["arch"],
        network=dict(zip(map(str, SMOOTHING), real, strict=True)),
        simulated=dict(zip(map(str, SMOOTHING), simulated, strict=True)),
        three_faces=identities,
    )


def film(predictor: EmotionPredictor, seed: int, seconds: float) -> tuple[list[dict], list[dict]]:
    """Play one actor to all smoothings at once, with the network and simulated.

    Returns:
        For each smoothing the truth, its strength and what was shown in every frame.
    """
    simulated = Simulated(predictor.detect, seed)
    players = [
        [Analyser(once, smoothing=tau) for tau in SMOOTHING] for once in (Once(predictor), Once(simulated))
    ]
    played = [[{"truth": [], "strength": [], "shown": [], "tracks": 0} for _ in SMOOTHING] for _ in players]
    actor = Actor(size=(640, 480), fps=FPS, seconds_per_emotion=seconds, seed=seed)
    frames = tqdm(actor, total=round(actor.seconds * FPS), desc=f"actor {seed}", leave=False, disable=None)
    for number, (image, time_s, label, intensity) in enumerate(frames):
        simulated.truth = label
        for analysers, results in zip(players, played, strict=True):
            for analyser, result in zip(analysers, results, strict=True):
                faces = analyser(Frame(image, time_s, number)).faces
                result["truth"].append(label)
                result["strength"].append(intensity)
                result["shown"].append(faces[0].face.emotion if faces else "")
                result["tracks"] = max([result["tracks"], *(face.track for face in faces)])
    return tuple(played)


def score(films: list[dict]) -> dict[str, float]:
    """Accuracy, switches a second, delay and the proportion of expressions that were named, over all films."""
    right, counted, uncertain, switches, frames, delays, changes = 0, 0, 0, 0, 0, [], 0
    for played in films:
        truth, shown = np.array(played["truth"]), np.array(played["shown"])
        clear = np.array(played["strength"]) >= 0.5
        names = np.array(EMOTIONS)[truth]
        right += int((shown == names)[clear].sum())
        counted += int(clear.sum())
        uncertain += int((shown == UNCERTAIN)[clear].sum())
        seen = shown[shown != ""]
        switches += int((seen[1:] != seen[:-1]).sum())
        frames += len(seen)
        for label in np.unique(truth):
            spell = np.flatnonzero((truth == label) & clear)
            changes += 1
            hits = spell[shown[spell] == EMOTIONS[label]]
            if len(hits) and spell[0] > 0:
                delays.append((hits[0] - spell[0]) / FPS)
    return {
        "accuracy": right / counted,
        "uncertain": uncertain / counted,
        "switches_per_s": switches / (frames / FPS),
        "delay_s": float(np.median(delays)) if delays else float("nan"),
        "named": (len(delays) + sum(p["shown"][0] == EMOTIONS[p["truth"][0]] for p in films)) / changes,
        "tracks_per_person": float(np.mean([played["tracks"] for played in films])),
    }


def crowd(predictor: EmotionPredictor, seconds: float) -> dict[str, float]:
    """How many identities three people get, and the proportion of faces found."""
    analyser, tracks, found, frames = Analyser(predictor), set(), 0, 0
    for number, (image, time_s, _, _) in enumerate(
        Actor(size=(960, 540), seconds_per_emotion=seconds, faces=3)
    ):
        faces = analyser(Frame(image, time_s, number)).faces
        tracks |= {face.track for face in faces}
        found += sum(face.detected for face in faces)
        frames += 1
    return {"tracks": len(tracks), "seen": found / (3 * frames)}


def table(rows: list[dict[str, float]]) -> str:
    """One row for each smoothing, as a Markdown table."""
    lines = [
        "| smoothing | accuracy over time | uncertain | switches a second | delay | named |",
        "|---|---|---|---|---|---|",
    ]
    for tau, r in zip(SMOOTHING, rows, strict=True):
        lines.append(
            f"| {f'{tau} s' if tau else 'none'} | {r['accuracy']:.1%} | {r['uncertain']:.1%} | "
            f"{r['switches_per_s']:.2f} | {r['delay_s']:.2f} s | {r['named']:.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, QualityOptions)
