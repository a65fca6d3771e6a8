# Built in two stages: what is needed to build stays in the first. docs/docker.md says how to use it.

FROM python:3.13-slim AS build

# For whoever needs another package index: docker build --build-arg PIP_INDEX_URL=https://...
ARG PIP_INDEX_URL

WORKDIR /build
COPY requirements/build.txt requirements/run.txt requirements/local.txt requirements/

RUN python -m venv /opt/build && \
    /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
RUN python -m venv /opt/gateway && \
    /opt/gateway/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements/run.txt -r requirements/local.txt

COPY pyproject.toml README.md LICENSE ./
COPY src src

# Everything it depends on is there already, with checked hashes; nothing more may be fetched.
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index \
        --wheel-dir dist . && \
    /opt/gateway/bin/python -m pip install --no-cache-dir --no-deps --no-index dist/*.whl


FROM python:3.13-slim

# The embedded model computes with OpenMP. Debian takes old versions away, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/*

RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin gateway && \
    install --directory --mode=0700 --owner=gateway --group=gateway /data

COPY --from=build /opt/gateway /opt/gateway

ENV PATH=/opt/gateway/bin:$PATH \
    HOME=/data \
    PYTHONUNBUFFERED=1 \
    CHATGPT_TO_API_DATA_DIR=/data \
    SERVER_HOST=0.0.0.0

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080

# It asks the gateway itself, past every proxy, at the port it was given. The first start fetches the
# embedded model, if that is what answers, before it listens.
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SERVER_PORT') or os.environ.get('PORT') or 8080), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["chatgpt-to-api"]
CMD ["serve"]
