"""How the anchors stand, as a part of a page."""

from typing import Any

from django import template
from django.utils import timezone

from killswitch.notary.queries import standing

register = template.Library()


@register.inclusion_tag("_anchors.html")
def anchors() -> dict[str, Any]:
    return {"anchors": standing(timezone.now())}
