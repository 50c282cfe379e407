"""Hashes and shuffles that are the same on every machine and in every version. Pure.

The order of the data is part of a checkpoint's meaning, so it must not hang on a library's random
numbers. A keyed permutation gives any element of a shuffle without computing the others: resuming
at sample 10^9 costs what resuming at 0 does.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Uint64Array = npt.NDArray[np.uint64]
Int64Array = npt.NDArray[np.int64]

ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(values: Uint64Array) -> Uint64Array:
    """Return a well-mixed 64-bit hash of each value (the finalizer of splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = np.asarray(values, np.uint64) + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def combine(*parts: int | Int64Array | Uint64Array) -> Uint64Array:
    """Return one hash of several numbers, elementwise over arrays."""
    result = np.zeros((), np.uint64)
    for part in parts:
        number = part & (2**64 - 1) if isinstance(part, int) else part
        result = mix(np.asarray(result ^ mix(np.asarray(number).astype(np.uint64))))
    return np.asarray(result, np.uint64)


def hash_text(text: str) -> int:
    """Return a 64-bit hash of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def permute(indices: Int64Array, sizes: int | Int64Array, keys: Uint64Array) -> Int64Array:
    """Return where each index lands in a shuffle of range(size); another key, another shuffle.

    A Feistel network over the next power of four, walked until the value is inside the range
    (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). Elementwise: every index may
    have a size and a key of its own.
    """
    indices = np.asarray(indices, np.int64)
    sizes = np.broadcast_to(np.asarray(sizes, np.int64), indices.shape)
    keys = np.broadcast_to(keys, indices.shape)
    half_bits = _half_bits(sizes)
    result = np.empty_like(indices)
    pending = np.arange(indices.size)
    values = indices.astype(np.uint64).ravel()
    sizes, keys, half_bits = sizes.ravel(), keys.ravel(), half_bits.ravel()
    flat = result.ravel()
    while pending.size:
        values = _feistel(values, half_bits[pending], keys[pending])
        is_inside = values < sizes[pending].astype(np.uint64)
        flat[pending[is_inside]] = values[is_inside].astype(np.int64)
        pending, values = pending[~is_inside], values[~is_inside]
    return flat.reshape(indices.shape)


def _half_bits(sizes: Int64Array) -> Uint64Array:
    bits = np.ceil(np.log2(np.maximum(sizes, 2).astype(np.float64)) / 2)
    return np.maximum(bits, 1).astype(np.uint64)


def _feistel(values: Uint64Array, half_bits: Uint64Array, keys: Uint64Array) -> Uint64Array:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (mix(right ^ mix(keys + np.uint64(number))) & mask)
    return (left << half_bits) | right
