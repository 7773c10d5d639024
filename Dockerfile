# One image for every process of the product; compose.yaml says which command is which.
# The tests run on this version of Python. Whoever wants the very bytes pins the digest, too (docs/production.md).
FROM python:3.11.14-slim-trixie AS packages

RUN ["python", "-m", "venv", "/venv"]
COPY requirements.txt /
RUN ["/venv/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:", "--requirement", "/requirements.txt"]
COPY . /killswitch
# The file system is read-only later.
RUN ["/venv/bin/python", "-m", "compileall", "-q", "/killswitch"]


FROM python:3.11.14-slim-trixie

# Celery takes a group that has no name for root's.
RUN ["useradd", "--uid", "10001", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", "killswitch"]
COPY --from=packages /venv /venv
COPY --from=packages /killswitch /killswitch
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WEB_BIND=0.0.0.0:8000
WORKDIR /killswitch
# A number, so that whoever runs it can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "killswitch.ask_healthz"]
CMD ["gunicorn", "-c", "killswitch/gunicorn.conf.py", "killswitch.wsgi"]
