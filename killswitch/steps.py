"""One line of the log per step of a kill, with its id, for whoever follows a kill through several machines.

The audit trail is the record. These lines are for the log's reader: they name ids, numbers and states, and never what
somebody typed or what the broker said in words.
"""

import json
import logging
import re
import uuid
from typing import Any

logger = logging.getLogger(__name__)

PLAIN = re.compile(r"[\w.:,/@+-]+")


class Step:
    """What a line tells. It is put into words where it is written, not where the work is done."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = {name: value for name, value in fields.items() if value is not None and value != ""}

    def __str__(self) -> str:
        return " ".join(f"{name}={_plain(value)}" for name, value in self.fields.items())


def step(name: str, kill_id: uuid.UUID | None, **fields: Any) -> None:
    """Write that a kill has come to the step `name`. Waits for nothing, and a field without a value is left out."""
    logger.info(Step({"step": name, "kill": kill_id, **fields}))


def _plain(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)
