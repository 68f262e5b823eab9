"""The interface to TVM: IRModule → Graph, Plan → IRModule, and the registered pipelines."""
