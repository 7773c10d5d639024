"""An emergency kill switch for a trading risk desk."""

from typing import Any

__all__ = ["celery"]


def __getattr__(name: str) -> Any:
    # `celery -A killswitch` looks for this. Lazily, because the simulator and the broker room need no Celery.
    if name == "celery":
        from importlib import import_module

        return import_module("killswitch.celery").app
    raise AttributeError(name)
