"""What the camera of a phone in the last row sees of the stage, and whether a decoder reads the QR code in it.

The model: a 12-megapixel camera, 4,032 pixels across a field of 65 degrees, six screen widths in front of the screen,
held a little crooked, with a lens that blurs by half a pixel and a sensor with noise. So the screen is 527 pixels wide.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageFilter

PIXELS, FIELD = 4_032, math.radians(65)  # across
WIDTHS = 6.0  # from the screen, of the screen
BLUR = 0.5  # pixels of the camera
NOISE = 6.0  # of 255
DARK_ROOM = 0.12  # of full white: what a projector's black is, by the light of the room


def screen_pixels(widths: float = WIDTHS) -> float:
    """How many pixels of the camera the screen is wide."""
    return PIXELS / (2 * math.tan(FIELD / 2) * widths)


def photograph(screenshot: bytes, number: int, widths: float = WIDTHS) -> Image.Image:
    """One photograph of the screen; the number says how the phone is held."""
    rng = np.random.default_rng(number)
    picture = Image.open(io.BytesIO(screenshot)).convert("L")
    scale = screen_pixels(widths) / picture.width
    picture = picture.rotate(float(rng.uniform(-3, 3)), Image.Resampling.BICUBIC, expand=True, fillcolor=20)
    left, top = rng.uniform(0, 1 / scale, 2)  # where the sensor's pixels begin
    size = (int(picture.width * scale) - 1, int(picture.height * scale) - 1)
    box = (float(left), float(top), float(left + size[0] / scale), float(top + size[1] / scale))
    picture = picture.filter(ImageFilter.GaussianBlur(BLUR / scale)).resize(size, Image.Resampling.BOX, box)
    seen = np.asarray(picture, np.float64) * (1 - DARK_ROOM) + 255 * DARK_ROOM + rng.normal(0, NOISE, size[::-1])
    return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))


def read_codes(picture: Image.Image) -> list[str]:
    """The QR codes that a decoder finds. Scanners enlarge what they see, as this does."""
    import zxingcpp

    found = zxingcpp.read_barcodes(np.asarray(picture), formats=zxingcpp.BarcodeFormat.QRCode)
    if not found:
        large = picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.BICUBIC)
        found = zxingcpp.read_barcodes(np.asarray(large), formats=zxingcpp.BarcodeFormat.QRCode)
    return [code.text for code in found]
