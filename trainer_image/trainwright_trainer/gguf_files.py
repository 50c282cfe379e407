"""Makes transformers read a GGUF file once instead of four times, and quicker.

transformers parses the whole file anew for config, tokenizer and weights, through a memory map object
for each of its hundred thousand strings, and builds a table of tensor names for every submodule. For
a 135M model that is most of the 14 s that loading takes. What is patched here is gguf's reader, not
what is read; without this module all works the same, only slower.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quick_gguf(gguf_file: str | None) -> Iterator[None]:
    """Speed up what the block loads from a GGUF file; nothing to do without one.

    The parsed file stays in memory for the next block; `forget_gguf` lets it go.
    """
    if gguf_file is None:
        yield
        return
    import gguf

    reader, name_map = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = _read  # type: ignore[misc,assignment]
    gguf.get_tensor_name_map = functools.lru_cache(name_map)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, name_map  # type: ignore[misc]


def forget_gguf() -> None:
    """Free the parsed file."""
    _read.cache_clear()


@functools.lru_cache(maxsize=1)
def _read(path: str) -> Any:
    """Return gguf's reader of a file, with plain arrays where it makes memory map objects."""
    import gguf
    import numpy as np

    class Reader(gguf.gguf_reader.GGUFReader):
        _plain: Any = None

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            if self._plain is None:
                self._plain = self.data.view(np.ndarray)
            size = int(count) * np.dtype(dtype).itemsize
            found = self._plain[offset : offset + size].view(dtype)[: int(count)]
            order = override_order or self.byte_order
            return found if order == "I" else found.view(found.dtype.newbyteorder(order))

    return Reader(path)
