import json

from tests.cli.running import PREFIX, assert_refused
from tvm_memopt.graph import find_violations, read_graph, read_plan


def _overlapping(plan):
    for allocation in plan["allocations"]:
        allocation["offset"] = 0


def test_a_right_plan_is_valid(command, made):
    result = command("check", made / "graph.json", made / "plan.json")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("valid: 6 steps, arena 180,224 bytes")


def test_every_violation_of_an_edited_plan_is_listed(command, made, edited):
    path = edited("plan.json", _overlapping)
    result = command("check", made / "graph.json", path)
    violations = find_violations(read_graph(made / "graph.json"), read_plan(path))
    first, *listed = result.err.splitlines()
    assert result.status == 2
    assert result.out == ""
    assert first.startswith(f"{PREFIX}{path}: not a valid plan for {made / 'graph.json'}: {len(violations)} violations")
    assert listed == [f"  {violation}" for violation in violations]
    assert any("[overlap]" in line and "step" in line and "bytes" in line for line in listed)


def test_json_lists_them_for_programs(command, made, edited):
    result = command("check", made / "graph.json", edited("plan.json", _overlapping), "--json")
    document = json.loads(result.out)
    assert (result.status, result.err) == (2, "")
    assert document["valid"] is False
    assert {"overlap", "wrong-arena"} <= {violation["rule"] for violation in document["violations"]}
    assert json.loads(command("check", made / "graph.json", made / "plan.json", "--json").out)["valid"] is True


def test_a_plan_that_is_no_plan_names_the_key(command, made, edited):
    path = edited("plan.json", lambda plan: plan.update(schedule="first to last"))
    assert_refused(command("check", made / "graph.json", path), str(path), "'schedule'", "a list of integers")


def test_files_given_in_the_wrong_order_are_told_apart(command, made):
    assert_refused(command("check", made / "plan.json", made / "graph.json"), "plan.json", "memopt-graph/1")
