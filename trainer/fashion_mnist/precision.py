"""Which arithmetic a training step uses: float32, or bfloat16 where the machine is built for it.

Weights, averages and the optimizer stay float32 either way, and so does the saved model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from trainer.fashion_mnist.config import AUTO, BFLOAT16, FLOAT32

# AMX, and the older instructions that multiply pairs of bfloat16.
CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
CPU_INFO = Path("/proc/cpuinfo")


def resolved(precision: str, cpu_info: Path = CPU_INFO) -> str:
    """`precision`, or for `auto` bfloat16 where a GPU or the CPU multiplies it faster."""
    if precision != AUTO:
        return precision
    return BFLOAT16 if has_gpu() or has_bfloat16(cpu_info) else FLOAT32


def has_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Whether the CPU has instructions for bfloat16; False where the system does not say."""
    try:
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not CPU_FLAGS.isdisjoint(flags.split())


def has_gpu() -> bool:
    """Whether Keras's backend sees a GPU."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return bool(keras.distribution.list_devices("gpu"))


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Layers built inside multiply in `precision`; their variables stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == BFLOAT16 else before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
