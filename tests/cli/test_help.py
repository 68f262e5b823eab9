import pytest

VERBS = (
    "graph", "plan", "check", "optimize", "pack", "run", "show", "sweep", "collect", "train-order", "train-cost-model",
    "tune", "devices", "doctor", "emulator", "batch",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example(command, verb):
    result = command(verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: tvm-memopt {verb} ")
    assert "Example" in result.out
    assert f"    tvm-memopt {verb} " in result.out


def test_the_help_lists_every_verb_and_every_exit_status(command):
    result = command("--help")
    assert (result.status, result.err) == (0, "")
    commands = result.out.partition("Commands:")[2]
    assert sorted(line.split()[0] for line in commands.splitlines() if line.strip()) == sorted(VERBS)
    said = " ".join(result.out.split())
    assert "Exit status: 0 done" in said
    for status in ("2 bad input", "3 budget proved infeasible", "4 no plan"):
        assert status in said


def test_no_argument_at_all_shows_the_help_as_it_is_laid_out(command):
    result = command()
    assert result.status in (0, 2)  # click 8.1 says 0
    assert (result.err or result.out).rstrip("\n") == command("--help").out.rstrip("\n")


def test_the_version_is_that_of_the_package(command):
    import tvm_memopt

    assert command("--version").out == f"tvm-memopt, version {tvm_memopt.__version__}\n"
