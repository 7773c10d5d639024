from tests.kills.conftest import press

__all__ = ["press"]
