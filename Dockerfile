# tuneserve with its trainer and its server, for one NVIDIA GPU:
#   docker build -t tuneserve .                                   # in China: --build-arg MIRROR=tuna
#   docker run --rm --gpus all --ipc=host -v "$PWD:/work" tuneserve run shop.yaml --no-serve
# Without a GPU: --build-arg DEVICE=cpu, and no --gpus.
FROM python:3.12-slim-bookworm

ARG DEVICE=cuda
ARG MIRROR=

# Triton compiles its kernels with a C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential=12.9 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/tuneserve
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY trainer trainer
COPY serve serve
COPY eval eval
COPY scripts scripts
# The driver belongs to the machine that runs the image, not to the one that builds it.
RUN CUDA_VISIBLE_DEVICES="" TUNESERVE_DEVICE="$DEVICE" PIP_NO_CACHE_DIR=1 \
    bash scripts/setup.sh ${MIRROR:+--mirror "$MIRROR"} \
    && useradd --create-home --uid 1000 tuneserve

ENV PATH=/opt/tuneserve/.venv/bin:$PATH \
    HF_HOME=/work/.cache/huggingface \
    MODELSCOPE_CACHE=/work/.cache/modelscope \
    TUNESERVE_CACHE=/work/.cache/tuneserve
USER 1000
WORKDIR /work
ENTRYPOINT ["tuneserve"]
CMD ["--help"]
