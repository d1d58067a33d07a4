"""A transformer of a few thousand weights with a tokenizer of a few words, in a folder, for tests of text models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.split import Split

GOOD = ("good", "fine", "lovely", "great")
BAD = ("bad", "dull", "awful", "poor")
FILLING = ("the", "film", "was", "a", "story", "of", "two", "friends", "and", "their", "dog", "in", "spring", "not")


def reviews(n: int, seed: int, *, flipped: float = 0.0) -> Split:
    """Texts of 3 to 30 words, one of which decides the class: 0 for a word of BAD, 1 for one of GOOD.

    `flipped`: this share of the labels is wrong.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    texts = []
    for label in y:
        words = rng.choice(FILLING, size=rng.integers(2, 30)).tolist()
        words.insert(int(rng.integers(len(words) + 1)), str(rng.choice(GOOD if label else BAD)))
        texts.append(" ".join(words))
    wrong = rng.permutation(n)[: round(n * flipped)]
    y[wrong] = 1 - y[wrong]
    return Split(texts, y)


def tiny_folder(folder: str | Path, *, classes: Sequence[str] = (), width: int = 16, positions: int = 40) -> Path:
    """Saves a BERT of two layers there, the same each time: an encoder, or with two `classes` a sequence classifier.

    It is random but for what it knows of `reviews`: the first two numbers of a word's vector say GOOD or BAD,
    attention brings them to the first token, and the classifier reads them there.
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers.utils import logging as untyped

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {word: i for i, word in enumerate((*special, *GOOD, *BAD, *FILLING))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    kinds: Any = transformers
    tokenizer = kinds.PreTrainedTokenizerFast(tokenizer_object=words, **named)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if classes:
            config.id2label = dict(enumerate(classes))
            config.label2id = {name: i for i, name in enumerate(classes)}
            model = kinds.BertForSequenceClassification(config)
        else:
            model = kinds.BertModel(config, add_pooling_layer=False)
        _taught(model, [vocabulary[word] for word in BAD], [vocabulary[word] for word in GOOD])
    logging: Any = untyped
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def _taught(model: Any, bad: Sequence[int], good: Sequence[int]) -> None:
    import torch

    body = getattr(model, "bert", model)
    first = body.encoder.layer[0].attention
    with torch.no_grad():
        words = body.embeddings.word_embeddings.weight.normal_(0, 0.3)
        words[:, :2] = 0
        for known, sign in ((good, 1), (bad, -1)):
            words[known, 0], words[known, 1] = 4.0 * sign, -4.0 * sign
        torch.nn.init.eye_(first.self.value.weight)
        torch.nn.init.eye_(first.output.dense.weight).mul_(20)
        if body is not model:
            torch.nn.init.eye_(body.pooler.dense.weight)
            model.classifier.weight[:, :2] = torch.tensor([[-8.0, 8.0], [8.0, -8.0]])
