"""Pictures as PNG in a data URI."""

from __future__ import annotations

import base64
import struct
import zlib

from uncork.schema.case import Picture


def png(picture: Picture) -> str:
    """Data URI of a PNG (RFC 2083): 8-bit RGB, no filter."""
    stride = 3 * picture.width
    lines = b"".join(b"\0" + picture.rgb[i * stride : (i + 1) * stride] for i in range(picture.height))
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    raw = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(raw).decode()}"
