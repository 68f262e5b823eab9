"""The plain twin of Random in control.h: xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64."""

from __future__ import annotations

import math

_WORD = 2**64 - 1


class PlainRandom:
    """The same numbers as the native core for the same seed."""

    def __init__(self, seed: int) -> None:
        self._state = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & _WORD
            z = seed
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
            self._state.append(z ^ (z >> 31))

    def next(self) -> int:
        """64 random bits."""
        s = self._state
        result = (_rotate((s[1] * 5) & _WORD, 7) * 9) & _WORD
        shifted = (s[1] << 17) & _WORD
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = _rotate(s[3], 45)
        return result

    def gumbel(self) -> float:
        """A number from the standard Gumbel distribution."""
        uniform = (self.next() >> 11) * 2.0**-53
        return -math.log(-math.log(uniform + 1e-12) + 1e-12)


def _rotate(x: int, by: int) -> int:
    return ((x << by) | (x >> (64 - by))) & _WORD
