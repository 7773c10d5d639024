"""What is said where nothing was sent."""

from . import exits


class Refused(Exception):
    """Nothing was sent. `why` are lines; `what_to_do` may follow them."""

    status = exits.REFUSED

    def __init__(self, *why: str, what_to_do: str = "") -> None:
        super().__init__("; ".join(why))
        self.why = why
        self.what_to_do = what_to_do
