"""What is stored comes back as it was, or is noticed and gathered again."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncork.gather import store as module
from uncork.gather._contract import Context
from uncork.gather.store import Store, decode, encode, write_atomically
from uncork.run.audit import gather_all
from uncork.run.folder import RunFolder
from uncork.run.plan import make_plan
from uncork.run.progress import Silent
from uncork.schema.artifacts import (
    Fingerprints,
    Pass,
    PassData,
    Profile,
    ProfileData,
    Trial,
    TrialData,
)
from uncork.schema.errors import BadInput, DiskFull
from uncork.testing.artifacts import a_pass, a_trial, calibrated_pass, fingerprints


@dataclasses.dataclass(frozen=True, eq=False)
class ThirdPartys:
    """An artifact of somebody else's gatherer."""

    flags: np.ndarray
    inner: PassData
    words: tuple[str, ...]
    figure: float | None


EMPTY = np.zeros(0, np.int64)
ARTIFACTS = {
    "pass": calibrated_pass(50, classes=4),
    "pass with features": PassData.of_logits(np.eye(3), np.arange(3), features=np.ones((3, 5))),
    "regression": PassData.of_values(np.arange(4.0), np.ones(4)),
    "no rows": a_pass(5, error=0).take(EMPTY),
    "fingerprints": fingerprints(train=np.arange(9), validation=EMPTY, test=np.arange(3), spiked=(100, 97)),
    "profile": ProfileData(None, 12, 7, np.array([1e-5, 2.0]), np.zeros(0), "cpu"),
    "trial": a_trial(a_pass(20, error=0.1)),
    "trial, unknown figure": dataclasses.replace(a_trial(a_pass(2, error=0)), screened=(float("inf"),), families=()),
    "a third party's": ThirdPartys(np.array([True, False]), a_pass(3, error=0), ("ü", ""), None),
}


def same(one: Any, other: Any) -> bool:
    """Equal in every field, with types and dtypes."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return bool(one == other)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    data = ARTIFACTS[name]
    assert same(decode(encode(data)), data)
    Store(tmp_path, "s").put(Pass(), data)
    assert same(Store(tmp_path, "s").get(Pass()), data)


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    data = a_pass(20, error=0.1)
    turned = dataclasses.replace(data, logits=np.asfortranarray(data.logits), loss=data.loss[::-1])
    again = decode(encode(turned))
    assert np.array_equal(again.logits, turned.logits)
    assert np.array_equal(again.loss, turned.loss)


def test_what_made_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(ARTIFACTS["a third party's"])
    monkeypatch.delitem(sys.modules, __name__)
    with pytest.raises(BadInput, match="ThirdPartys, which is not there"):
        decode(content)


def test_nothing_that_is_no_dataclass_is_made() -> None:
    content = encode(ARTIFACTS["profile"]).replace(b"ProfileData", b"ClassVar    "[:11])
    with pytest.raises(BadInput):
        decode(content)


def test_the_same_artifact_has_the_same_name(tmp_path: Path) -> None:
    store = Store(tmp_path, "subject")
    assert store.put(Pass(), a_pass(9, error=0)) == store.put(Pass(), a_pass(9, error=0))
    assert len(list(tmp_path.iterdir())) == 1


def test_another_subject_or_request_has_another_address(tmp_path: Path) -> None:
    Store(tmp_path, "one").put(Pass("validation"), a_pass(9, error=0))
    assert Store(tmp_path, "one").get(Pass("validation")) is not None
    assert Store(tmp_path, "other").get(Pass("validation")) is None
    for other in (Pass("train"), Pass("validation", rows=9), Pass("validation", features=True), Fingerprints()):
        assert Store(tmp_path, "one").get(other) is None


def test_subject_seed_and_version_make_the_address(context: Context, tmp_path: Path) -> None:
    """What a run calls its subject changes with data, weights, seed and uncork's own version."""
    from uncork.gather.fingerprints import gather as prints_of
    from uncork.run.identity import identity

    prints = prints_of.gather(Fingerprints(), context)
    about = identity(context, prints, {"kind": "python"}, describe_only=False)
    folder, _ = RunFolder.open(tmp_path / "run", about)
    folder.store(about).put(Pass(), a_pass(9, error=0))
    assert folder.store(about).get(Pass()) is not None
    weights = {**about["fingerprints"], "model": "other"}
    for changed in ({"seed": 1}, {"version": "99"}, {"fingerprints": weights}):
        assert folder.store({**about, **changed}).get(Pass()) is None, changed


@pytest.mark.parametrize("damage", ["one bit", "cut", "empty"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, "s")
    path = store.put(Pass(), calibrated_pass(50))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"one bit": bytes(content), "cut": bytes(content[:99]), "empty": b""}[damage])
    assert Store(tmp_path, "s").get(Pass()) is None
    assert [p.suffix for p in tmp_path.iterdir()] == [".damaged"]
    store.put(Pass(), calibrated_pass(50))
    assert same(Store(tmp_path, "s").get(Pass()), calibrated_pass(50))


def test_what_is_still_in_memory_is_not_read_again(tmp_path: Path) -> None:
    store, data = Store(tmp_path, "s"), calibrated_pass(50)
    store.put(Pass(), data).unlink()
    assert store.get(Pass()) is data
    assert Store(tmp_path, "s").get(Pass()) is None


def test_a_damaged_artifact_is_gathered_again(context: Context, tmp_path: Path) -> None:
    from uncork.probes._contract import registered

    store = Store(tmp_path, "s")
    plan = make_plan([registered()["miscalibration"]], context, 600.0)
    first, _ = gather_all(plan, context, store, Silent())
    stored = next(tmp_path.glob("pass-*.safetensors"))
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    second, failures = gather_all(plan, context, Store(tmp_path, "s"), Silent())
    assert not failures
    assert same(second[Pass("validation")], first[Pass("validation")])
    assert stored.read_bytes() == content


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["os.fsync", "os.fdopen", "os.replace"])
def test_a_full_disk_is_said_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = Store(tmp_path, "s")
    kept = store.put(Pass("train"), a_pass(9, error=0))
    monkeypatch.setattr(module.os, call.removeprefix("os."), full)
    with pytest.raises(DiskFull, match=r"disk is full.*same command again"):
        store.put(Pass(), a_pass(9, error=0))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [kept]


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A tmpfs of 64 kB, where this process may mount one."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("this process may not mount a file system")
    try:
        store = Store(disk, "s")
        kept = store.put(Pass("train"), a_pass(99, error=0))
        with pytest.raises(DiskFull):
            store.put(Pass(), a_pass(9999, error=0))
        assert list(disk.iterdir()) == [kept]
        assert same(store.get(Pass("train")), a_pass(99, error=0))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def refuse(number: int) -> Callable[..., None]:
    def make(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return make


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(module.tempfile, "mkstemp", refuse(number))
    with pytest.raises(BadInput, match=r"can't be written.*--out"):
        write_atomically(tmp_path / "report.json", "{}")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(BadInput, match="can't be written"):
        write_atomically(tmp_path / "run" / "report.json", "{}")


def test_other_faults_are_said_in_the_systems_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "fsync", refuse(errno.EIO))
    with pytest.raises(BadInput, match=os.strerror(errno.EIO)):
        write_atomically(tmp_path / "report.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the renaming, the old content stands."""
    path = tmp_path / "report.json"
    write_atomically(path, "old")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("report.json", "old")]


def test_requests_of_the_repository_are_stored_apart(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    for request, data in (
        (Pass(), "pass"),
        (Fingerprints(), "fingerprints"),
        (Profile(), "profile"),
        (Trial(), "trial"),
    ):
        store.put(request, ARTIFACTS[data])
    assert isinstance(store.get(Trial()), TrialData)
    assert isinstance(store.get(Profile()), ProfileData)
    assert isinstance(store.get(Pass()), PassData)
