# The wheel is built in one stage and installed in the next: no sources, compilers or caches in the image.
FROM python:3.12-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir "build>=1.2"
COPY pyproject.toml README.md ./
COPY streamsync streamsync
COPY lua lua
COPY sql sql
RUN python -m build --wheel --outdir /wheels

FROM python:3.12-slim
# Settings come from the environment, *_FILE and a secrets directory at run time; none is built in.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin streamsync
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl
# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
WORKDIR /tmp
# SIGTERM is what makes a worker hand its jobs back: the process must get it itself, hence no shell.
ENTRYPOINT ["streamsync"]
CMD ["--help"]
