"""How the verification of the trail stands, as a part of a page."""

from typing import Any

from django import template

from ..verificationview import VerificationView

register = template.Library()


@register.inclusion_tag("_verification.html")
def verification() -> dict[str, Any]:
    return {"verification": VerificationView()}
