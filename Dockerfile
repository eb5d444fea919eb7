# docker build -t advbench .                                         the default image has Python
# docker build --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 -t advbench .
# docker build --build-arg TORCH_INDEX=URL -t advbench .              PyTorch's CPU index: 4.6 GB less
# docker run --rm advbench                                           the first command of the README
ARG BASE=python:3.13-slim-bookworm
FROM ${BASE}

# hadolint ignore=DL3008  # a base without Python; its own release keeps the version
RUN if ! command -v python3 > /dev/null; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3 -m venv /opt/advbench \
    && useradd --create-home --uid 10001 researcher

ARG TORCH_INDEX=""
WORKDIR /src
COPY constraints.txt ./
RUN /opt/advbench/bin/pip install --no-cache-dir --constraint constraints.txt \
      ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY . .
RUN /opt/advbench/bin/pip install --no-cache-dir --constraint constraints.txt .

ENV PATH=/opt/advbench/bin:$PATH
USER 10001
WORKDIR /home/researcher
ENTRYPOINT ["advbench"]
CMD ["attack", "--defense", "round", "--bpda"]
