# The page in a container: nobody's account, nothing written but /tmp, no secret inside.
#
#   docker build -t perfrdiff .
#   docker run --rm --read-only --tmpfs /tmp:rw,noexec,nosuid,size=4g --cap-drop ALL --security-opt no-new-privileges \
#     --pids-limit 512 --memory 6g -p 127.0.0.1:7860:7860 perfrdiff
#
# Who can reach it, -p decides: here this machine alone. For others name who may come in, in place of PERFRDIFF_PUBLIC:
# -e PERFRDIFF_PUBLIC=0 -e PERFRDIFF_AUTH=/run/visitors -v /path/of/visitors:/run/visitors:ro (a line NAME:PASSWORD each).
# Every limit is a variable, too: `perfrdiff page --help` names them.
#
# What draws is compiled at the start, half a minute, into /tmp: the root file system is never written.
# By tag, not by digest: this file was written where no registry could be asked. Put the digest that you have tested
# behind the tag (python:3.11-slim-bookworm@sha256:…) before you publish an image.
FROM python:3.11-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements.lock requirements-cuda.lock requirements-web.lock ./
RUN /app/.venv/bin/pip install --require-hashes --no-deps -r requirements.lock -r requirements-web.lock \
 && if /app/.venv/bin/python -c 'import importlib.metadata as m, sys; sys.exit(not any(r.startswith("nvidia") for r in m.requires("torch")))'; \
    then /app/.venv/bin/pip install --require-hashes --no-deps -r requirements-cuda.lock; fi
COPY . .
RUN /app/.venv/bin/pip install --no-deps --no-build-isolation --editable . \
 && /app/.venv/bin/perfrdiff web-libraries

FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 perfrdiff && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin perfrdiff
WORKDIR /app
COPY --from=build --chown=root:root /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib GRADIO_TEMP_DIR=/tmp GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PERFRDIFF_PUBLIC=1
USER 10001:10001
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "app.py"]
