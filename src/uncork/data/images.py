"""Images in files, one folder a class, decoded when they are taken."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from uncork.data.sources import Source
from uncork.data.split import Split
from uncork.schema.errors import BadInput, MissingExtra

MODES = ("RGB", "L")
KEPT = 2**28  # bytes of decoded images up to which they are kept
UNREADABLE = 0.01  # share of the images from which on a folder is refused
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm", ".pnm")
#: What Pillow may try: no format that runs another program (EPS) or is a document.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

_GREYS = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of EXIF's orientation
_ORIENTATION = 274
_JPEG_END = b"\xff\xd9"
_SHOWN = 3
_DEEP = 0xFFFF  # of 16 bits
_CARVED = {"train", "training", "test", "testing", "val", "valid", "validation"}


def image_folder(path: str | Path, *, size: int | tuple[int, int] | None = None, mode: str | None = None) -> Split:
    """A folder that holds a folder of images for each class → uint8 (b, h, w, 3) and the folders' names as labels.

    `mode`: "RGB", or "L" for grey images (b, h, w); default the commoner. `size`: (height, width), or one number for
    both; default the commonest. What is of another mode or size is converted, or resized (bilinear, stretched), and
    counted in `notes`. Images are turned upright as EXIF says, the first frame stands for an animation, transparency
    is dropped, 16 bits become 8. Folders inside a class belong to it; a folder of images alone has no labels. ids: the
    paths inside the folder. A torch net that takes (b, 3, h, w) needs
    Subject(preprocess=lambda x: x.permute(0, 3, 1, 2).float() / 255).

    Every file is checked here: its header; of a JPEG that it ends as one, of a PNG each part's checksum; any other, or
    one that fails this, is decoded. What can't be read is listed and left out. Damage inside a JPEG shows only as it
    is taken: then BadInput names the file, since a row can't vanish from a split.
    Raises BadInput for a folder without images, one of several splits, 1 % or more that can't be read, and images
    above Pillow's limit of pixels; MissingExtra without Pillow.
    """
    root = Path(path)
    if not root.is_dir():
        raise BadInput(f"{path}: there is no such folder")
    found = _found(root)
    classes = {name.split("/")[0] for name in found.images if "/" in name}
    if classes and {name.lower() for name in classes} <= _CARVED:
        some = sorted(classes)[0]
        raise BadInput(f"{path} holds the folders {', '.join(sorted(classes))}: give one split, such as {root / some}")
    names = sorted(name for name in found.images if "/" in name or not classes)
    if not names:
        raise BadInput(f"{path} holds no images ({', '.join(SUFFIXES)}): give a folder with one folder a class")
    found.outside = len(found.images) - len(names)
    source, kept = read_images([root / name for name in names], names, str(path), size=size, mode=mode)
    source.notes = (*source.notes, *found.notes())
    ids = np.array(names)[kept]
    return Split(source, [name.split("/")[0] for name in ids] if classes else None, ids=ids)


class _Found:
    """What stands in a folder: names of images with /, hidden files, names of others."""

    def __init__(self) -> None:
        self.images: list[str] = []
        self.others: list[str] = []
        self.hidden = self.outside = 0

    def notes(self) -> Iterator[str]:
        if self.hidden:
            yield f"{_counted(self.hidden, 'hidden file')} passed over"
        if self.others:
            yield f"{_counted(len(self.others), 'file')} passed over, being no images: {_some(sorted(self.others))}"
        if self.outside:
            yield f"{_counted(self.outside, 'image')} passed over outside of the classes' folders"


def _found(root: Path) -> _Found:
    found, seen = _Found(), set()
    for folder, inside, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above
            inside.clear()
            continue
        seen.add(real)
        found.hidden += sum(name.startswith(".") for name in inside)
        inside[:] = [name for name in inside if not name.startswith(".")]
        for file in files:
            name = (Path(folder) / file).relative_to(root).as_posix()
            if file.startswith("."):
                found.hidden += 1
            elif Path(file).suffix.lower() in SUFFIXES:
                found.images.append(name)
            else:
                found.others.append(name)
    return found


class Files(Protocol):
    """Paths of images, or their bytes, by position."""

    def __getitem__(self, row: int, /) -> Any: ...


class Images(Source):
    """Files (paths, or their bytes) as uint8 (b, h, w, 3), or (b, h, w) of mode "L"; each is read as it is taken.

    Of up to 256 MB in all the pixels are kept, so that training reads each file once.
    """

    def __init__(
        self,
        files: Files,
        names: Sequence[str],
        kept: np.ndarray,
        place: str,
        shape: tuple[int, int],
        mode: str,
    ) -> None:
        self._files, self._names, self._kept, self._place = files, names, kept, place
        self._shape, self._mode = shape, mode
        self._pixels: np.ndarray | None = None
        self._read: np.ndarray | None = None  # which rows' pixels are there

    def __len__(self) -> int:
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pixels": None, "_read": None}  # workers read the files themselves

    def take(self, rows: np.ndarray) -> np.ndarray:
        size = (*self._shape,) if self._mode == "L" else (*self._shape, 3)
        if len(self) * math.prod(size) > KEPT:
            return self._decoded(rows, np.empty((len(rows), *size), np.uint8))
        if self._pixels is None or self._read is None:
            self._pixels, self._read = np.empty((len(self), *size), np.uint8), np.zeros(len(self), bool)
        new = np.unique(rows[~self._read[rows]])
        self._pixels[new] = self._decoded(new, np.empty((len(new), *size), np.uint8))
        self._read[new] = True
        return np.asarray(self._pixels[rows])

    def _decoded(self, rows: np.ndarray, batch: np.ndarray) -> np.ndarray:
        for i, row in enumerate(self._kept[rows]):
            try:
                batch[i] = _decoded(self._files[row], self._names[row], self._shape, self._mode)
            except _Unreadable as error:
                raise BadInput(
                    f"{self._place}: {self._names[row]} can't be decoded ({error}), though its header is whole: "
                    "replace or remove it, and give the same command again"
                ) from None
        return batch


class _Unreadable(Exception):
    """A file that Pillow can't read, and why."""


def read_images(
    files: Files, names: Sequence[str], place: str, *, size: int | tuple[int, int] | None, mode: str | None
) -> tuple[Images, np.ndarray]:
    """(the images that can be read, their positions in `files`); see `image_folder`. `names` stand in messages."""
    if mode is not None and mode not in MODES:
        raise BadInput(f"mode is {mode!r}: give 'RGB' or 'L'")
    shape = _shape(size)
    looks: dict[int, tuple[str, tuple[int, int]]] = {}
    broken: dict[int, str] = {}
    for i, name in enumerate(names):
        try:
            looks[i] = _looked_at(files[i], name)
        except _Unreadable as error:
            broken[i] = f"{name} ({error})"
    if broken and len(broken) >= UNREADABLE * len(names):
        raise BadInput(
            f"{place}: {len(broken)} of {len(names)} images can't be read: {_some(list(broken.values()))}: replace or "
            f"remove them (below {UNREADABLE:.0%} they are left out)"
        )
    shapes = Counter(shape for _, shape in looks.values())
    modes = Counter(mode for mode, _ in looks.values())
    grey = sum(n for name, n in modes.items() if name in _GREYS)
    to_shape = shape or shapes.most_common(1)[0][0]
    to_mode = mode or ("L" if 2 * grey > len(looks) else "RGB")
    kept = np.array(list(looks), np.int64)
    source = Images(files, names, kept, place, to_shape, to_mode)
    resized = len(looks) - shapes[to_shape]
    converted = {name: n for name, n in sorted(modes.items(), key=lambda item: (-item[1], item[0])) if name != to_mode}
    notes = []
    if broken:
        notes.append(f"{_counted(len(broken), 'image')} left out that can't be read: {_some(list(broken.values()))}")
    if resized:
        why = "" if shape else ", the commonest size"
        notes.append(f"{resized} of {_counted(len(looks), 'image')} resized to {to_shape[0]} × {to_shape[1]}{why}")
    if converted:
        each = ", ".join(f"{n} of mode {name}" for name, n in converted.items())
        notes.append(f"{sum(converted.values())} of {_counted(len(looks), 'image')} read as {to_mode}: {each}")
    source.notes = tuple(notes)
    return source, kept


def _shape(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(not isinstance(side, int) or side < 1 for side in sides):
        raise BadInput(f"size is {size!r}: give (height, width) in pixels, or one number for both")
    return sides


def _looked_at(file: Any, name: str) -> tuple[str, tuple[int, int]]:
    """(mode, (height, width)) of an image the right way up. Raises _Unreadable where it is seen not to be whole."""
    with _opened(file, name) as image:
        mode = image.mode
        if mode == "F":
            raise _Unreadable("32-bit floats, whose range is not known")
        if image.format != "PNG" and not (image.format in ("JPEG", "MPO") and _ends_as_jpeg(file)):
            image.load()
            if mode == "I" and not 0 <= image.getextrema()[0] <= image.getextrema()[1] <= _DEEP:
                raise _Unreadable("32-bit integers, whose range is not known")
        width, height = image.size
        # Of a PNG without it, getexif() would decode all of the image to look for it at the end.
        told = image.format != "PNG" or "exif" in image.info
        if told and image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
            width, height = height, width
        if image.format == "PNG":
            image.verify()
    return mode, (height, width)


def _ends_as_jpeg(file: Any) -> bool:
    if isinstance(file, bytes):
        return file.rstrip(b"\0").endswith(_JPEG_END)
    with open(file, "rb") as handle:
        handle.seek(-min(4096, os.path.getsize(file)), os.SEEK_END)
        return handle.read().rstrip(b"\0").endswith(_JPEG_END)


def _decoded(file: Any, name: str, shape: tuple[int, int], mode: str) -> np.ndarray:
    with _opened(file, name) as image:
        from PIL import Image, ImageOps

        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            # Pillow itself would cut all above 255.
            upright = Image.fromarray((np.asarray(upright).astype(np.int64) // 257).astype(np.uint8))
        elif upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")
        upright = upright.convert(mode)
        if upright.size != shape[::-1]:
            upright = upright.resize(shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(upright)


@contextmanager
def _opened(file: Any, name: str) -> Iterator[Any]:
    """Raises _Unreadable where Pillow fails, BadInput for images above its limit of pixels."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingExtra("images", "reading images") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(
            f"{name}: {str(error).rstrip('.')}: remove the file, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from None
    except (BadInput, _Unreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise _Unreadable("no image of a known format") from None
    except Exception as error:  # decoders raise whatever the broken bytes lead to
        raise _Unreadable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__) from None


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", … ({len(names):,} in all)" if len(names) > _SHOWN else "")
