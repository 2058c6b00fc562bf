#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes the small tokenizers beside it, in the manner of real families, with the package tokenizers
# 0.23.3.  Usage: make_tokenizers.py
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from corpus import FIXED, WORDS, random_text

HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K_LIKE = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+(?!\S)|\s+"


def corpus():
    rng = random.Random(7)
    lines = [" ".join(rng.choice(WORDS) for _ in range(20)) for _ in range(800)]
    lines += FIXED * 20 + [random_text(rng) for _ in range(600)]
    return [line.replace("\x00", "") for line in lines]         # NUL in a key is more than jansson reads


def train(tok, specials, size, alphabet):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tok.train_from_iterator(corpus(), trainer)
    return tok


def save(tok, name, edit=None):
    data = json.loads(tok.to_str())
    if edit:
        edit(data)
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, separators=(",", ":"))


def byte_level(regex, normalizer=None, ignore_merges=False, size=1400):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    return train(tok, [], size, pre_tokenizers.ByteLevel.alphabet())


def special(text, **kw):
    return AddedToken(text, special=True, normalized=False, **kw)


def llama3():
    tok = byte_level(LLAMA3, ignore_merges=True)
    tok.add_tokens([special(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")])
    bos = tok.token_to_id("<|begin_of_text|>")
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])

    def lose_merges(data):          # so that looking up whole pieces gives other ids than merging
        data["model"]["merges"] = [m for i, m in enumerate(data["model"]["merges"]) if i % 9 != 5 or len("".join(m)) < 5]
    save(tok, "llama3.json", lose_merges)


def qwen2():
    tok = byte_level(QWEN2, normalizers.NFC())
    tok.add_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tok.add_tokens([AddedToken(t, normalized=False) for t in ("<tool_call>", "</tool_call>", "<think>", "</think>")])
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    save(tok, "qwen2.json")


def regex():
    """A split without a scanner, and the steps behind ByteLevel."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(O200K_LIKE), "isolated"), pre_tokenizers.Split("-", "merged_with_next"),
        pre_tokenizers.Split(Regex("[aeiou]+x?"), "merged_with_previous"), pre_tokenizers.Split("q", "contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
        pre_tokenizers.Split(Regex("\u0120t|[\u00e0-\u00ef]"), "isolated"), pre_tokenizers.Digits(individual_digits=True)])
    tok.decoder = decoders.ByteLevel()
    save(train(tok, [], 700, pre_tokenizers.ByteLevel.alphabet()), "regex.json")


def added():
    """Added tokens of every kind, over SentencePiece-style BPE with byte fallback."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    byte_tokens = ["<0x%02X>" % i for i in range(256)]
    tok = train(tok, ["<unk>", "<s>", "</s>"] + byte_tokens, 900, [])
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.add_tokens([special("[M]", lstrip=True, rstrip=True), special("[L]", lstrip=True), special("[R]", rstrip=True),
                    special("[W]", single_word=True), special("[WL]", single_word=True, lstrip=True),
                    AddedToken("word", single_word=True, normalized=False), AddedToken("wordy", normalized=False),
                    AddedToken("two words", normalized=True), AddedToken("norm", normalized=True), AddedToken("\u2581x\u2581", normalized=False),
                    AddedToken("  ", normalized=False), special("[M][M]")])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    save(tok, "added.json")


def unknown():
    """Characters without a token: unknown ones wait, and byte tokens go before them."""
    for name, fuse, fallback in (("unk_fuse.json", True, True), ("unk_each.json", False, False)):
        vocab = {t: i for i, t in enumerate(["<unk>", "a", "b", "c", "ab", "abc", "\u2581", "\u2581a", "<0xC3>", "<0xA9>", "<0xA8>", "<0xE2>", "<0x82>"])}
        tok = Tokenizer(models.BPE(vocab, [("a", "b"), ("ab", "c"), ("\u2581", "a")], unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if fuse else "first", split=fuse)
        tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        save(tok, name)


llama3(), qwen2(), regex(), added(), unknown()
