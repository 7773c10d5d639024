"""Model fields that several rooms use."""

from decimal import Decimal
from typing import Any

from django.db import models


class ExactDecimalField(models.TextField):  # type: ignore[type-arg]
    """A Decimal kept as text, digit for digit: SQLite would keep it as a binary float."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"null": True, "blank": True, **options})

    def from_db_value(self, value: str | None, *_: object) -> Decimal | None:
        return None if value is None else Decimal(value)

    def to_python(self, value: Any) -> Decimal | None:
        return value if value is None or isinstance(value, Decimal) else Decimal(str(value))

    def get_prep_value(self, value: Any) -> str | None:
        if value is None:
            return None
        return format(value if isinstance(value, Decimal) else Decimal(str(value)), "f")
