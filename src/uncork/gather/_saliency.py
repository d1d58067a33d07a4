"""What one output depends on: a model as a function of numbers, the parts of a row, and three ways of rating them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from scipy.ndimage import sobel
from scipy.special import softmax
from torch import nn

from uncork.data.split import Split
from uncork.models.base import Model, frame_matrix, is_frame
from uncork.models.tensors import call, place, reference, to_tensors
from uncork.models.torch_model import TorchModel, evaluating
from uncork.models.wrapped import Wrapped
from uncork.schema.errors import BadInput, MissingExtra, Unavailable

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Many = Float[np.ndarray, "n ..."]

STEPS = 32  # of integrated gradients' quadrature (Gauss-Legendre)
AT_ONCE = 256  # changed rows in one forward pass
SIDE = 16  # patches of a picture, at most, each way
MOST_PARTS, MOST_WINDOWS = 65_536, 1_024
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Face:
    """A model as a function of rows of floats (b, *shape), after `preprocess` where there is a module.

    `rows`: (split, positions) → such rows. `logits`: (b, *shape) → (b, K) of the complete model. `core`: the torch
    model whose gradients stand for the complete model's, since wrappers only move its logits; None where there is none.
    """

    shape: tuple[int, ...]
    rows: Callable[[Split, np.ndarray], Many]
    logits: Callable[[Many], Float[np.ndarray, "n k"]]
    core: TorchModel | None
    wrappers: tuple[Wrapped, ...] = ()

    def probability(self, x: Many, decided: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Of the decided class; rows in batches of AT_ONCE, whatever the caller's."""
        found = np.empty(len(x), np.float32)
        for start in range(0, len(x), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            p = softmax(self.logits(x[part]).astype(np.float64), axis=1)
            found[part] = p[np.arange(len(p)), decided[part]]
        return found

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """The core's logits (b, K), differentiable, on the CPU; of one output z: (−z, z). Predicted values (b, 1) in
        regression."""
        assert self.core is not None
        out = call(self.core.module, place(x, reference(self.core.module))).reshape(len(x), -1).cpu()
        if self.core.task == "regression":
            return out
        if self.core._probabilities:
            out = torch.logit(out, 1e-6) if out.shape[1] == 1 else out.clamp_min(1e-12).log()
        return torch.cat([-out, out], dim=1) if out.shape[1] == 1 else out

    def reinitialised(self, seed: int) -> Face | None:
        """The same with the last layer's weights drawn anew; None where no layer with weights ran, or the module can't
        be copied, or the layer's weights are worked out from others (weight norm and the like), and so stay."""
        assert self.core is not None
        core = copy.copy(self.core)
        try:
            core.module = copy.deepcopy(self.core.module)
        except Exception:  # whatever a user's module may hold
            return None
        last = _last(core.module, _WEIGHTED, lambda: face_of_core(core, ()).logits(np.zeros((1, *self.shape), "f4")))
        own = dict(last.named_parameters(recurse=False)) if last is not None else {}
        if "weight" not in own:
            return None
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            cast(Any, last).reset_parameters()
        return face_of_core(core, self.wrappers, self.shape)


def face_of(model: Model, split: Split, at: np.ndarray) -> Face:
    """The model as a function of numbers, for the rows of `split` at these positions.

    Wrappers are seen through where they only move logits on these rows; else nothing is known of what is inside.
    Raises Unavailable where rows are no numbers.
    """
    if not model.has_inputs:
        raise Unavailable("only predictions were given: what they depend on needs the model and the rows themselves")
    wrappers: list[Wrapped] = []
    inner: Any = model
    while not isinstance(inner, TorchModel) and hasattr(inner, "inner"):
        wrappers[:0] = [inner] if isinstance(inner, Wrapped) else []
        inner = inner.inner
    face = Face((), _numbers, _answers_of(model, split), None)
    if isinstance(inner, TorchModel) and inner.n_outputs == model.n_outputs:
        through = face_of_core(inner, tuple(wrappers))
        own, whole = through.logits(through.rows(split, at)), model.outputs(split.take(at)).logits
        face = through if np.allclose(own, whole, rtol=1e-3, atol=1e-3) else face
    return replace(face, shape=face.rows(split, at[:1]).shape[1:])


def face_of_core(core: TorchModel, wrappers: tuple[Wrapped, ...], shape: tuple[int, ...] = ()) -> Face:
    bare = copy.copy(core)
    bare.preprocess = None

    def rows(split: Split, at: np.ndarray) -> Many:
        batch = to_tensors(split.take(at), core.preprocess)
        if not isinstance(batch, torch.Tensor) or not batch.is_floating_point():
            raise Unavailable(
                "the model reads tokens, whole numbers or several inputs: what it depends on is only told of real ones"
            )
        return batch.detach().cpu().to(torch.float32).numpy()

    def logits(x: Many) -> Float[np.ndarray, "n k"]:
        out = bare.outputs(x).logits
        for wrapper in wrappers:
            out = wrapper.moved(out)
        return out

    return Face(shape, rows, logits, core, wrappers)


def _numbers(split: Split, at: np.ndarray) -> Many:
    batch = split.take(at)
    try:
        values = frame_matrix(batch) if is_frame(batch) else np.asarray(batch, dtype=np.float32)
    except (BadInput, ValueError, TypeError):
        raise Unavailable(
            "rows hold text or categories, or several inputs: what a decision depends on is only told of numbers"
        ) from None
    if not np.isfinite(values).all():
        raise Unavailable("rows hold missing values, which can't be replaced by a mean and compared")
    return cast("Many", values)


def _answers_of(model: Model, split: Split) -> Callable[[Many], np.ndarray]:
    like = split.take(np.arange(1))

    def answers(x: Many) -> np.ndarray:
        batch: Any = x
        if is_frame(like):
            batch = type(like)(dict(zip(like.columns, x.T, strict=True)))
        return model.outputs(batch).logits

    return answers


@dataclass(frozen=True)
class Parts:
    """What of a row is rated and replaced together: its columns, or patches of a picture, at most 16 × 16.

    `of`: (size,) the part of each number of a flattened row. `grid`: (columns,), or (height, width) in patches.
    `axes`: of a picture's height and width in a row; none of columns. `patch`: height and width of a patch.
    """

    of: Int[np.ndarray, " size"]
    grid: tuple[int, ...]
    axes: tuple[int, ...] = ()
    patch: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return int(np.prod(self.grid))

    def summed(self, values: Many) -> Float[np.ndarray, "n u"]:
        """(n, *shape) → sum over each part."""
        flat = values.reshape(len(values), -1)
        return np.stack([np.bincount(self.of, weights=row, minlength=self.count) for row in flat])

    def pixels(self, values: Many) -> Float[np.ndarray, "n h w"]:
        """(n, *shape) of pictures, summed over channels."""
        channels = tuple(1 + i for i in range(values.ndim - 1) if i not in self.axes)
        return cast("Many", values.sum(axis=channels))


def parts_of(shape: tuple[int, ...]) -> Parts:
    """Rows of two or three axes are taken for pictures; channels are the first unless only the last is 4 or fewer.

    Raises Unavailable where a row has fewer than two parts, or more axes or numbers than are looked at.
    """
    size = int(np.prod(shape))
    if len(shape) > 3 or not 2 <= size <= MOST_PARTS:
        raise Unavailable(
            f"rows of shape {shape}: parts are told of columns and pictures of 2 to {MOST_PARTS:,} numbers"
        )
    if len(shape) == 1:
        return Parts(np.arange(size), (size,))
    axes = (0, 1) if len(shape) == 2 or (shape[2] <= 4 < shape[0]) else (1, 2)
    patch = tuple(-(-shape[a] // SIDE) for a in axes)
    grid = tuple(-(-shape[a] // p) for a, p in zip(axes, patch, strict=True))
    at = np.indices(shape)
    return Parts(((at[axes[0]] // patch[0]) * grid[1] + at[axes[1]] // patch[1]).ravel(), grid, axes, patch)


def require_captum() -> None:
    """Raises MissingExtra."""
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise MissingExtra("explain", "attribution") from None


@dataclass(frozen=True)
class Rated:
    """Attributions (n, *shape) by method; of `occlusion` and `grad_cam` numbers of one part or pixel share a value."""

    maps: dict[str, Many]
    left_out: dict[str, str]


def rate(
    face: Face, parts: Parts, x: Many, baseline: Many, decided: Int[np.ndarray, " n"], *, steps: int = STEPS
) -> Rated:
    """What each number of the rows adds to the logit of the class decided, by every method that can be used.

    baseline: (1, *shape). In regression of the predicted value; `decided` is then 0.
    """
    maps: dict[str, Many] = {}
    left_out: dict[str, str] = {}
    if face.core is None:
        why = "there is no torch module at the core of the model, and so no gradient"
        left_out = {"integrated_gradients": why, "grad_cam": why}
    else:
        with evaluating(face.core.module), torch.enable_grad():
            try:
                maps["integrated_gradients"] = _integrated_gradients(face, x, baseline, decided, steps)
                cam = _grad_cam(face, parts, x, decided)
                if cam is None:
                    left_out["grad_cam"] = "the model has no convolution over pictures"
                else:
                    maps["grad_cam"] = cam
            except RuntimeError as error:  # the module detaches, or works in place
                why = f"the model can't be differentiated ({str(error).splitlines()[0]})"
                left_out.update({name: why for name in ("integrated_gradients", "grad_cam") if name not in maps})
    if windows(parts) > MOST_WINDOWS:
        left_out["occlusion"] = f"{parts.count:,} columns: beyond {MOST_WINDOWS:,} they are not left out one by one"
    else:
        maps["occlusion"] = _occlusion(face, parts, x, baseline, decided)
    return Rated(maps, left_out)


def _integrated_gradients(face: Face, x: Many, baseline: Many, decided: np.ndarray, steps: int) -> Many:
    from captum.attr import IntegratedGradients

    found = IntegratedGradients(face.scores).attribute(
        torch.from_numpy(x),
        baselines=torch.from_numpy(baseline),
        target=torch.from_numpy(decided),
        n_steps=steps,
        internal_batch_size=AT_ONCE,
    )
    return cast("Many", found.detach().float().cpu().numpy())


def _grad_cam(face: Face, parts: Parts, x: Many, decided: np.ndarray) -> Many | None:
    """Of the last Conv2d that runs, without its ReLU: what speaks against the class ranks below what says nothing."""
    from captum.attr import LayerAttribution, LayerGradCam

    assert face.core is not None
    if len(parts.grid) != 2:
        return None
    layer = _last(face.core.module, (nn.Conv2d,), lambda: face.scores(torch.from_numpy(x[:1])))
    if layer is None:
        return None
    cam = LayerGradCam(face.scores, layer).attribute(torch.from_numpy(x), target=torch.from_numpy(decided))
    size = tuple(x.shape[1 + a] for a in parts.axes)
    wide = LayerAttribution.interpolate(cam.detach().float().cpu(), size, "bilinear").numpy()[:, 0]
    missing = tuple(1 + i for i in range(x.ndim - 1) if i not in parts.axes)
    return np.broadcast_to(np.expand_dims(wide, missing), x.shape)


def _last(module: nn.Module, kinds: tuple[type, ...], run: Callable[[], Any]) -> nn.Module | None:
    """The submodule of these kinds that runs last."""
    seen: list[nn.Module] = []
    hooks = [
        part.register_forward_pre_hook(lambda part, _: seen.append(part))
        for part in module.modules()
        if isinstance(part, kinds)
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen[-1] if seen else None


def window(parts: Parts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers each way of what is left out at once, and of a step to the next: a column, or a quarter of a picture's
    patches by steps of half of that."""
    if len(parts.grid) == 1:
        return (1,), (1,)
    quarter = [-(-g // 4) for g in parts.grid]
    size = tuple(q * p for q, p in zip(quarter, parts.patch, strict=True))
    step = tuple(-(-q // 2) * p for q, p in zip(quarter, parts.patch, strict=True))
    return size, step


def windows(parts: Parts) -> int:
    """Changed rows for each row."""
    size, step = window(parts)
    whole = [g * p for g, p in zip(parts.grid, parts.patch or (1,), strict=True)]
    return int(np.prod([-(-max(w - s, 0) // t) + 1 for w, s, t in zip(whole, size, step, strict=True)]))


def _occlusion(face: Face, parts: Parts, x: Many, baseline: Many, decided: np.ndarray) -> Many:
    from captum.attr import Occlusion

    def forward(rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(face.logits(rows.numpy())))

    size, step = list(x.shape[1:]), list(x.shape[1:])
    for axis, s, t in zip(parts.axes or (0,), *window(parts), strict=True):
        size[axis], step[axis] = min(s, size[axis]), t
    step = [min(a, b) for a, b in zip(step, size, strict=True)]
    found: torch.Tensor = Occlusion(forward).attribute(
        torch.from_numpy(x),
        sliding_window_shapes=tuple(size),
        strides=tuple(step),
        baselines=torch.from_numpy(baseline),
        target=torch.from_numpy(decided),
        perturbations_per_eval=max(1, AT_ONCE // len(x)),
    )
    rated: Many = found.float().numpy()
    return rated


def edges(parts: Parts, x: Many) -> Float[np.ndarray, "n u"]:
    """Strength of edges (Sobel) in each patch of the pictures' mean over channels."""
    grey = parts.pixels(x)
    strength = np.hypot(sobel(grey, axis=1), sobel(grey, axis=2))
    missing = tuple(1 + i for i in range(x.ndim - 1) if i not in parts.axes)
    return parts.summed(np.broadcast_to(np.expand_dims(strength, missing), x.shape))


def ranks(values: Float[np.ndarray, "n u"], rng: np.random.Generator) -> Int[np.ndarray, "n u"]:
    """(n, u) place of each part, the largest first; parts that are rated alike in random order."""
    order = np.lexsort((rng.random(values.shape), -values), axis=1)
    return np.argsort(order, axis=1)


def replaced(
    face: Face,
    parts: Parts,
    x: Many,
    baseline: Many,
    decided: Int[np.ndarray, " n"],
    place_of: Int[np.ndarray, "n u"],
    counts: Int[np.ndarray, " s"],
) -> Float[np.ndarray, "n s"]:
    """Probability of the decided class with the `counts` first-ranked parts replaced by the baseline."""
    first = place_of[:, parts.of].reshape(x.shape)
    curves = [face.probability(np.where(first < count, baseline, x), decided) for count in counts]
    return np.stack(curves, axis=1)
