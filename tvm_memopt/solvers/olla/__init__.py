"""Order and addresses as one integer programme: OLLA's own, and a smaller one that closes the last gap."""

from tvm_memopt.solvers.olla.improve import JointAnswer, improve_jointly
from tvm_memopt.solvers.olla.solve import solve_olla
from tvm_memopt.solvers.olla.tricks import OLLA_SWITCHES

__all__ = ["OLLA_SWITCHES", "JointAnswer", "improve_jointly", "solve_olla"]
