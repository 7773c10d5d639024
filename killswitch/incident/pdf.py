"""The summary as PDF, where WeasyPrint is installed: the extra `pdf`."""

import logging
from typing import Any

logger = logging.getLogger(__name__)


class NoPdf(Exception):
    """There is no PDF; the message says why."""


def pdf_of(html: str) -> bytes:
    """Return a page as PDF. Nothing is fetched for it. Raises NoPdf."""
    try:
        import weasyprint
    except (ImportError, OSError):
        # OSError: the package is there, and Pango, which it draws with, is not.
        raise NoPdf("WeasyPrint is not installed where this pack was made") from None
    try:
        made: bytes = weasyprint.HTML(string=html, url_fetcher=_refuse).write_pdf()
    except Exception:
        logger.exception("the summary could not be drawn as PDF")
        raise NoPdf("the PDF could not be drawn") from None
    return made


def _refuse(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"a summary needs nothing from outside: {url[:100]}")
