"""The summary as PDF, where WeasyPrint is installed: the extra `pdf`."""

import logging

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
        # Of all the protocols none: what somebody wrote into a reason cannot make this machine ask for anything.
        nowhere = weasyprint.urls.URLFetcher(allowed_protocols=())
        made: bytes = weasyprint.HTML(string=html, url_fetcher=nowhere).write_pdf()
    except Exception:
        logger.exception("the summary could not be drawn as PDF")
        raise NoPdf("the PDF could not be drawn") from None
    return made
