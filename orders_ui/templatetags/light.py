"""The armed light, as a part of every page."""

import logging
from typing import Any

from django import template
from django.db import Error

from killswitch.health import queries
from killswitch.health.verdict import BREAK_GLASS, Fault, Part

register = template.Library()
logger = logging.getLogger(__name__)


@register.inclusion_tag("_light.html")
def light() -> dict[str, Any]:
    """Whatever becomes of the light, the page is drawn: there may be a button on it."""
    try:
        shown = queries.light()
    except Error:
        logger.exception("the armed light could not be read")
        shown = queries.not_known(Fault.NOBODY_LOOKS)
    return {"light": shown, "break_glass": BREAK_GLASS}


@register.simple_tag
def broker_fault() -> str:
    """Say what the lookout found wrong with the broker: the name of a fault, or nothing."""
    standing = next(each for each in queries.light().parts if each.part == Part.BROKER)
    return standing.fault.name if standing.fault else ""
