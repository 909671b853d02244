# Builds from the tree: docker build -t understudy .
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build hatchling && python -m build --wheel --no-isolation --outdir /wheels

FROM python:3.12-slim
COPY requirements/runtime.txt /tmp/runtime.txt
RUN pip install --no-cache-dir -r /tmp/runtime.txt
COPY --from=build /wheels/*.whl /tmp/
# libgomp1 is for the embedded model; bubblewrap is the code interpreter's jail, which is off and says so without the
# rights that docs/deployment.md names
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap libgomp1 && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir --no-deps /tmp/understudy-*.whl && rm -rf /tmp/* \
    && useradd --uid 10001 --create-home understudy && mkdir /kept && chown understudy /kept
USER understudy
ENV UNDERSTUDY_DATA_DIR=/kept UNDERSTUDY_HOST=0.0.0.0 UNDERSTUDY_LOG_FORMAT=json
VOLUME /kept
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"
ENTRYPOINT ["understudy"]
CMD ["serve"]
