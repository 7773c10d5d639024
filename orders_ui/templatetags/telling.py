"""Whom messages do not reach, as a line of a page."""

from typing import Any

from django import template
from django.utils import timezone

from killswitch.telling.queries import standing

register = template.Library()


@register.inclusion_tag("_telling_trouble.html")
def telling_trouble() -> dict[str, Any]:
    return {"telling": standing(timezone.now())}
