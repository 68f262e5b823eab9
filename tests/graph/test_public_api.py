import tvm_memopt.graph

PUBLIC = """
    Allocation Buffer Graph Lifetimes Op Plan PlanStatus Tensor TensorKind align_up check check_budget_syntax
    find_violations given_order graph_from_json graph_to_json io_nbytes io_offsets layered_graph lifetimes
    live_profile packed_nbytes parse_budget peak_live plan_from_json plan_to_json random_graph read_graph read_plan
    weight_nbytes working_set working_set_bound write_graph write_plan
"""


def test_the_public_names_of_graph_are_these() -> None:
    assert sorted(tvm_memopt.graph.__all__) == PUBLIC.split()


def test_every_public_name_is_there_and_documented() -> None:
    for name in set(tvm_memopt.graph.__all__) - {"PlanStatus", "TensorKind"}:  # Literal types have no docstring
        assert getattr(tvm_memopt.graph, name).__doc__, name
