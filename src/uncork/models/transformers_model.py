"""Transformers from a folder of this machine: sequence classifiers and encoders, and the tokens that they read.

Nothing is looked up on a network, no code that a folder may hold is run, and weights are read from safetensors alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from uncork.models.torch_model import TorchModel
from uncork.schema.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Float

HEADED = "ForSequenceClassification"
NO_LIMIT = 1_000_000  # tokenizers without a length say about 1e30
SHIFTED = ("roberta", "camembert", "mpnet", "longformer", "bigbird")  # positions count from after the padding's
POOLINGS = ("mean", "cls", "last")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
FILES = (*TOKENIZERS, "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
BESIDE = ("special_tokens_map.json", "added_tokens.json", "sentence_bert_config.json")  # which change what is read


class Tokens:
    """A preprocess: list of str → {name: int64 tensor (b, longest)}, as the model in `folder` takes it.

    `most`: tokens read of a text, with those that mark its ends; by default as many as model and tokenizer take. What
    lies beyond is not read: `note` counts it. It travels to other processes as its folder. Raises BadInput for a folder
    without a tokenizer, and for rows that are no texts; MissingExtra without transformers.
    """

    def __init__(self, folder: str | Path, most: int | None = None) -> None:
        self.folder, self._asked = Path(folder).resolve(), most
        self._beyond: dict[bytes, int] = {}
        if most is not None and most < 1:
            raise BadInput(f"most is {most}: give how many tokens of a text are read, 1 or more")
        _config(self.folder)
        if not any((self.folder / name).is_file() for name in FILES):
            raise BadInput(
                f"{self.folder} holds no tokenizer (none of {', '.join(FILES)}): save it beside the model with "
                "tokenizer.save_pretrained(folder)"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_asked": self._asked, "_beyond": {}}

    def __repr__(self) -> str:
        content = b"".join(path.read_bytes() for name in (*FILES, *BESIDE) if (path := self.folder / name).is_file())
        return f"Tokens(most={self.most}, files {hashlib.blake2b(content, digest_size=8).hexdigest()})"

    @property
    def padded(self) -> bool:
        """Whether rows are filled up at their end alone, so that what is beyond a row's own tokens can be cut off."""
        return bool(self._tokenizer.padding_side == "right")

    @cached_property
    def most(self) -> int | None:
        """Tokens read of a text; None where neither model nor tokenizer has a limit."""
        known = [self._tokenizer.model_max_length, _positions(_config(self.folder))]
        known.append(_json(self.folder / "sentence_bert_config.json").get("max_seq_length"))
        limits = [limit for limit in known if limit is not None and 0 < limit < NO_LIMIT]
        if self._asked is not None and limits and self._asked > min(limits):
            raise BadInput(f"most is {self._asked}, but the model in {self.folder} reads {min(limits)} tokens at most")
        return self._asked or min(limits, default=None)

    @cached_property
    def _tokenizer(self) -> Any:
        from_pretrained = _transformers("reading texts").AutoTokenizer.from_pretrained
        try:
            with _quietly():
                tokenizer = from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # of whatever reads the kind of file that it is
            raise BadInput(
                f"{self.folder} holds no tokenizer that can be read ({_first(error)}): save it again"
            ) from None
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise BadInput(
                f"{self.folder}: its tokenizer has nothing to pad with: give it a pad_token and save it again"
            )
        return tokenizer

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            what = type(texts).__name__
            if isinstance(texts, list | tuple):
                what += " with " + type(next(text for text in texts if not isinstance(text, str))).__name__
            raise BadInput(f"x: the model reads texts but gets {what}: give Split(list of str, y)")
        tokens = self._tokens(list(texts))
        if not bool(tokens["attention_mask"].any(dim=1).all()):  # of an empty text some tokenizers make no token at all
            tokens = self._tokens([text or self._tokenizer.pad_token for text in texts])
        self._count(texts, tokens["attention_mask"].sum(dim=1))
        return tokens

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        cut = {} if self.most is None else {"truncation": True, "max_length": self.most}
        return dict(self._tokenizer(texts, padding=True, return_tensors="pt", return_attention_mask=True, **cut))

    def _count(self, texts: Sequence[str], lengths: torch.Tensor) -> None:
        """Takes note of the tokens that were cut off."""
        full = [] if self.most is None else [texts[i] for i in torch.nonzero(lengths == self.most).flatten().tolist()]
        keys = {hashlib.blake2b(text.encode(), digest_size=8).digest(): text for text in full}
        new = {key: text for key, text in keys.items() if key not in self._beyond}
        if new:
            assert self.most is not None
            whole = self._tokenizer(list(new.values()), verbose=False)["input_ids"]
            self._beyond |= {key: len(ids) - self.most for key, ids in zip(new, whole, strict=True)}

    @property
    def note(self) -> str:
        """How many of the texts read so far were longer than what is read of one."""
        beyond = [tokens for tokens in self._beyond.values() if tokens > 0]
        if not beyond:
            return ""
        many = "1 text is" if len(beyond) == 1 else f"{len(beyond):,} texts are"
        return f"{many} longer than the {self.most} tokens that are read of one: {sum(beyond):,} tokens go unread"


class TextEncoder(nn.Module):
    """Tokens → features (b, d): the last layer's vectors of each text as one.

    `pooling`: "mean" over its tokens, that of the first ("cls"), or of its "last". `normalised`: to length 1.
    """

    def __init__(self, body: nn.Module, pooling: str = "mean", *, normalised: bool = False) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise BadInput(f"pooling is {pooling!r}: use one of {', '.join(POOLINGS)}")
        self.body, self.pooling, self.normalised = body, pooling, normalised

    @property
    def width(self) -> int:
        """d."""
        config: Any = self.body.config
        return int(config.hidden_size)

    @property
    def depth(self) -> int:
        """Layers one after the other; 0 where they stand in no list of their own."""
        return len(_layers(self.body)[1])

    def keep_layers(self, depth: int) -> None:
        """Leaves out all layers but the first `depth`. Raises BadInput where there aren't as many."""
        if not 1 <= depth <= self.depth:
            raise BadInput(f"depth is {depth}, but the encoder has {self.depth} layers: give from 1 to as many")
        name, layers = _layers(self.body)
        place, _, last = name.rpartition(".")
        setattr(self.body.get_submodule(place), last, layers[:depth])
        config: Any = self.body.config
        config.num_hidden_layers = depth

    def forward(self, **tokens: torch.Tensor) -> Float[torch.Tensor, "b d"]:
        states = self.body(**tokens).last_hidden_state
        mask = tokens["attention_mask"]
        if self.pooling == "mean":
            weight = mask[:, :, None].to(states.dtype)
            pooled = (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        else:
            places = torch.arange(mask.shape[1], device=mask.device) * mask
            at = places.argmax(dim=1) if self.pooling == "last" else mask.argmax(dim=1)
            pooled = states[torch.arange(len(states), device=states.device), at]
        return nn.functional.normalize(pooled, dim=1) if self.normalised else pooled


def load_folder(path: str | Path, *, most: int | None = None) -> TorchModel:
    """The sequence classifier in a folder, with its tokens, as a model for Subject; with one output a regression.

    `classes` are the names in its id2label, where somebody gave them. Raises BadInput for a folder that holds no such
    model whole in safetensors, and MissingExtra without transformers.
    """
    path = Path(path)
    config = _config(path)
    kinds = config.get("architectures") or ["nothing that is named"]
    if not any(kind.endswith(HEADED) for kind in kinds):
        raise BadInput(
            f"{path} holds {', '.join(kinds)}, which doesn't classify: train a head on it, "
            "Subject(recipe=uncork.train.encoders.linear_probe(path, classes), preprocess=Tokens(path), ...)"
        )
    if config.get("problem_type") == "multi_label_classification":
        raise BadInput(f"{path} gives each text any number of labels: uncork audits models that decide on one class")
    tokens = Tokens(path, most)
    module = _module("AutoModelForSequenceClassification", path)
    if getattr(module.config, "pad_token_id", None) is None:
        module.config.pad_token_id = tokens._tokenizer.pad_token_id
    model = TorchModel(
        module, task="regression" if module.config.num_labels == 1 else "classification", preprocess=tokens
    )
    names = {int(i): name for i, name in module.config.id2label.items()}
    if model.task == "classification" and any(name != f"LABEL_{i}" for i, name in names.items()):
        model.classes = tuple(str(names[i]) for i in sorted(names))
    return model


def load_encoder(path: str | Path, pooling: str | None = None) -> TextEncoder:
    """The encoder in a folder, its head, if any, left out. `pooling`: see `TextEncoder`; by default what
    sentence-transformers' files in the folder say, else "mean". Raises as `load_folder`."""
    path = Path(path)
    config = _config(path)
    if config.get("is_encoder_decoder"):
        raise BadInput(f"{path} holds an encoder with a decoder: uncork takes features from encoders alone")
    stated = _json(path / "1_Pooling" / "config.json")
    ways = {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
    said = next((way for key, way in ways.items() if stated.get(key)), "mean")
    parts = _json(path / "modules.json") or []
    normalised = any(str(part.get("type", "")).endswith("Normalize") for part in parts)
    body = _module("AutoModel", path, spared="pooler.")
    if getattr(body, "pooler", None) is not None:
        body.pooler = None  # of no use here, and random in an encoder that was saved without
    return TextEncoder(body, pooling or said, normalised=normalised)


def _layers(body: nn.Module) -> tuple[str, nn.ModuleList]:
    """The longest list of parts of one kind, which are an encoder's layers, by name; an empty one without any."""
    lists = [(name, part) for name, part in body.named_modules() if isinstance(part, nn.ModuleList)]
    alike = [(name, part) for name, part in lists if len({type(each) for each in part}) == 1]
    return max(alike, key=lambda pair: len(pair[1]), default=("", nn.ModuleList()))


def _transformers(purpose: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingExtra("text", purpose) from None
    return transformers


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder}: there is no config.json in it: give a folder made by save_pretrained")
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        raise BadInput(f"{folder / 'config.json'} is no object: save the model again")
    return config


def _json(path: Path) -> Any:
    """{} where there is no such file."""
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): save the model again") from None


def _positions(config: Mapping[str, Any]) -> int | None:
    """How many tokens a model has places for."""
    most = config.get("max_position_embeddings") or config.get("n_positions")
    if most and any(kind in str(config.get("model_type")) for kind in SHIFTED):
        most -= (config.get("pad_token_id") or 0) + 1
    return None if most is None else int(most)


def _module(kind: str, folder: Path, spared: str = "") -> Any:
    """The module, in eval mode. `spared`: the beginning of names of parameters that may be missing."""
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))
        if pickled:
            raise BadInput(
                f"{pickled[0]} may run code when it is read, so it was not: if you trust it, read it in your own code "
                "(AutoModel...from_pretrained), then save_pretrained(folder) writes safetensors"
            )
        raise BadInput(f"{folder} holds no weights (model.safetensors): save them there with model.save_pretrained")
    maker = getattr(_transformers(f"the model in {folder}"), kind)
    try:
        with _quietly():
            module, told = maker.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:  # of whatever class the folder names
        raise BadInput(f"{folder} holds no model that can be read ({_first(error)}): save it again") from None
    missing = sorted(name for name in told["missing_keys"] if not (spared and name.startswith(spared)))
    if missing:
        raise BadInput(
            f"{folder}: its weights lack {', '.join(missing[:4])}, which would be random: save the model whole"
        )
    return module.float().eval()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without bars and remarks of transformers, set back afterwards."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
