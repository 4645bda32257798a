"""Single arrays of `.npz` files: of thousands of runs nothing is read that is not needed, or that another run holds alike.

What `numpy.savez` writes is a ZIP archive of uncompressed `.npy` files, so an array is read where it lies. Its checksum, which
ZIP keeps, is compared, and it tells without reading whether two files hold the same array.
"""

from __future__ import annotations

import ast
import functools
import mmap
import os
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

END, ENTRY, LOCAL = struct.Struct("<4s4H2LH"), struct.Struct("<4s4B4HL2L5H2L"), struct.Struct("<26x2H")
LARGE = 0xFFFFFFFF  # stands for a number that is elsewhere, as in files of over 4 GB
MAGIC = b"\x93NUMPY\x01"


class Entry(NamedTuple):
    """An array in the file: two with the same checksum and size are the same."""

    checksum: int
    size: int
    at: int


NONE = Entry(-1, -1, -1)


class StoredArrays:
    """The arrays of one file by name.

    Raises:
      ValueError: the file is no archive of uncompressed arrays. It may still be one that numpy reads.
      OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ValueError("is empty")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.entries = _entries(self._data)
        self._kept: dict[str, np.ndarray] = {}

    def read(self, names: Iterable[str], alike: StoredArrays) -> dict[str, np.ndarray]:
        """Returns arrays, which cannot be written to; those that the file `alike` holds, too, are its own, and kept by it."""
        return {
            name: alike._own(name) if alike.entries.get(name, NONE)[:2] == self.entries[name][:2] else self._array(name)
            for name in names
        }

    def _own(self, name: str) -> np.ndarray:
        if name not in self._kept:
            self._kept[name] = self._array(name)
        return self._kept[name]

    def _array(self, name: str) -> np.ndarray:
        entry = self.entries[name]
        first = entry.at + LOCAL.size + sum(LOCAL.unpack_from(self._data, entry.at))
        content = memoryview(self._data)[first : first + entry.size]
        if len(content) != entry.size or zlib.crc32(content) != entry.checksum:
            raise ValueError(f"{name} is broken")
        if content[: len(MAGIC)] != MAGIC:
            raise ValueError(f"{name} is no array")
        begins = 10 + int.from_bytes(content[8:10], "little")
        dtype, in_columns, shape = _header(bytes(content[10:begins]))
        if not dtype.itemsize or 0 in shape:
            return np.zeros(shape, dtype)
        return np.frombuffer(content[begins:], dtype).reshape(shape, order="F" if in_columns else "C")


def _entries(data: mmap.mmap) -> dict[str, Entry]:
    end = data.rfind(b"PK\x05\x06")
    if end < 0 or len(data) < end + END.size:
        raise ValueError("is no archive")
    *_, count, _, at, _ = END.unpack_from(data, end)
    found = dict[str, Entry]()
    for _ in range(count):
        if data[at : at + 4] != b"PK\x01\x02" or at + ENTRY.size > end:
            raise ValueError("is no archive")
        fields = ENTRY.unpack_from(data, at)
        (flags, method), (checksum, packed, size, length, extra, comment), where = fields[5:7], fields[9:15], fields[18]
        if method or flags & 1 or packed != size or LARGE in (size, where):
            raise ValueError("holds compressed arrays")
        name = data[at + ENTRY.size : at + ENTRY.size + length].decode("utf-8")
        found[name.removesuffix(".npy")] = Entry(checksum, size, where)
        at += ENTRY.size + length + extra + comment
    return found


@functools.lru_cache(maxsize=4096)
def _header(text: bytes) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """The type, order and shape that the header of an `.npy` file says."""
    said = ast.literal_eval(text.decode("latin1"))
    dtype = np.dtype(said["descr"])
    if dtype.hasobject:
        raise ValueError("holds pickled objects")
    return dtype, said["fortran_order"], said["shape"]
