"""The web process: `gunicorn -c killswitch/gunicorn.conf.py killswitch.wsgi`."""

import os

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
worker_class = "gthread"
threads = 16  # a page may wait for the broker; a press must still find a free thread
timeout = 60
graceful_timeout = 10
# Longer than a page waits between two questions, and than a proxy keeps a connection (nginx: 60 s): a press must not
# leave on one that is being closed here.
keepalive = 75
limit_request_line = 8190  # a selection of 150 orders stands in an address; proxies take no longer ones either
logger_class = "killswitch.web_log.Log"
control_socket_disable = True


def on_starting(server: object) -> None:
    # Read the settings before any worker starts: a missing one ends the start with its one line.
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "killswitch.settings")
    django.setup()

    from killswitch import starting

    starting.begins("web")


def post_worker_init(worker: object) -> None:
    from killswitch import starting
    from killswitch.kills.operations import warm_doorbell

    starting.goes_on()
    warm_doorbell()
