"""Mail that carries anchors, as an attachment so that no mail program breaks their lines."""

from collections.abc import Sequence

from django.core.mail import EmailMessage

from killswitch.audit.anchors import anchor_line
from killswitch.audit.chain import time_text
from killswitch.audit.models import Anchor

TEXT = """\
The audit trail of Killswitch stood at entry {last.sequence} on {at}.

  hash  {last.hash}
  key   {last.key}

The attachment holds the signed anchor{s}. Keep this mail: with it, the public key and verify_export.py anybody can see
whether the trail was cut off or written anew since.
"""


class Mail:
    """Takes all that is outstanding in one mail."""

    at_once = 1000

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = list(recipients)
        self.name = f"mail {', '.join(recipients)}"[:300]

    def take(self, anchors: Sequence[Anchor]) -> None:
        last, s = anchors[-1], "s" * (len(anchors) > 1)
        at = time_text(last.at)
        subject = f"Killswitch anchor{s} of the audit trail, to entry {last.sequence}, {at}"
        mail = EmailMessage(subject, TEXT.format(last=last, at=at, s=s), to=self._recipients)
        lines = b"".join(anchor_line(anchor) + b"\n" for anchor in anchors)
        mail.attach(f"anchors-{last.sequence}.jsonl", lines, "application/jsonl")
        mail.send()
