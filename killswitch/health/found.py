"""What a check has found of a part."""

from dataclasses import dataclass

from .verdict import Fault, Part


@dataclass(frozen=True)
class Found:
    """`fault` is None where all is well. `says` are details for people who are logged in. `took` is in seconds."""

    part: Part
    fault: Fault | None = None
    says: str = ""
    took: float | None = None
