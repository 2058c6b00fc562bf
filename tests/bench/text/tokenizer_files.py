# SPDX-License-Identifier: Apache-2.0
# The tokenizers that are measured: real files where they are, and files made here: o200k_base as tokenizer.json, and one of
# Llama 3's size and kind from the first 128,000 of its ranks; without that file, a small trained one.
import base64
import gzip
import json
import os

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
REAL = [("byte-level BPE", "GPT-2", "gpt2.tokenizer.json"), ("WordPiece", "BERT", "bert-base-uncased.tokenizer.json"),
        ("Unigram", "T5", "t5-small.tokenizer.json"), ("SP-BPE", "Phi-3", "phi-3.tokenizer.json"), ("SP-BPE", "Mistral v0.3", "mistral-7b-v0.3.tokenizer.json")]


def alphabet():
    """GPT-2's character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def byte_level(ranks, pattern, specials, path):
    """Writes a tokenizer.json from the tokens in order of rank, with each pair of tokens that makes a token as a merge."""
    chars = alphabet()
    spelled = lambda b: "".join(chars[x] for x in b)
    rank_of = {b: i for i, b in enumerate(ranks)}
    merges = []
    for token in ranks:
        pairs = [(rank_of[token[:i]], rank_of[token[i:]], token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in rank_of and token[i:] in rank_of]
        merges += [spelled(a) + " " + spelled(b) for _, _, a, b in sorted(pairs)]
    vocab = {spelled(b): i for i, b in enumerate(ranks)}
    added = [{"id": len(ranks) + i, "content": f"<|reserved_special_token_{i}|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i in range(specials)]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    data = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": None,
            "decoder": dict(level, use_regex=True, add_prefix_space=True),
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                      "byte_fallback": False, "ignore_merges": True, "vocab": vocab, "merges": merges}}
    with open(path, "w") as f:
        json.dump(data, f, ensure_ascii=False, indent=2)
    return len(merges)


def trained(path):
    import tokenizers
    import texts
    tok = tokenizers.Tokenizer(tokenizers.models.BPE())
    tok.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=8000, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator([texts.text(kind, 200_000).decode() for kind in ("English", "code", "CJK")], trainer)
    tok.save(path)


def find(shared, tmp):
    """[(kind, name, path)], and the path of the one of Llama 3's size or None."""
    folder = os.path.join(shared, "tokenizers")
    files = [(kind, name, os.path.join(folder, file)) for kind, name, file in REAL if os.path.exists(os.path.join(folder, file))]
    ranks_file = os.path.join(folder, "o200k_base.tiktoken.gz")
    if not files:
        trained(os.path.join(tmp, "small.json"))
        files = [("byte-level BPE", "small", os.path.join(tmp, "small.json"))]
    if not os.path.exists(ranks_file):
        return files, None
    with gzip.open(ranks_file) as f:
        ranks = [base64.b64decode(line.split()[0]) for line in f]
    o200k, llama = os.path.join(tmp, "o200k.json"), os.path.join(tmp, "llama.json")
    n_o200k, n_llama = byte_level(ranks, O200K, 2, o200k), byte_level(ranks[:128_000], LLAMA3, 256, llama)
    print(f"o200k: {len(ranks)} tokens, {n_o200k} merges; Llama 3's size: 128256 tokens, {n_llama} merges, {os.path.getsize(llama) / 1e6:.1f} MB")
    files[1:1] = [("byte-level BPE", "o200k", o200k), ("byte-level BPE", "Llama-3 style", llama)]
    return files, llama
