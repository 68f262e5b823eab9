"""Topoformer: a network that reads the whole graph once and gives an order in milliseconds.

After Gagrani et al., "Neural Topological Ordering for Computation Graphs" (NeurIPS 2022), and, for training, Jeon et
al., "Neural DAG Scheduling via One-Shot Priority Sampling" (ICLR 2023). Differences from the papers, and the reasons:

- Orders are built from the end. The problem is the same in both directions, but greedy choices err less from the end.
- Safe moves, which fit below the peak so far and free memory, are made immediately. They make no order worse (see
  downsets.py), so the network decides only where there is a choice.
- A score is a priority plus learned weights times a few state features. Priorities alone (``state=False``), as in the
  papers, cannot express that the best op depends on the live tensors.
"""

from tvm_memopt.solvers.order.learned.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tvm_memopt.solvers.order.learned.order import LearnedOrder, learned_order

__all__ = ["Checkpoint", "LearnedOrder", "learned_order", "read_checkpoint", "write_checkpoint"]
