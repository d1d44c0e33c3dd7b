"""Metrics and audio features against fixtures."""

import numpy as np
import torch

from perfrdiff.features.audio import mfcc
from perfrdiff.metrics import challenge as metrics
from perfrdiff.published.conformance.fixtures import Deviation, Fixture, compare

EXACT = 2e-6  # of the scale: the published code sums in float32
MFCC_TOLERANCE = 1.5e-4 / 72  # docs/method.md 17.2: 1.5e-4 at scale 72


def check_metrics(fixture: Fixture) -> list[Deviation]:
    prediction, truth, speaker, neighbour, constant = (
        fixture[f"in/{name}"].numpy() for name in ("pred", "gt", "speaker", "neighbour", "speaker_with_constant_column")
    )
    clips, samples, frames = prediction.shape[:3]
    correlation = np.stack([metrics.concordance(clip, truth) for clip in prediction])
    distance = np.array(
        [[[metrics.warping_distance(sample, real) for real in truth] for sample in clip] for clip in prediction]
    )
    curves = [
        metrics.lagged_correlation(sample, speaker[i], "published") for i in range(clips) for sample in prediction[i]
    ]
    offsets = [-metrics.best_lag(sample, speaker[i], "published") for i in range(clips) for sample in prediction[i]]
    table = metrics.evaluate(prediction, truth, speaker, neighbour).published
    constant_clips = np.zeros((1, frames, metrics.ATTRIBUTES))
    mean_lag = metrics.synchrony(prediction, speaker, "published", samples)
    results = {
        "out/FRC": table.FRCorr, "out/FRC_mp": table.FRCorr, "out/FRD": table.FRDist, "out/FRD_mp": table.FRDist,
        "out/FRDvs": table.FRDvs, "out/FRVar": table.FRVar, "out/S_MSE": table.FRDiv,
        "out/TLCC": mean_lag, "out/TLCC_mp": table.FRSyn,
        "corner/FRVar_3d_input": metrics.variance(prediction[0]),
        "corner/S_MSE_single_sample": metrics.diversity(prediction[:, :1]),
        "corner/TLCC_with_constant_column": metrics.synchrony(prediction, constant, "published", samples),
        "corner/TLCC_mp_with_constant_column": metrics.synchrony(prediction, constant, "published"),
        "corner/ccc_constant_column_2d": metrics.concordance(constant_clips, constant_clips + 1.0)[0, 0],
        "detail/ccc[pred_i,k,gt_j]": correlation,
        "detail/weighted_dtw[pred_i,k,gt_j]": distance,
        "detail/tlcc_offset_signed": np.reshape(offsets, (clips, samples)),
        "detail/tlcc_peak": np.reshape([curve.max() for curve in curves], (clips, samples)),
    }  # fmt: skip
    return [
        compare(name.partition("/")[2], torch.as_tensor(value), fixture[name], EXACT)
        for name, value in results.items()
        if name in fixture.tensors
    ]


def check_mfcc(fixture: Fixture) -> list[Deviation]:
    deviations = []
    for case in sorted({key.split("/")[0] for key in fixture.keys}):
        expected = fixture[f"{case}/features"]
        audio = fixture[f"{case}/pcm_int16"].numpy().astype(np.float32) / 32768
        audio = audio.mean(axis=1) if audio.ndim == 2 else audio
        computed = mfcc(audio, int(fixture[f"{case}/sample_rate"]), len(expected))
        deviations.append(compare(case, torch.from_numpy(computed), expected, MFCC_TOLERANCE))
    return deviations
