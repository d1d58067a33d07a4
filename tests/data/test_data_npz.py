from __future__ import annotations

import numpy as np
import pytest

from uncork.data.npz import from_npz
from uncork.schema.errors import BadInput

X, Y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6) % 2


def test_arrays_by_name(tmp_path):
    names, groups = np.array(list("abcdef")), np.array([0, 0, 1, 1, 2, 2])
    when = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]")
    np.savez(tmp_path / "d.npz", x=X, y=Y, z=X + 1, name=names, group=groups, when=when)
    split = from_npz(tmp_path / "d.npz", id="name", groups="group", time="when")
    np.testing.assert_array_equal(split.take(np.arange(6)), X)
    assert (split.y.tolist(), split.ids.tolist()) == (Y.tolist(), names.tolist())
    assert split.groups.tolist() == groups.tolist()
    assert (np.diff(split.times) == 86_400 * 10**9).all()
    other = from_npz(tmp_path / "d.npz", x="z", target="group")
    np.testing.assert_array_equal(other.take(np.arange(6)), X + 1)
    assert other.y.tolist() == groups.tolist()
    assert from_npz(tmp_path / "d.npz", target=None).y is None


def test_several_arrays_are_a_mapping(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", x_left=X, x_right=X[:, :1], y=Y)
    batch = from_npz(tmp_path / "d.npz").take(np.array([4, 1]))
    assert {name: part.tolist() for name, part in batch.items()} == {"left": [[8, 9], [2, 3]], "right": [[8], [2]]}


def test_without_labels(tmp_path):
    np.savez(tmp_path / "d.npz", x=X)
    assert from_npz(tmp_path / "d.npz").y is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"x": "q"}, "has no array 'q': it has x, y, things"),
        ({"target": "label"}, "has no array 'label': it has x, y, things"),
        ({"target": "things"}, "the array 'things' holds Python objects, which are not unpickled"),
        ({"x": "things"}, "the array 'things' holds Python objects"),
    ],
)
def test_arrays_that_are_not_there_or_are_pickled(tmp_path, asked, message):
    np.savez(tmp_path / "d.npz", x=X, y=Y, things=np.array(["a", None] * 3, object))
    with pytest.raises(BadInput, match=message):
        from_npz(tmp_path / "d.npz", **asked)


def test_files_that_are_none(tmp_path):
    with pytest.raises(BadInput, match="there is no such file"):
        from_npz(tmp_path / "absent.npz")
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:200])
    with pytest.raises(BadInput, match=r"can't be read as \.npz"):
        from_npz(tmp_path / "cut.npz")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(BadInput, match="holds one array without a name"):
        from_npz(tmp_path / "one.npy")
