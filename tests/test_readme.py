"""The README and the docs do what they say: Python blocks run, commands parse, links lead somewhere."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.small_models import two_branches

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = "<!-- not run -->"
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_SHELLS = ("sh", "bash", "console", "shell")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str


def _blocks(languages):
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            before = text[: match.start()].rstrip()
            if match[1] in languages and not before.endswith(NOT_RUN):
                found.append(Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]))
    return found


def _commands():
    lines = [
        (block, line.strip().removeprefix("$ "))
        for block in _blocks(_SHELLS)
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    return [
        pytest.param(line, id=f"{block.page.name}:{block.line}:{line[:40]}")
        for block, line in lines
        if line.startswith("tvm-memopt ")
    ]


def test_the_readme_has_something_to_run():
    assert ROOT / "README.md" in PAGES
    assert any(block.page.name == "README.md" for block in _blocks(["python"]))
    assert _commands()


def test_python_blocks_of_the_readme_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    two_branches(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for block in _blocks(["python"]):
        if block.page.name == "README.md":
            code = compile("\n" * block.line + block.text, str(block.page), "exec")  # the page's own line numbers
            exec(code, namespace)
    assert namespace["plan"].arena_nbytes > 0


@pytest.mark.parametrize("line", _commands())
def test_a_command_has_a_verb_and_options_that_exist(line):
    import click

    from tvm_memopt.cli.main import cli

    _, *words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
    words = [word for word in words if word not in ("-v", "-vv")]
    if words[0].startswith("-"):
        cli.make_context("tvm-memopt", words, resilient_parsing=True)
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words[0]
    if isinstance(command, click.Group):  # a verb with verbs of its own
        command, words = command.get_command(click.Context(command), words[1]), words[1:]
        assert command is not None, words[0]
    context = command.make_context(words[0], words[1:])
    assert context.params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))  # in code, "](" is no link
    links = [link for link in _LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
