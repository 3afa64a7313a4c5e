"""How data are displayed: counts, sizes, and images as an HTML table with inline PNG."""

import base64
import html
import struct
import zlib

import numpy as np

MAX_ROWS, MAX_COLUMNS, MAX_SIDE = 20, 10, 64  # classes, images per class, pixels per image


def grouped(count):
    """Return a count with a space between thousands: 10 000."""
    return f"{count:,}".replace(",", " ")


def size_in_words(shape):
    """Return the shape of one image as text: 28x28x1; a grey image gets its one channel."""
    return "x".join(map(str, (*shape, 1) if len(shape) == 2 else shape)) or "1"


def png(image):
    """Return the bytes of a PNG file of a uint8 image, (height, width) or (height, width, 3)."""
    height, width = image.shape[:2]
    colour = 2 if image.ndim == 3 else 0
    rows = np.zeros((height, 1 + width * (3 if colour else 1)), np.uint8)  # filter 0, pixels
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = b"IHDR" + header, b"IDAT" + zlib.compress(rows.tobytes()), b"IEND"
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def image_table(caption, images, labels, classes):
    """Return an HTML table with the first images of each class, if they are uint8 images."""
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    is_image = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    lines = [f"<table><caption>{html.escape(caption)}</caption>"]
    if is_image and images.dtype == np.uint8 and min(images.shape[1:3]) > 0:
        for i, name in enumerate(classes[:MAX_ROWS]):
            lines.append(_row(name, images[np.flatnonzero(labels == i)[:MAX_COLUMNS]]))
        if (left := len(classes) - MAX_ROWS) > 0:
            lines.append(f"<tr><td>and {grouped(left)} more classes</td></tr>")
    return "\n".join([*lines, "</table>"])


def _row(name, images):
    """Return the table row of a class: its name, and its images side by side as one PNG."""
    step = -(-max(images.shape[1:3]) // MAX_SIDE)
    name, cell = html.escape(name), "no images"
    if len(images):
        strip = png(np.concatenate(list(images[:, ::step, ::step]), axis=1))
        source = f"data:image/png;base64,{base64.b64encode(strip).decode()}"
        cell = f'<img alt="{name}" src="{source}">'
    return f"<tr><th>{name}</th><td>{cell}</td></tr>"
