from __future__ import annotations

import json

import pytest
from torch import nn

from uncork.schema.errors import BadInput
from uncork.train.recipe import Recipe


def build(width: float = 1.0) -> nn.Module:
    return nn.Linear(4, int(3 * width))


@pytest.mark.parametrize(("rows", "expected"), [(1, 7), (31, 7), (32, 7), (33, 14), (320, 70)])
def test_steps(rows, expected):
    assert Recipe(build, epochs=7, batch_size=32).steps(rows) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "recipe.epochs is 0: give a whole number of 1 or more"),
        ({"epochs": 2.5}, "recipe.epochs is 2.5"),
        ({"batch_size": 0}, "recipe.batch_size is 0"),
        ({"lr": 0.0}, "recipe.lr is 0.0: give a learning rate above 0"),
        ({"lr": float("nan")}, "recipe.lr is nan"),
        ({"weight_decay": -1.0}, "recipe.weight_decay is -1.0"),
        ({"optimizer": "lion"}, "recipe.optimizer is 'lion': use one of adamw, adam, sgd, muon, soap"),
        ({"schedule": "linear"}, "recipe.schedule is 'linear': use one of cosine, constant, step"),
        ({"loss": "mse"}, "recipe.loss is of type str: give a callable"),
        ({"build": 3}, "recipe.build is of type int: give a callable"),
        ({"build": nn.Linear(1, 1)}, "recipe.build is a module: give a function"),
    ],
)
def test_arguments_are_checked(settings, message):
    with pytest.raises(BadInput) as error:
        Recipe(**{"build": build, "epochs": 1, **settings})
    assert message in str(error.value)


def test_width_and_depth_go_to_builds_that_take_them():
    recipe = Recipe(build, epochs=1)
    assert recipe.make().out_features == 3
    assert recipe.make(width=2.0).out_features == 6
    assert recipe.takes("width")
    assert not recipe.takes("depth")
    with pytest.raises(BadInput, match=r"recipe.build takes no 'depth'"):
        recipe.make(depth=2)
    with pytest.raises(BadInput, match="can't be called with nothing"):
        Recipe(lambda width: build(width), epochs=1).make()
    with pytest.raises(BadInput, match=r"recipe.build returns int"):
        Recipe(lambda: 3, epochs=1).make()


def test_scaled_and_decayed():
    recipe = Recipe(build, epochs=1)
    assert recipe.scaled(4).make().out_features == 12
    assert recipe.scaled(4).scaled(0.5).default("width") == 2.0
    assert Recipe(lambda width=6: nn.Linear(4, width), epochs=1).scaled(0.25).make().out_features == 2
    assert Recipe(lambda: nn.Linear(4, 3), epochs=1).scaled(4) is None
    assert recipe.decayed(30).weight_decay == pytest.approx(0.3)
    assert recipe.replace(weight_decay=0).decayed(10).weight_decay == pytest.approx(0.1)
    assert recipe.replace(weight_decay=0, optimizer="sgd").decayed(10).weight_decay == pytest.approx(5e-3)


def test_replace_and_describe():
    recipe = Recipe(build, epochs=3, loss=nn.MSELoss(reduction="none"))
    other = recipe.replace(lr=0.5)
    assert (other.lr, other.epochs, recipe.lr) == (0.5, 3, 1e-3)
    said = recipe.describe()
    assert json.loads(json.dumps(said)) == said
    assert said == Recipe(build, epochs=3, loss=nn.MSELoss(reduction="none")).describe()
    assert said["build"].startswith("build ")
    assert said != other.describe()
    with pytest.raises(BadInput, match=r"recipe.lr is -1"):
        recipe.replace(lr=-1)


def test_describe_follows_the_code():
    one, two = (Recipe(lambda: nn.Linear(4, 3), epochs=1), Recipe(lambda: nn.Linear(4, 5), epochs=1))
    assert one.describe()["build"] != two.describe()["build"]
