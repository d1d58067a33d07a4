from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from uncork.report import charts
from uncork.report.svg import Axis

from .handmade import NASTY, details

Element = ElementTree.Element


def marks(root: Element, kind: str) -> list[Element]:
    return [e for e in root.iter() if e.get("class") == kind]


def number_of(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def reading(root: Element, kind: str, at: str) -> Any:
    """The linear map from position to value that a reader gets from the tick labels."""
    ticks = sorted((float(e.get(at, "nan")), number_of("".join(e.itertext()))) for e in marks(root, kind))
    (p0, v0), (p1, v1) = ticks[0], ticks[-1]
    return lambda p: v0 + (float(p) - p0) * (v1 - v0) / (p1 - p0)


def data(kind: str, name: str = "class") -> dict[str, Any]:
    return next(d.data for d in details(name) if d.kind == kind)


DRAWN = {
    "curve": charts.curve,
    "histogram": charts.histogram,
    "matrix": charts.matrix,
    "map": charts.scatter,
}


@pytest.mark.parametrize("kind", DRAWN)
def test_well_formed_whatever_the_names(kind: str) -> None:
    root = ElementTree.fromstring(DRAWN[kind](data(kind, NASTY)))
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert {e.tag for e in root.iter()} <= {
        "svg",
        "g",
        "line",
        "text",
        "title",
        "rect",
        "circle",
        "polygon",
        "polyline",
    }
    assert not [a for e in root.iter() for a in e.attrib if a.startswith("on") or "href" in a]


def test_curve_positions_are_the_numbers() -> None:
    curve = data("curve")
    root = ElementTree.fromstring(charts.curve(curve))
    x, y = reading(root, "tick x", "x"), reading(root, "tick y end", "y")
    offset = 4  # tick labels of y stand 4 below their line
    points = marks(root, "point")
    for point, x_true, y_true in zip(points, curve["x"], curve["y"], strict=True):
        assert x(point.get("cx")) == pytest.approx(x_true, abs=0.005)
        assert y(float(point.get("cy", "0")) + offset) == pytest.approx(y_true, abs=0.005)
    corners = [tuple(map(float, p.split(","))) for p in marks(root, "band")[0].get("points", "").split()]
    assert [y(c[1] + offset) for c in corners[:5]] == pytest.approx(curve["high"], abs=0.005)
    assert [y(c[1] + offset) for c in corners[:4:-1]] == pytest.approx(curve["low"], abs=0.005)
    assert marks(root, "diagonal")


def test_histogram_heights_are_the_counts() -> None:
    histogram = data("histogram")
    root = ElementTree.fromstring(charts.histogram(histogram))
    heights = [float(e.get("height", "nan")) for e in marks(root, "bin")]
    assert [h / heights[2] * 80 for h in heights] == pytest.approx(histogram["counts"], abs=0.1)


def test_matrix_shades_by_size() -> None:
    root = ElementTree.fromstring(charts.matrix(data("matrix")))
    shades = [float(e.get("fill-opacity", "nan")) for e in marks(root, "cell more")]
    assert shades == pytest.approx([0.6 * v / 50 for v in (40, 3, 7, 50)], abs=0.001)


@pytest.mark.parametrize(("wrong", "drawn"), [(0, 0), (83.2, 83), (1000, 1000)])
def test_dots_are_a_thousand(wrong: float, drawn: int) -> None:
    root = ElementTree.fromstring(charts.dots(wrong))
    counts = {e.get("class"): e.get("d", "").count("M") for e in root}
    assert counts == {"dots wrong": drawn, "dots right": 1000 - drawn}


def test_maps_are_thinned_and_say_so() -> None:
    n = 3 * charts.MOST_POINTS
    many = {"x": list(range(n)), "y": [0.0] * n, "group": ["a"] * n}
    svg = charts.scatter(many)
    assert svg.count("<circle") <= charts.MOST_POINTS + 1
    assert f"of {n} points" in svg
    for more in range(4):  # whatever the stride, the case that a map is about stays on it
        shown = charts.scatter(
            {"x": list(range(n + more)), "y": [0.0] * (n + more), "group": ["right"] * (n + more - 1) + ["this case"]}
        )
        assert shown.count('class="group here"') == 2  # the point, and its entry in the key


def test_gaps_and_flat_data_do_not_break_a_chart() -> None:
    gaps = {"x": [0, 1, 2], "y": [None, float("nan"), 3.0], "low": None, "high": None, "x_label": "x", "y_label": "y"}
    assert len(marks(ElementTree.fromstring(charts.curve(gaps)), "point")) == 1
    ElementTree.fromstring(charts.curve({"x": [], "y": [], "low": None, "high": None}))
    ElementTree.fromstring(charts.histogram({"edges": [1, 2], "counts": [0]}))
    ElementTree.fromstring(charts.matrix({"rows": [], "columns": [], "values": []}))
    ElementTree.fromstring(charts.scatter({"x": [], "y": [], "group": []}))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-22, 41), (1e-6, 3e-6), (5e6, 9e6), (0.999, 1.0)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    axis = Axis(low, high, 0, 480)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-12 <= t <= high + 1e-12 for t in ticks)
