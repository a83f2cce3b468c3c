"""LZF, read only: the chunked form of Java's `compress-lzf`.

A block is a run of chunks: `'Z' 'V'`, u8 kind, then kind 0 (stored): u16 length and the bytes; kind 1: u16 compressed
length, u16 plain length and the compressed bytes. In those, a control byte < 32 copies that many + 1 literal bytes;
any other copies `(control >> 5) + 2` bytes (7 in the top bits: one more byte of length follows) from
`((control & 31) << 8 | next byte) + 1` bytes back.
"""

from __future__ import annotations

STORED = 0
HEADER = b"ZV"


def decompress(data: bytes | memoryview) -> bytes:
    """The plain bytes of `data`.

    Raises
    ------
    ValueError
        The bytes are not LZF chunks.
    """
    data = bytes(data)
    out = bytearray()
    at = 0
    while at < len(data):
        if data[at : at + 2] != HEADER or at + 5 > len(data):
            raise ValueError("not an LZF chunk")
        kind = data[at + 2]
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if kind == STORED:
            out += data[at + 5 : at + 5 + length]
            at += 5 + length
            continue
        plain = int.from_bytes(data[at + 5 : at + 7], "big")
        before = len(out)
        _expand(data, at + 7, at + 7 + length, out)
        if len(out) - before != plain:
            raise ValueError(f"an LZF chunk gives {len(out) - before} bytes instead of {plain}")
        at += 7 + length
    return bytes(out)


def _expand(data: bytes, at: int, stop: int, out: bytearray) -> None:
    while at < stop:
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[at]
            at += 1
        length += 2
        start = len(out) - ((control & 31) << 8 | data[at]) - 1
        at += 1
        if start < 0:
            raise ValueError("an LZF back reference points before its block")
        piece = out[start : start + length]
        while len(piece) < length:  # overlapping copy: the piece repeats
            piece += piece[: length - len(piece)]
        out += piece
