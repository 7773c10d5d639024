"""Django's own page and text about an error, as DEBUG and mails to administrators show them."""

from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter

from .redaction import redact


class RedactedReporter(ExceptionReporter):
    """Leaves out what is secret wherever it stands: a setting, a header, a variable of a frame, the message."""

    def get_traceback_html(self) -> SafeString:
        return mark_safe(redact(super().get_traceback_html()))  # noqa: S308  (Django has escaped it)

    def get_traceback_text(self) -> SafeString:
        return mark_safe(redact(super().get_traceback_text()))  # noqa: S308  (plain text)
