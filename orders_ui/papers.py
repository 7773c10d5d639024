"""The pages of an incident pack: files that show themselves, with their style inside."""

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from killswitch.incident.summary import Summary

STYLE = "css/paper.css"


def draw(summary: Summary) -> dict[str, str]:
    """Return the pages of a pack by the names of their files."""
    context = {"summary": summary, "sheet": summary.sheet, "at": summary.at, "style": _style()}
    return {
        "summary.html": render_to_string("summary.html", context),
        "call-sheet.html": render_to_string("call_sheet_file.html", context),
    }


@cache
def _style() -> SafeString:
    found = finders.find(STYLE)
    if not isinstance(found, str):
        raise LookupError(f"{STYLE} is not among the static files")
    return mark_safe(Path(found).read_text())  # noqa: S308  (our own file)
