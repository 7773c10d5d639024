"""The armed light, as a part of every page."""

import logging
from typing import Any

from django import template

from killswitch.health import queries
from killswitch.health.queries import Light
from killswitch.health.verdict import BREAK_GLASS, Part

register = template.Library()
logger = logging.getLogger(__name__)


@register.inclusion_tag("_light.html")
def light() -> dict[str, Any]:
    return {"light": _light(), "break_glass": BREAK_GLASS}


@register.simple_tag
def break_glass() -> str:
    """Return the line that cancels everything with the broker alone."""
    return BREAK_GLASS


@register.simple_tag
def broker_fault() -> str:
    """Say what the lookout found wrong with the broker: the name of a fault, or nothing."""
    standing = next(each for each in _light().parts if each.part == Part.BROKER)
    return standing.fault.name if standing.fault else ""


def _light() -> Light:
    """Whatever becomes of the light, the page is drawn: there may be a button on it."""
    try:
        return queries.light()
    except Exception:
        logger.exception("the armed light could not be read")
        return queries.not_known()
