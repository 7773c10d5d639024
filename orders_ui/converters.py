from killswitch.kills.decision import LARGEST_ACCOUNT


class NumberConverter:
    """A row's number. One that no database column can hold is simply not there."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if not 0 < number <= LARGEST_ACCOUNT:
            raise ValueError(value)
        return number

    def to_url(self, value: int) -> str:
        return str(value)
