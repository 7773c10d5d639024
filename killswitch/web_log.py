"""Gunicorn writes its log past Django's settings. This lets it leave out what is secret as everybody else does."""

from gunicorn.config import Config
from gunicorn.glogging import Logger

from . import env
from .logs import JsonFormatter
from .redaction import Formatter


class Log(Logger):  # type: ignore[misc]
    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        is_json = env.choice("LOG_FORMAT", "text", "json") == "json"
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            if (before := handler.formatter) is not None:
                handler.setFormatter(JsonFormatter() if is_json else Formatter(before._fmt, before.datefmt))
