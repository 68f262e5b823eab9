"""Joint optimisation of order and addresses in one model."""

from tvm_memopt.solvers.joint.improve import JointAnswer, improve_jointly

__all__ = ["JointAnswer", "improve_jointly"]
