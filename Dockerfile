# One image for every host of an event: pages, console, checks. compose.yaml shows it with PostgreSQL.
# tests/e2e/test_containers.py checks what can be checked without a container engine; NOTES.md says how it was built and run.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY trainer ./trainer
COPY arena ./arena
COPY data ./data
RUN python -m venv /build \
    && /build/bin/python -m pip install --no-cache-dir -c constraints.txt hatchling editables \
    && /build/bin/python -m pip wheel --no-cache-dir --no-build-isolation --no-deps -w /wheels . \
    && python -m venv /opt/arena \
    && /opt/arena/bin/python -m pip install --no-cache-dir -c constraints.txt "verse-arena[cluster] @ file://$(ls /wheels/*.whl)"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/arena /opt/arena
# Volumes begin with the owner of these folders: the event of this host, and the bundles of all hosts.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin arena \
    && install --directory --owner=arena --mode=700 /event /bundles
ENV PATH=/opt/arena/bin:$PATH ARENA_DIR=/event ARENA_LOG_FORMAT=json PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /event
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["arena"]
# In the container it listens on every address: publish the console's port on the host's loopback only.
CMD ["serve", "--lan", "0.0.0.0", "--console-host", "0.0.0.0"]
