"""Where anchors go. A place takes them in their order, and may be given the same one twice."""

import importlib.util
from collections.abc import Sequence
from typing import Protocol

from django.conf import settings

from killswitch.audit.models import Anchor

SETTINGS = "ANCHOR_FILE, ANCHOR_MAIL, ANCHOR_URL or ANCHOR_S3_BUCKET"


class Refused(Exception):
    """A place did not take the anchors. Says why in words that may be shown."""


class NotInstalled(Exception):
    """A place is configured and what it needs is not installed."""


class Place(Protocol):
    """One place, by its name in the database and on the page."""

    name: str
    at_once: int  # how many anchors it can be given in one go

    def take(self, anchors: Sequence[Anchor]) -> None:
        """Keep the anchors for good. Raises Refused, and whatever else went wrong."""


def configured() -> list[Place]:
    """Return every place that the settings name. Raises NotInstalled."""
    from .endpoint import Endpoint
    from .file import File
    from .mail import Mail

    places: list[Place] = []
    if settings.ANCHOR_FILE:
        places.append(File(settings.ANCHOR_FILE))
    if settings.ANCHOR_MAIL:
        places.append(Mail(settings.ANCHOR_MAIL))
    if settings.ANCHOR_URL:
        places.append(Endpoint(settings.ANCHOR_URL, token=settings.ANCHOR_URL_TOKEN))
    if settings.ANCHOR_S3_BUCKET:
        if importlib.util.find_spec("boto3") is None:
            raise NotInstalled('ANCHOR_S3_BUCKET is set and boto3 is not installed: pip install "boto3>=1.43,<2"')
        from .bucket import Bucket

        places.append(Bucket.configured())
    return places
