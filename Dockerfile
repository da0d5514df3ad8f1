# The service with the Redis engine. docs/deploy.md says how to run it; tests/deployment checks this file.
#
#   docker build -t framekeep .
#   docker run --rm -p 127.0.0.1:8000:8000 -e API_KEYS="$(openssl rand -hex 24)" -v framekeep:/var/lib/framekeep framekeep

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src

# Dependencies change rarely, the code often: what is pinned comes first.
COPY constraints.txt ./
RUN pip install -c constraints.txt hatchling

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

# Wheels only: neither stage has a compiler, and what has no wheel should stop the build here.
RUN python -m venv --without-pip /opt/framekeep \
    && pip --python /opt/framekeep/bin/python install --only-binary :all: -c constraints.txt \
        "$(ls /dist/framekeep-*.whl)[server,redis]"


FROM python:3.11-slim

# Fixed, so that the owner of a volume is the same in every version of the image.
RUN groupadd --system --gid 10001 framekeep \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/framekeep \
        --shell /usr/sbin/nologin framekeep \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/framekeep

COPY --from=build /opt/framekeep /opt/framekeep

# STORAGE_DIR holds uploads while they are read and, without Redis, the sessions.
ENV PATH=/opt/framekeep/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STORAGE_DIR=/var/lib/framekeep
VOLUME ["/var/lib/framekeep"]

# Not the volume: a file .env there would be read.
WORKDIR /opt/framekeep
USER 10001:10001
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SERVE_PORT') or 8000), timeout=4); asked.request('GET', '/health'); sys.exit(asked.getresponse().status != 200)"]

# A public address needs API_KEYS; without them the service refuses to start.
ENTRYPOINT ["framekeep", "serve", "--host", "0.0.0.0"]
