"""What the scheduler rings for every second."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from .operations import refresh as refresh_book


@shared_task(name="killswitch.book.tasks.refresh")
def refresh() -> None:
    """Refresh about a second's worth of the open book."""
    refresh_book(requests_per_second=settings.BOOK_REQUESTS_PER_SECOND, now=timezone.now())
