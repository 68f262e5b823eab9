"""OLLA's manual placement: of nested lifetimes, the longest is placed lowest."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_memopt.graph import align_up
from tvm_memopt.solvers.joint.pieces import Piece, Pieces


def pyramid(pieces: Pieces, order: Sequence[int]) -> dict[int, int]:
    """Byte offsets of the pieces in the pyramid: repeatedly the longest lifetime nested in the previous one."""
    step = {op: t for t, op in enumerate(order)}

    def life(piece: Piece) -> tuple[int, int]:
        first = 0 if piece.opener is None else step[piece.opener]
        last = len(order) - 1 if piece.returned else max((step[c] for c in piece.closers), default=0)
        return first, last

    lives = [life(piece) for piece in pieces.pieces]
    placed: dict[int, int] = {}
    begin, end, top = 0, len(order) - 1, 0
    while True:
        inside = [i for i, (first, last) in enumerate(lives) if i not in placed and begin <= first and last <= end]
        if not inside:
            return placed
        longest = max(inside, key=lambda i: (lives[i][1] - lives[i][0], pieces.pieces[i].nbytes, -i))
        placed[longest] = top
        top += align_up(pieces.pieces[longest].nbytes, pieces.graph.alignment)
        begin, end = lives[longest]
