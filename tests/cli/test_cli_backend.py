"""`--backend` and `--address`: where an audit and a treatment retrain."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_helpers import HEALTHY, Cli


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--backend", "threads"], "uncork: backend 'threads' is not known: use one of loky, dask, ray"),
        (
            ["--address", "127.0.0.1:9"],
            "uncork: address '127.0.0.1:9' is of a cluster: say which kind, backend dask or ray",
        ),
    ],
)
def test_what_can_not_be_used(given: list[str], message: str, cli: Cli, subject_file: Callable[..., str]) -> None:
    said = cli("audit", subject_file(), *given)
    assert (said.code, said.message) == (2, message)
    assert not Path("runs").exists()
    assert cli("audit", subject_file(), "--probes", "overfitting", "-q").code == 0
    said = cli("treat", "runs/s", *given)
    assert (said.code, said.message) == (2, message)


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_an_extra_that_is_absent(
    backend: str, cli: Cli, subject_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncork.run.executor.find_spec", lambda name: None)
    said = cli("audit", subject_file(), "--backend", backend)
    assert said.code == 2
    assert said.message == f"uncork: backend '{backend}' needs an extra: pip install 'uncork[{backend}]'"


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_the_same_finding_on_a_cluster(backend: str, package: str, cli: Cli, subject_file: Callable[..., str]) -> None:
    if find_spec(package) is None:
        pytest.skip(f"uncork[{backend}] is not installed")
    spec = subject_file(HEALTHY)
    found = []
    for name in ("loky", backend):
        said = cli("audit", spec, "--probes", "wrong-family", "--backend", name, "--out", name, "-q")
        assert said.code == 0, said.err
        (finding,) = json.loads(Path(name, "report.json").read_text())["findings"]
        found.append({key: finding[key] for key in ("verdict", "estimates", "headroom")})
    assert found[0] == found[1]
