"""Whether the audit trail holds, as far as its verification and the notary say."""

from datetime import datetime, timedelta

from django.utils import timezone

from killswitch.audit import verification
from killswitch.notary import queries as notary

from .found import Found
from .verdict import Fault, Part

# It is verified once a day.
VERIFIED_WITHIN = timedelta(hours=50)


def check() -> list[Found]:
    now = timezone.now()
    verified, anchors = verification.standing(), notary.standing(now)
    broken = [*([verified.broken.words] if verified.broken else []), *anchors.contradictions]
    if broken:
        return [Found(Part.TRAIL, Fault.TRAIL_BROKEN, "; ".join(broken))]
    wrong = [*_wrong_with_verification(verified, now), *_wrong_with_anchors(anchors)]
    if wrong:
        return [Found(Part.TRAIL, Fault.TRAIL_UNGUARDED, "; ".join(wrong))]
    last = verified.last
    says = f"verified to entry {last.last:,}" if last and last.last else "not verified yet"
    if not anchors.has_key:
        return [Found(Part.TRAIL, None, f"{says}; no anchors are made: there is no key")]
    return [Found(Part.TRAIL, None, f"{says}, anchored to entry {anchors.last.sequence:,}" if anchors.last else says)]


def _wrong_with_verification(verified: verification.Standing, now: datetime) -> list[str]:
    last = verified.last
    return [
        *(["a verification that was asked for is not carried out"] if verified.is_waited_for else []),
        *([f"a verification failed: {verified.failed.words}"] if verified.failed else []),
        *(
            ["it was not verified for two days"]
            if last is not None and last.ended_at is not None and now - last.ended_at > VERIFIED_WITHIN
            else []
        ),
    ]


def _wrong_with_anchors(anchors: notary.Standing) -> list[str]:
    late = [f"anchors do not arrive at {place.delivery.place}" for place in anchors.places if place.is_late]
    return [*([] if anchors.is_watched else ["no notary is at work"]), *late]
