"""Which person is it? A classifier of listeners that learns from simulated reactions and never sees generated ones."""

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.linalg import eigh

from perfrdiff.behaviour.event_features import EVENT_FEATURES, FEATURE_GROUPS

MOVEMENT = slice(0, len(EVENT_FEATURES))
VIEWS: dict[str, slice] = {
    "event features": MOVEMENT,
    "event features without the head's angles": slice(0, len(EVENT_FEATURES) - len(FEATURE_GROUPS["head angles"])),
    "the resting face": slice(len(EVENT_FEATURES), None),
}
"""What a person may be recognised by: columns of `dyads.describe`, in which the head's angles are the last features."""
SHRINKAGE = 0.1  # of the within-person covariance towards its diagonal


@dataclass(frozen=True)
class PersonClassifier:
    """Two-covariance model (probabilistic linear discriminant analysis): a clip's signature is the person's own, drawn
    from N(mean, between), plus what differs from clip to clip, N(0, within)."""

    mean: np.ndarray  # (features,)
    transform: np.ndarray  # (features, d): within-person variance 1, between-person variance `between`
    between: np.ndarray  # (d,)

    @classmethod
    def fit(cls, signatures: np.ndarray) -> "PersonClassifier":
        """Learn from (persons, clips, features) of persons who will not be asked for."""
        persons, clips, _ = signatures.shape
        mean = signatures.mean(axis=(0, 1))
        person_means = signatures.mean(axis=1)
        deviations = (signatures - person_means[:, None]).reshape(persons * clips, -1)
        within = deviations.T @ deviations / (persons * (clips - 1))
        within = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(np.diag(within)) + 1e-9 * np.eye(len(within))
        between = np.cov(person_means.T) - within / clips
        values, vectors = eigh(between, within)
        separating = values > 0.05  # directions in which persons differ at all
        return cls(mean, vectors[:, separating], values[separating])

    def scores(self, clips: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """Log-likelihoods (N, persons) of clips (N, features) being of the persons of whom the gallery holds
        (persons, clips each, features)."""
        gallery_means = (gallery.mean(axis=1) - self.mean) @ self.transform
        count = gallery.shape[1]
        reliability = count * self.between / (count * self.between + 1)
        expected, variance = reliability * gallery_means, 1 + self.between / (count * self.between + 1)
        x = (clips - self.mean) @ self.transform
        distances = (x[:, None] - expected[None]) ** 2 / variance
        return -0.5 * distances.sum(axis=-1)


def recognition_probability(scores: np.ndarray, person: np.ndarray, candidates: int = 10) -> np.ndarray:
    """Probability (N,) that the right person scores highest among `candidates` that are drawn at random.

    scores (N, persons), person (N,): the right ones. With fewer persons than candidates all of them compete.
    """
    others = scores.shape[1] - 1
    rivals = min(candidates - 1, others)
    right = scores[np.arange(len(scores)), person]
    better = (scores > right[:, None]).sum(axis=1)
    return np.array([comb(others - b, rivals) / comb(others, rivals) for b in better.tolist()])
