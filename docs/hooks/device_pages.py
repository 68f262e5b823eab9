"""MkDocs hook: the reference of the devices, from their profiles."""

from __future__ import annotations

from typing import Any

_MARK = "<!-- devices -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by one section for each device."""
    if _MARK not in markdown:
        return markdown
    from tvm_memopt.cli.device.devices import details
    from tvm_memopt.targets import builtin_devices

    sections = []
    for profile in builtin_devices().values():
        if not profile.triple:
            sections.append(f"## {profile.name}\n\n{profile.description}.")
            continue
        lines = details(profile).splitlines()
        items = "\n".join(f"- {line}" for line in lines[1:])
        sections.append(f"## {profile.name}\n\n{profile.description}.\n\n{items}")
    return markdown.replace(_MARK, "\n\n".join(sections))
