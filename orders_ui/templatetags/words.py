"""Values as words and figures."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from killswitch import words
from killswitch.audit.operations import Actor
from killswitch.kills.alarms import is_unattended
from killswitch.kills.meanings import standing as standing_of
from killswitch.kills.meanings import wire
from killswitch.kills.models import Kill, Outcome, State
from killswitch.kills.release import needs_another
from killswitch.words import NEW_YORK, NOTHING, exact_time, in_new_york

from ..rows import age_words

register = template.Library()

SHORT = {
    "GOOD_TILL_CANCEL": "GTC",
    "GOOD_TILL_DATE": "GTD",
    "IMMEDIATE_OR_CANCEL": "IOC",
    "FILL_OR_KILL": "FOK",
    "AT_THE_OPENING": "OPG",
    "AT_THE_CLOSE": "CLS",
}

for plain in (words.figure, words.price, words.dollars, words.unpriced, words.counted, words.duration, words.after):
    register.filter(plain)
register.filter(words.dollars_in_short)
register.filter(wire)


@register.filter
def short(value: str | None) -> SafeString | str:
    """Abbreviate a time in force, with the full words behind it."""
    if value in SHORT:
        return format_html('<abbr title="{}">{}</abbr>', value.replace("_", " "), SHORT[value])
    return wire(value)


@register.filter
def age(value: datetime | None) -> SafeString | str:
    """Say how old something is. The page's script keeps it counting between two polls."""
    if value is None:
        return "never"
    seconds = max(0, int((timezone.now() - value).total_seconds()))
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}">{}</time>', _iso(value), _full(value), seconds, age_words(value)
    )


@register.filter
def utc(value: datetime | str | None) -> SafeString | str:
    """Write a time to the second."""
    if not isinstance(value, datetime):
        return value or NOTHING
    text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return format_html('<time datetime="{}" title="{}">{}</time>', _iso(value), _full(value), text)


@register.filter
def clock(value: datetime | None) -> SafeString | str:
    """Write the time of a day, for what is seconds away."""
    if value is None:
        return NOTHING
    text = f"{value.astimezone(UTC):%H:%M:%S}"
    return format_html('<time datetime="{}" title="{}">{}</time>', _iso(value), _full(value), text)


@register.filter
def utc_exact(value: datetime | None) -> SafeString | str:
    """Write a time to the microsecond."""
    if value is None:
        return NOTHING
    return format_html('<time datetime="{}" title="{}">{}</time>', _iso(value), in_new_york(value), exact_time(value))


@register.filter
def beside(value: datetime | None) -> SafeString | str:
    """Write the same time in New York, and leave room for the reader's own, which only their browser knows."""
    if value is None:
        return ""
    there = '<small class="beside">{}<span data-local="{}" hidden></span></small>'
    return format_html(there, in_new_york(value), _iso(value))


@register.filter
def milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f} ms"


@register.filter
def from_microseconds(value: int | None) -> str:
    return NOTHING if value is None else f"{value / 1000:,.1f}"


@register.filter
def state(value: str) -> str:
    return str(State(value).label) if value in State.values else value


@register.filter
def standing(kill: Kill) -> str:
    """Say how a kill stands, and whether it is latched or a dry run."""
    return standing_of(kill, is_unattended=is_unattended(kill))


@register.filter
def look(kill: Kill) -> str:
    """Return the state that a kill looks like: one that nobody works on is not known to be anything."""
    return State.UNKNOWN if is_unattended(kill) else kill.state


@register.filter
def outcome(value: str) -> str:
    return str(Outcome(value).label) if value in Outcome.values else state(value)


@register.simple_tag
def now_utc() -> str:
    return f"{timezone.now().astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@register.simple_tag
def clocks() -> SafeString:
    """Draw the clocks of the top of a page as they stood when it was made; the script lets them go on."""
    now = timezone.now()
    return format_html(
        '<div id="clocks" class="clocks" role="group" aria-label="Time" data-now="{}">'
        '<span><time data-zone="UTC">{}</time> UTC</span> '
        '<span><time data-zone="{}">{}</time> New York</span> '
        '<span hidden><time data-zone=""></time> yours</span></div>',
        int(now.timestamp() * 1000),
        f"{now.astimezone(UTC):%H:%M:%S}",
        NEW_YORK.key,
        f"{now.astimezone(NEW_YORK):%H:%M:%S}",
    )


@register.filter
def release_needs_another(kill: Kill, user: Any) -> bool:
    """Say whether somebody else than the reader has to release a kill."""
    return needs_another(kill, Actor(id=user.pk, name=user.get_username()))


@register.simple_tag
def user_name(user: Any) -> str:
    return "" if isinstance(user, AnonymousUser) else str(user.get_username())


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _full(value: datetime) -> str:
    return f"{exact_time(value)} UTC · {in_new_york(value)}"
