"""Calibration of scores to seconds, so that rankers and regressors can be compared. Needs only numpy."""

from __future__ import annotations

import numpy as np


def isotonic(score: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A map from scores (higher is better) to ln seconds that never rises: (scores ascending, ln seconds at each).

    Least squares by pooling adjacent violators. For use with np.interp.
    """
    order = np.argsort(score, kind="stable")
    values, weights = [], []
    for value in np.log(seconds[order]):
        values.append(float(value))
        weights.append(1)
        while len(values) > 1 and values[-2] < values[-1]:
            weight = weights[-2] + weights[-1]
            values[-2] = (values[-2] * weights[-2] + values[-1] * weights[-1]) / weight
            weights[-2] = weight
            del values[-1], weights[-1]
    return score[order], np.repeat(values, weights)


def by_isotonic(curve: tuple[np.ndarray, np.ndarray], score: np.ndarray) -> np.ndarray:
    """Seconds by a map that was fitted on training programs: what is known without any measurement."""
    return np.asarray(np.exp(np.interp(score, *curve)))


def by_fastest(relative: np.ndarray, seconds: np.ndarray, program: np.ndarray) -> np.ndarray:
    """Seconds where the fastest time of each program is given: t_min · (best relative speed / relative speed).

    ``relative``: predicted speed, above 0, in any unit of its program.
    """
    found = np.zeros(len(seconds))
    for number in np.unique(program):
        part = program == number
        found[part] = seconds[part].min() * relative[part].max() / relative[part]
    return found
