# A node and the command in one image. Build: docker build -t intelshare .
# The base is named by its tag; pin it by digest in your own registry.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
COPY treaties treaties
# Only what the lock pins by hash; the project itself needs no further download.
RUN python -m venv /opt/intelshare \
 && /opt/intelshare/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock \
 && /opt/intelshare/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin intelshare \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/intelshare /opt/intelshare
ENV PATH=/opt/intelshare/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["intelshare"]
CMD ["node", "run", "--folder", "/data/node"]
