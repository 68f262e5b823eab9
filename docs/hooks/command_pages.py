"""MkDocs hook: the reference of the command line, from click's own help records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

_MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by one section for each verb."""
    if _MARK not in markdown:
        return markdown
    from tvm_memopt.cli.main import cli

    context = click.Context(cli, info_name="tvm-memopt", **cli.context_settings)
    sections = [_section(cli, context, "General options")]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        sections.append(_section(command, click.Context(command, context, info_name=name), name))
    return markdown.replace(_MARK, "\n\n".join(sections))


def _section(command: click.Command, context: click.Context, title: str) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {title}", f"```text\n{usage}\n```", *_help(command.help or ""), _options(command, context)]
    return "\n\n".join(parts)


def _help(text: str) -> Iterator[str]:
    """Paragraphs of a help text; what click leaves unwrapped are examples."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0].strip() != "\b":
            yield _escaped(" ".join(line.strip() for line in lines))
            continue
        yield _escaped(lines[1].strip())
        yield "```sh\n" + "\n".join(line.strip() for line in lines[2:]) + "\n```"


def _options(command: click.Command, context: click.Context) -> str:
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    records = filter(None, (option.get_help_record(context) for option in options))
    rows = [f"| `{names}` | {_escaped(text)} |" for names, text in records]
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]<*_|])", r"\\\1", text)
