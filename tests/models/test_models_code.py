from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from uncork.models.code import code_fingerprint

PROGRAM = """
import functools
import numpy as np
import torch
from torch import nn
from uncork.models.code import code_fingerprint
MEAN = {mean}
def helper(x):
    return x * {factor}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, {width})
class Scale:
    def __init__(self, by):
        self.by = by
    def __call__(self, x):
        return x * self.by
by = torch.tensor({by})
def make():
    array = np.full(3, {by})
    return lambda x: x * array
for fn in (lambda x: (x - MEAN) in {{"a", "b", "c"}}, lambda x: helper(x), lambda: Net(), Scale({by}),
           functools.partial(helper, {by}), make(), lambda x: [helper(v) for v in x], nn.Flatten(), lambda x: x * by,
           Scale({by}).__call__):
    print(code_fingerprint(fn))
"""


@functools.cache
def prints(mean: float = 0.5, factor: int = 2, width: int = 4, by: float = 1.5) -> tuple[str, ...]:
    code = PROGRAM.format(mean=mean, factor=factor, width=width, by=by)
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    return tuple(done.stdout.split())


def test_the_same_in_every_process():
    prints.cache_clear()
    first = prints()
    prints.cache_clear()
    assert prints() == first
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        pytest.param({"mean": 0.6}, {0}, marks=pytest.mark.slow),
        pytest.param({"factor": 3}, {1, 4, 6}, marks=pytest.mark.slow),
        pytest.param({"width": 5}, {2}, marks=pytest.mark.slow),
        ({"by": 2.5}, {3, 4, 5, 8, 9}),
    ],
)
def test_what_a_callable_depends_on_counts_and_nothing_else_does(change, changed):
    assert {i for i, (a, b) in enumerate(zip(prints(), prints(**change), strict=True)) if a != b} == changed


def test_functions_that_name_themselves_end():
    def forever(n: int) -> int:
        return forever(n - 1)

    assert code_fingerprint(forever) == code_fingerprint(forever)
    assert code_fingerprint(np.mean) != code_fingerprint(np.sum)


def build(helpers: str, body: str) -> object:
    """A function `f` of a program that calls `a`, `b`, `c`."""
    space: dict[str, object] = {"__name__": "user"}
    exec(compile(f"{helpers}\ndef f(x):\n    {body}", "user.py", "exec"), space)
    return space["f"]


def test_an_edit_to_any_called_helper_counts():
    """Hashing makes lists that are freed at once; their ids must not pass for those of helpers seen later."""
    names = [f"h{i}" for i in range(12)]
    body = "return " + " + ".join(f"{name}(x)" for name in names)

    def program(edited: int | None) -> object:
        return build(
            "\n".join(f"def {n}(x):\n    return [x, {99 if i == edited else i}]" for i, n in enumerate(names)), body
        )

    base = code_fingerprint(program(None))
    assert code_fingerprint(program(None)) == base
    assert len({base, *(code_fingerprint(program(i)) for i in range(12))}) == 13


CLASS = """
class Base:
    def inherited(self, x):
        return x + {inherited}
class User(Base):
    factor = {factor}
    @staticmethod
    def fixed(x):
        return x * {fixed}
    @property
    def half(self):
        return {half}
"""


def test_all_that_a_class_does_counts():
    def of(**changed: int) -> str:
        code = CLASS.format(**{"inherited": 1, "factor": 2, "fixed": 3, "half": 4, **changed})
        return code_fingerprint(build(code, "return User().fixed(x)"))

    assert of() == of()
    assert len({of(), *(of(**{name: 9}) for name in ("inherited", "factor", "fixed", "half"))}) == 5


def test_a_long_chain_of_calls_is_read_in_no_time() -> None:
    """Quoting text inside text would double its backslashes at each of 40 levels; the innermost still counts."""
    space: dict[str, Any] = {}
    for number in range(40):
        exec(f"def f{number}(x): return {f'f{number - 1}(x)' if number else 'x + 1'}", space)
    before = code_fingerprint(space["f39"])
    exec("def f0(x): return x + 2", space)
    assert code_fingerprint(space["f39"]) != before
