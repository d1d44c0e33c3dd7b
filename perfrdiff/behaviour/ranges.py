"""Ranges measured on real people that generated behaviour should lie in: 10th and 90th percentile over events.

Source: docs/method.md 15.12 (key behind each). Mostly few persons: confidence B or C there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A published spread of one quantity."""

    low: float
    high: float
    unit: str
    source: str


RANGES = {
    "nod frequency": Range(1.44, 2.94, "Hz", "1_head.nod.frequency, 27 bursts, SMYLE and FACSvatar pair"),
    "nod size": Range(2.04, 11.26, "°", "1_head.nod.stroke_peak_to_peak, 97 strokes"),
    "strokes per nod": Range(2.0, 6.4, "", "1_head.nod.cycles_per_burst times 2"),
    "blink peak": Range(0.37, 0.86, "", "2_blink.peak, 131 blinks, NeuroSync (one performer)"),
    "blink width": Range(0.073, 0.171, "s", "2_blink.fwhm"),
    "blink closing": Range(0.038, 0.161, "s", "2_blink.closing_10_90"),
    "blink opening": Range(0.057, 0.366, "s", "2_blink.opening_90_10"),
    "blink rate": Range(6.0, 41.0, "/min", "2_blink.rate: mood clips from staring to sad"),
    "smile onset": Range(0.2, 1.4, "s", "3_smile.openface_AU12_events, 32 smiles, SMYLE"),
    "smile length": Range(0.7, 4.2, "s", "3_smile.openface_AU12_events, biased short (clips of 1 to 19 s)"),
    "nod rate": Range(0.97, 19.4, "/min", "1_head.nod.bursts_per_min and P10 .42 of docs/method.md 15.8 (3.3/min)"),
}
