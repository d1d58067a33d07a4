from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from uncork.data import images
from uncork.data.images import image_folder
from uncork.data.split import Split
from uncork.gather._contract import gatherers
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.artifacts import Pass
from uncork.schema.errors import BadInput
from uncork.schema.subject import Subject

RNG = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None, **how: object) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **how)
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """120 grey PNGs of 5 × 7 in two classes, every fourth in a folder inside its class."""
    for name in ("cat", "dog"):
        for i in range(60):
            save(tmp_path / "train" / name / ("inside" if i % 4 == 0 else ".") / f"{i:02d}.png", pixels(5, 7))
    return tmp_path / "train"


def test_pixels_labels_and_ids_as_they_are_stored(folder):
    split = image_folder(folder)
    assert (len(split), split.kind, split.notes) == (120, "array", ())
    assert split.ids[0] == "cat/01.png"
    assert "dog/inside/04.png" in split.ids.tolist()
    assert [str(name).split("/")[0] for name in split.ids] == split.y.tolist()
    rows = np.array([100, 3, 3])
    stored = [np.asarray(Image.open(folder / split.ids[row])) for row in rows]
    np.testing.assert_array_equal(split.take(rows), stored)
    assert image_folder(folder).ids.tolist() == split.ids.tolist()
    assert image_folder(folder, mode="RGB").take(rows).shape == (3, 5, 7, 3)
    assert image_folder(folder, size=4).take(rows).shape == (3, 4, 4)


def test_a_folder_without_folders_has_no_labels(folder):
    split = image_folder(folder / "cat" / "inside")
    assert split.y is None
    assert len(split) == 15


def test_other_modes_and_sizes_are_converted_and_counted(tmp_path):
    for i in range(20):
        save(tmp_path / "a" / f"{i}.png", pixels(6, 4, 3))
    colour, grey = pixels(6, 4, 3), pixels(6, 4)
    save(tmp_path / "a" / "rgba.png", np.dstack([colour, np.full((6, 4), 7, np.uint8)]))
    palette = np.stack([np.eye(6, 4, dtype=np.uint8) * 255] * 3, axis=2)
    save(tmp_path / "a" / "palette.png", palette, "P")
    save(tmp_path / "a" / "grey.png", grey)
    save(tmp_path / "a" / "sixteen.png", (grey.astype(np.uint16) * 257))
    save(tmp_path / "a" / "cmyk.tif", colour, "CMYK")
    save(tmp_path / "b" / "large.png", np.full((12, 8, 3), 90, np.uint8))
    split = image_folder(tmp_path)
    assert split.notes == (
        "1 of 26 images resized to 6 × 4, the commonest size",
        "5 of 26 images read as RGB: 1 of mode CMYK, 1 of mode I;16, 1 of mode L, 1 of mode P, 1 of mode RGBA",
    )
    found = dict(zip(split.ids.tolist(), split.take(np.arange(26)), strict=True))
    np.testing.assert_array_equal(found["a/rgba.png"], colour)
    np.testing.assert_array_equal(found["a/palette.png"], palette)
    for name in ("a/grey.png", "a/sixteen.png"):  # 16 bits are scaled, not cut at 255
        np.testing.assert_array_equal(found[name], np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(found["a/cmyk.tif"], colour)
    assert (found["b/large.png"] == 90).all()


def test_images_are_turned_upright(tmp_path):
    turned, exif = np.zeros((4, 6, 3), np.uint8), Image.Exif()
    turned[0] = 200  # its first row, which is the right column once turned
    exif[274] = 6
    for suffix in ("png", "tif", "webp"):
        save(tmp_path / "a" / f"turned.{suffix}", turned, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    save(tmp_path / "b" / "upright.png", np.zeros((6, 4, 3), np.uint8))
    split = image_folder(tmp_path)
    assert split.notes == ()  # all are 6 × 4 the right way up
    for image in split.take(np.arange(3)):
        assert (image[:, -1] == 200).all()
        assert (image[:, :-1] == 0).all()


def test_what_is_no_image_is_passed_over_and_counted(folder):
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()
    save(folder / ".cache" / "hidden.png", pixels(5, 7))
    (folder / "cat" / "Thumbs.db").write_bytes(b"x")
    (folder / "readme.txt").write_text("x")
    save(folder / "cover.png", pixels(5, 7))
    os.symlink(folder, folder / "dog" / "around")  # a circle
    split = image_folder(folder)
    assert len(split) == 120
    assert split.notes == (
        "2 hidden files passed over",
        "2 files passed over, being no images: cat/Thumbs.db, readme.txt",
        "1 image passed over outside of the classes' folders",
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "jpeg", "gif", "text", "floats", "deep"])
def test_below_one_percent_what_cannot_be_read_is_left_out(folder, damage):
    target = folder / "dog" / "01.png"
    if damage in ("jpeg", "gif"):
        target.unlink()
        target = target.with_suffix(f".{damage}")
        save(target, pixels(64, 64, 3))
    if damage in ("floats", "deep"):  # whole, but no scale is known that would make bytes of them
        target.unlink()
        target = target.with_suffix(".tif")
        save(
            target,
            RNG.normal(size=(5, 7)).astype(np.float32) if damage == "floats" else np.full((5, 7), 70_000, np.int32),
        )
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 255
    {
        "flipped": lambda: target.write_bytes(content),
        "empty": lambda: target.write_bytes(b""),
        "text": lambda: target.write_text("<html>404</html>"),
        "floats": lambda: None,
        "deep": lambda: None,
    }.get(damage, lambda: cut(target))()
    split = image_folder(folder)
    name = target.relative_to(folder).as_posix()
    assert len(split) == 119
    assert name not in split.ids.tolist()
    assert split.notes[0].startswith(f"1 image left out that can't be read: {name} (")
    assert np.bincount(split.y == "dog").tolist() == [60, 59]
    for other in ("dog/02.png", "cat/02.png"):
        cut(folder / other)
    with pytest.raises(BadInput, match=r"3 of 120 images can't be read: cat/02\.png.* \(below 1% they are left out"):
        image_folder(folder)


def test_a_file_damaged_later_is_named(folder):
    split = image_folder(folder)
    cut(folder / "cat" / "01.png")
    with pytest.raises(BadInput, match=r"cat/01\.png can't be decoded \(.*: replace or remove it"):
        split.take(np.array([0]))


@pytest.mark.parametrize("kept", [images.KEPT, 0])
def test_small_folders_are_decoded_once(folder, monkeypatch, kept):
    decoded = []
    monkeypatch.setattr(images, "KEPT", kept)
    monkeypatch.setattr(images, "_decoded", lambda *given, of=images._decoded: decoded.append(given[1]) or of(*given))
    split = image_folder(folder)
    first = split.take(np.array([5, 5, 2]))
    again = pickle.loads(pickle.dumps(split))
    np.testing.assert_array_equal(split.take(np.array([2, 5])), first[[2, 0]])
    assert len(decoded) == (2 if kept else 5)
    first += 1  # a batch is the caller's own
    np.testing.assert_array_equal(again.take(np.array([2])), split.take(np.array([2])))
    assert len(pickle.dumps(split)) < 20_000  # names, no pixels


def test_a_whole_jpeg_with_something_after_its_end_is_kept(tmp_path):
    for i in range(3):
        save(tmp_path / "a" / f"{i}.jpg", pixels(8, 8, 3))
    with (tmp_path / "a" / "0.jpg").open("ab") as file:
        file.write(b"trailer")
    assert len(image_folder(tmp_path)) == 3


def test_images_above_the_limit_of_pixels_stay_an_error(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(BadInput, match=r"png: Image size \(35 pixels\) exceeds limit of 30 pixels.*MAX_IMAGE_PIXELS"):
        image_folder(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: image_folder(root / "absent"), "there is no such folder"),
        (lambda root: image_folder(root.parent), "give one split, such as .*train"),
        (lambda root: image_folder(root / "empty"), "holds no images"),
        (lambda root: image_folder(root, mode="P"), "mode is 'P': give 'RGB' or 'L'"),
        (lambda root: image_folder(root, size=(3,)), r"size is \(3,\): give \(height, width\)"),
    ],
)
def test_errors_say_what_is_wrong(folder, make, message):
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=message):
        make(folder)


def test_importing_needs_no_pillow():
    code = "import sys, uncork.data.images; print('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


class Bright(nn.Module):
    """Tells bright images from dark ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2).float() / 255


def bright_and_dark(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for i in range(10):
            save(root / name / f"{i}.png", pixels(4, 4, 3) // 2 + (0 if name == "dark" else 128))
    return root


def test_folders_through_admission(tmp_path):
    """Class indices are sorted names, whatever splits hold; notes say which split they are of."""
    train = bright_and_dark(tmp_path / "images" / "train", ("dark", "light"))
    test = bright_and_dark(tmp_path / "images" / "test", ("dark", "light"))
    (test / "dark" / "note.txt").write_text("x")
    subject = Subject(Bright(), train=image_folder(train), test=image_folder(test), preprocess=scaled)
    admitted = admit(subject, describe_only=True, seed=0, fan=Executor())
    assert admitted.notes[0] == "test: 1 file passed over, being no images: dark/note.txt"
    assert admitted.context.subject.classes == ("dark", "light")
    data = gatherers()[Pass].gather(Pass("test"), admitted.context)
    assert not data.loss.max() > np.log(2)  # every row is decided rightly

    only = bright_and_dark(tmp_path / "only", ("light", "unseen"))
    with pytest.raises(BadInput, match=r"test\.y holds 'unseen' in row 10, but the classes are 'dark', 'light'"):
        admit(subject.replace(test=image_folder(only)), describe_only=True, seed=0, fan=Executor())
    three = Subject(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), test=image_folder(test), preprocess=scaled)
    with pytest.raises(BadInput, match=r"the labels name 2 classes \('dark', 'light'\), but the model has 3 outputs"):
        admit(three, describe_only=True, seed=0, fan=Executor())


def test_labels_that_are_indices_in_one_split_are_so_in_all():
    """Of classes called 1, 2 and 3, labels 1 and 2 could be names, were there no 0 elsewhere."""
    x = np.eye(2, dtype=np.float32)[np.arange(60) % 2]
    train, test = Split(x, np.arange(60) % 3), Split(x, 1 + np.arange(60) % 2)
    subject = Subject(nn.Linear(2, 3), train=train, test=test, classes=["1", "2", "3"])
    context = admit(subject, describe_only=True, seed=0, fan=Executor()).context
    assert np.unique(context.subject.test.y).tolist() == [1, 2]
    named = subject.replace(train=Split(x, 1 + np.arange(60) % 3))
    context = admit(named, describe_only=True, seed=0, fan=Executor()).context
    assert np.unique(context.subject.test.y).tolist() == [0, 1]


def test_names_of_a_split_that_lacks_a_class_keep_their_indices():
    """Sorted names of each split apart would call "b" 0 in test and 1 in train."""
    net = nn.Linear(2, 3)
    x = np.eye(2, dtype=np.float32)[np.arange(60) % 2]
    train, test = Split(x, np.array(list("abc"))[np.arange(60) % 3]), Split(x, np.array(list("bc"))[np.arange(60) % 2])
    context = admit(Subject(net, train=train, test=test), describe_only=True, seed=0, fan=Executor()).context
    assert np.unique(context.subject.test.y).tolist() == [1, 2]
