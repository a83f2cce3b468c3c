"""SMILE: the binary JSON in which Druid keeps the raw value of a nested column, and which it hashes to order values.

Header `:)\\n` and one byte of flags (1 shared names, 2 shared values), then one value. Back references count the names,
or values, of up to 64 bytes seen so far; both tables begin anew after 1024 entries.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any

HEADER = b":)\n"
SHARED_VALUES = 2
SHARED_LIMIT = 1024
SHARED_BYTES = 64
END_OF_STRING = b"\xfc"
_DOUBLE_SHIFTS = tuple(range(63, -1, -7))
SIMPLE: dict[int, Any] = {0x20: "", 0x21: None, 0x22: False, 0x23: True}


def encode(value: Any) -> bytes:
    """A JSON value as Druid's mapper writes it: names shared, values not, binary raw."""
    out = bytearray(HEADER + b"\x05")
    _Encoder(out).value(value)
    return bytes(out)


def decode(data: bytes | memoryview) -> Any:
    """The JSON value in `data`.

    Raises
    ------
    ValueError
        The bytes are not SMILE.
    """
    data = bytes(data)
    if data[:3] != HEADER:
        raise ValueError("not SMILE: no header")
    return _Decoder(data, share_values=bool(data[3] & SHARED_VALUES)).value()


class _Decoder:
    def __init__(self, data: bytes, *, share_values: bool) -> None:
        self.data = data
        self.at = 4
        self.share_values = share_values
        self.names: list[str] = []
        self.values: list[str] = []

    def value(self) -> Any:
        token = self._byte()
        if token in SIMPLE:
            return SIMPLE[token]
        group = token >> 5
        if group == 0 and token:
            return self.values[token - 1]
        if group == 1:
            return self._number(token)
        if group in (2, 3):
            return self._short_text(token - 0x40 + 1)
        if group in (4, 5):
            return self._short_text(token - 0x80 + 2)
        if group == 6:
            return _zigzag(token & 31)
        return self._long_form(token)

    def _long_form(self, token: int) -> Any:
        if token in (0xE0, 0xE4):
            return self._until_end()
        if token == 0xE8:
            return self._seven_bit(self._vint())
        if 0xEC <= token <= 0xEF:
            return self.values[(token & 3) << 8 | self._byte()]
        if token == 0xF8:
            return self._array()
        if token == 0xFA:
            return self._object()
        if token == 0xFD:
            return self._take(self._vint())
        raise ValueError(f"unexpected SMILE token 0x{token:02X}")

    def _array(self) -> list[Any]:
        items = []
        while self.data[self.at] != 0xF9:
            items.append(self.value())
        self.at += 1
        return items

    def _object(self) -> dict[str, Any]:
        fields = {}
        while self.data[self.at] != 0xFB:
            name = self._name()
            fields[name] = self.value()
        self.at += 1
        return fields

    def _name(self) -> str:
        token = self._byte()
        if token == 0x20:
            return ""
        if 0x30 <= token <= 0x33:
            return self.names[(token & 3) << 8 | self._byte()]
        if token == 0x34:
            return self._until_end()
        if 0x40 <= token <= 0x7F:
            return self.names[token - 0x40]
        if 0x80 <= token <= 0xBF:
            length = token - 0x80 + 1
        elif 0xC0 <= token <= 0xF7:
            length = token - 0xC0 + 2
        else:
            raise ValueError(f"unexpected SMILE name token 0x{token:02X}")
        name = self._take(length).decode()
        _share(self.names, name)
        return name

    def _short_text(self, length: int) -> str:
        raw = self._take(length)
        text = raw.decode()
        if self.share_values and length <= SHARED_BYTES:
            _share(self.values, text)
        return text

    def _number(self, token: int) -> Any:
        if token in (0x24, 0x25):
            return _zigzag(self._vint())
        if token == 0x26:
            return int.from_bytes(self._seven_bit(self._vint()), "big", signed=True)
        if token == 0x28:
            return struct.unpack(">f", self._bits(5).to_bytes(4, "big"))[0]
        if token == 0x29:
            return struct.unpack(">d", self._bits(10).to_bytes(8, "big"))[0]
        if token == 0x2A:
            scale = _zigzag(self._vint())
            unscaled = int.from_bytes(self._seven_bit(self._vint()), "big", signed=True)
            return float(Decimal(unscaled).scaleb(-scale))
        raise ValueError(f"unexpected SMILE token 0x{token:02X}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _take(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self.data):
            raise ValueError("SMILE value ends early")
        return self.data[self.at - length : self.at]

    def _until_end(self) -> str:
        stop = self.data.index(END_OF_STRING, self.at)
        text = self.data[self.at : stop].decode()
        self.at = stop + 1
        return text

    def _vint(self) -> int:
        """Seven bits a byte, high ones first; the last byte has its top bit set and holds six."""
        number = 0
        while (byte := self._byte()) < 0x80:
            number = number << 7 | byte
        return number << 6 | byte & 0x3F

    def _bits(self, count: int) -> int:
        number = 0
        for byte in self._take(count):
            number = number << 7 | byte
        return number

    def _seven_bit(self, length: int) -> bytes:
        """`length` bytes kept as seven bits a byte; the last byte holds what bits are left, right-aligned."""
        whole, left = divmod(length * 8, 7)
        number = self._bits(whole)
        if left:
            number = number << left | self._byte()
        return number.to_bytes(length, "big")


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _share(table: list[str], text: str) -> None:
    if len(table) == SHARED_LIMIT:
        table.clear()
    table.append(text)


class _Encoder:
    def __init__(self, out: bytearray) -> None:
        self.out = out
        self.names: dict[str, int] = {}

    def value(self, value: Any) -> None:
        out = self.out
        if isinstance(value, str):
            out += _text(value)
        elif value is None:
            out.append(0x21)
        elif isinstance(value, bool):
            out.append(0x23 if value else 0x22)
        elif isinstance(value, int):
            _put_whole(out, value)
        elif isinstance(value, float):
            out.append(0x29)
            bits = struct.unpack(">Q", struct.pack(">d", value))[0]
            out += bytes([bits >> shift & 0x7F for shift in _DOUBLE_SHIFTS])
        elif isinstance(value, list):
            out.append(0xF8)
            for item in value:
                self.value(item)
            out.append(0xF9)
        else:
            out.append(0xFA)
            for name, item in value.items():
                self._name(name)
                self.value(item)
            out.append(0xFB)

    def _name(self, name: str) -> None:
        known = self.names.get(name)
        if known is not None:
            self.out += bytes((0x40 + known,)) if known < 64 else bytes((0x30 | known >> 8, known & 0xFF))
            return
        token, is_shared = _name_token(name)
        self.out += token
        if is_shared:
            if len(self.names) == SHARED_LIMIT:
                self.names.clear()
            self.names[name] = len(self.names)


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "replace")
    size = len(raw)
    if not size:
        return b"\x20"
    if value.isascii():
        return bytes((0x40 + size - 1,)) + raw if size <= 64 else b"\xe0" + raw + END_OF_STRING
    return bytes((0x80 + size - 2,)) + raw if size <= 65 else b"\xe4" + raw + END_OF_STRING


@lru_cache(maxsize=4096)
def _name_token(name: str) -> tuple[bytes, bool]:
    """A name at its first place, and whether later ones refer to that."""
    raw = name.encode("utf-8", "replace")
    size = len(raw)
    if not size:
        return b"\x20", False
    if name.isascii() and size <= SHARED_BYTES:
        return bytes((0x80 + size - 1,)) + raw, True
    if not name.isascii() and size <= 57:
        return bytes((0xC0 + size - 2,)) + raw, True
    return b"\x34" + raw + END_OF_STRING, size <= SHARED_BYTES


def _put_whole(out: bytearray, value: int) -> None:
    if -16 <= value < 16:
        out.append(0xC0 + _zigzagged(value))
    elif -(2**31) <= value < 2**31:
        out.append(0x24)
        out += _vint(_zigzagged(value))
    else:
        out.append(0x25)
        out += _vint(_zigzagged(value))


def _zigzagged(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _vint(number: int) -> bytes:
    """See `_Decoder._vint`."""
    low = [0x80 | number & 0x3F]
    number >>= 6
    while number:
        low.append(number & 0x7F)
        number >>= 7
    return bytes(reversed(low))
