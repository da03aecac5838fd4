# Two images from one file:
#   docker build --target serving  -t catalog-tagger .
#   docker build --target training -t catalog-tagger-training .
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY pyproject.toml README.md ./
COPY catalog ./catalog
COPY db ./db
COPY worker ./worker
COPY trainer ./trainer
COPY review ./review
COPY bundles ./bundles

FROM base AS training
RUN pip install '.[train]' && useradd --create-home --uid 10001 tagger
USER tagger
WORKDIR /home/tagger
ENTRYPOINT ["tagger"]
CMD ["train", "--help"]

FROM base AS serving
RUN pip install '.[stores]' && useradd --create-home --uid 10001 tagger
USER tagger
WORKDIR /home/tagger
# A volume mounted here takes its owner from it.
RUN mkdir state
ENTRYPOINT ["tagger"]
CMD ["--help"]
