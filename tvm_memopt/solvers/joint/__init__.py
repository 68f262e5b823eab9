"""Order and addresses together, in one model."""

from tvm_memopt.solvers.joint.improve import JointAnswer, improve_jointly

__all__ = ["JointAnswer", "improve_jointly"]
