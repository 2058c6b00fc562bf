#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes a small tokenizer of each further kind that models ship with, and some that put rare steps
# together, with the package tokenizers 0.23.3.  Usage: make_kinds.py [FOLDER]
import base64
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers as nm, pre_tokenizers as pt, processors, trainers

from charsmap import charsmap
from corpus import FIXED, WORDS, old_only, random_text

HERE = os.path.dirname(os.path.abspath(__file__))
BLANK = "\u2581"
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BYTES = ["<0x%02X>" % i for i in range(256)]


def lines():
    rng = random.Random(23)
    out = [" ".join(rng.choice(WORDS) for _ in range(15)) for _ in range(500)]
    return out + FIXED * 8 + [old_only(random_text(rng)) for _ in range(300)]


LINES = lines()


def special(text, **kw):
    return AddedToken(text, special=True, normalized=False, **kw)


def train(tok, trainer):
    tok.train_from_iterator(LINES, trainer)
    return tok


def bpe(size, specials=(), alphabet=(), **kw):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=list(alphabet), limit_alphabet=300,
                               show_progress=False, **kw)


def byte_bpe(pre, size=500, norm=None, **kw):
    tok = Tokenizer(models.BPE(**kw))
    if norm:
        tok.normalizer = norm
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    return train(tok, bpe(size, alphabet=pt.ByteLevel.alphabet()))


def plain_bytes():
    return pt.ByteLevel(add_prefix_space=False, use_regex=False)


def roberta():
    tok = byte_bpe(pt.ByteLevel(add_prefix_space=True), unk_token=None)
    tok.add_special_tokens([special("<s>"), special("</s>"), special("<mask>", lstrip=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")), ("<s>", tok.token_to_id("<s>")))
    return tok


def deepseek():
    tok = byte_bpe(pt.Sequence([pt.Split(Regex(p), "isolated") for p in DEEPSEEK] + [plain_bytes()]))
    tok.add_special_tokens([special("<｜begin▁of▁sentence｜>"), special("<｜User｜>")])
    bos = "<｜begin▁of▁sentence｜>"
    tok.post_processor = processors.TemplateProcessing(single=bos + " $A", pair=bos + " $A " + bos + ":1 $B:1",
                                                       special_tokens=[(bos, tok.token_to_id(bos))])
    return tok


def nemo():
    return byte_bpe(pt.Sequence([pt.Split(Regex(TEKKEN), "isolated"), plain_bytes()]), ignore_merges=True)


def clip():
    tok = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tok.normalizer = nm.Sequence([nm.NFC(), nm.Replace(Regex(r"\s+"), " "), nm.Lowercase()])
    tok.pre_tokenizer = pt.Sequence([pt.Split(Regex(CLIP), "removed", invert=True), pt.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok = train(tok, bpe(700, ["<|startoftext|>", "<|endoftext|>"], pt.ByteLevel.alphabet(), end_of_word_suffix="</w>"))
    tok.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False)
    return tok


def spm_bpe(size, specials=("<pad>", "<eos>", "<bos>", "<unk>")):
    return bpe(size, list(specials) + BYTES)


def lose_byte_specials(tok):
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(data))


def gemma():
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = nm.Replace(" ", BLANK)
    tok.pre_tokenizer = pt.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    tok = lose_byte_specials(train(tok, spm_bpe(700)))
    tok.add_special_tokens([special("<start_of_turn>"), special("<end_of_turn>")])
    tok.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("  ", normalized=False)])
    tok.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", 2)])
    return tok


def first():
    """As newer Llama files: Metaspace, first, no split."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = nm.Strip(left=True, right=False)
    tok.pre_tokenizer = pt.Metaspace(prepend_scheme="first", split=False)
    tok.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok = lose_byte_specials(train(tok, spm_bpe(600, ["<unk>", "<s>", "</s>"])))
    tok.add_tokens([AddedToken("of the", normalized=True), special("[INST]")])
    return tok


def bert(size=500, **kw):
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tok.normalizer = nm.BertNormalizer(**kw)
    tok.pre_tokenizer = pt.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok = train(tok, trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=200,
                                               show_progress=False))
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                       special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tok


def bert_cased():
    tok = bert(lowercase=False)
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.decoder = decoders.WordPiece(cleanup=False)
    data = json.loads(tok.to_str())
    data["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    data["padding"] = {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    return data


def precompiled(tok, pairs):
    data = json.loads(tok.to_str())
    data["normalizer"]["normalizers"][0] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(pairs)).decode()}
    return Tokenizer.from_str(json.dumps(data))


def nfkc_pairs():
    """A few hundred rules in the manner of nmt_nfkc."""
    step, out = nm.NFKC(), {}
    for c in list(range(0xA0, 0x250)) + list(range(0x2000, 0x2080)) + list(range(0x2100, 0x2140)) + list(range(0x3000, 0x3040)) + \
            list(range(0xFB00, 0xFB07)) + list(range(0xFF01, 0xFF5F)) + list(range(0x1E00, 0x1E20)):
        s = step.normalize_str(chr(c))
        if s != chr(c):
            out[chr(c)] = s
        d = nm.NFD().normalize_str(chr(c))
        if len(d) > 1 and c < 0x250:
            out[d] = chr(c)
    for c in (1, 2, 0x7F, 0x200B, 0xFEFF):
        out[chr(c)] = ""
    for c in (9, 10, 13, 0x2028, 0x85):
        out[chr(c)] = " "
    out.update({"a": "a", "\r\n": " ", "e\u0301\u0323": "\u1ec7"})
    del out["a"]
    return out


def unigram(pre, norm, size=400, **kw):
    tok = Tokenizer(models.Unigram())
    tok.normalizer = norm
    tok.pre_tokenizer = pre
    tok.decoder = decoders.Metaspace()
    few = ["".join(c for c in line if c < "\u0250" or c in "日本語東京한\u0301🙂") for line in LINES]
    tok.train_from_iterator(few, trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", show_progress=False, **kw))
    return tok


def t5():
    norm = nm.Sequence([nm.NFKC(), nm.NFC()])
    tok = unigram(pt.Sequence([pt.WhitespaceSplit(), pt.Metaspace()]), norm, special_tokens=["<pad>", "</s>", "<unk>"])
    tok = precompiled(tok, nfkc_pairs())
    tok.add_special_tokens([special("<extra_id_0>", lstrip=True, rstrip=True)])
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    data = json.loads(tok.to_str())
    del data["model"]["type"]
    return data


def xlmr():
    tok = unigram(pt.Metaspace(), nm.Sequence([nm.NFKC(), nm.Replace(Regex(" {2,}"), " "), nm.Strip(left=False)]), special_tokens=["<s>", "<pad>", "</s>", "<unk>"])
    tok = precompiled(tok, nfkc_pairs())
    tok.add_special_tokens([special("<mask>", lstrip=True)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tok


def albert():
    norm = nm.Sequence([nm.Nmt(), nm.Replace("``", '"'), nm.Replace("''", '"'), nm.NFKD(), nm.StripAccents(), nm.Lowercase(), nm.Replace(Regex(" {2,}"), " ")])
    return unigram(pt.Metaspace(prepend_scheme="first"), norm, special_tokens=["<unk>", "[CLS]"])


def unigram_bytes():
    """Byte fallback; equal scores, so that ties decide; a piece twice; a user's word in a piece."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0)] + [(b, 0.0) for b in BYTES[:0xC0] + BYTES[0xC4:]]
    pieces += [(BLANK, -2.0), ("a", -3.0), ("b", -3.0), ("ab", -6.0), ("ba", -6.0), ("aba", -9.0), ("c", -3.5), ("bc", -6.5), ("t", -3.0), ("h", -3.1), ("e", -3.2),
               ("th", -5.0), ("he", -4.0), ("the", -7.2), (BLANK + "the", -6.7), ("\u0301", -5.0), ("e\u0301", -9.0), ("\u65e5", -4.0), ("\u672c", -4.0), ("\u65e5\u672c", -8.0),
               ("\U0001f642", -7.0), ("ab", -5.9), ("o", -3.0123456789012345), ("of", -4.00000000000000001), ("f", -1e0), ("n", -30e-1), ("i", -3.3333333333333335)]
    tok = Tokenizer(models.Unigram(pieces, 0, True))
    tok.pre_tokenizer = pt.Metaspace(prepend_scheme="never", split=False)
    tok.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    return tok


def word_level():
    words = ["[UNK]", "[PAD]"] + sorted(set(WORDS)) + [chr(c) for c in range(33, 127)] + ["hello", "Hello", "world", "...", "123", "\u65e5\u672c\u8a9e"]
    tok = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    tok.pre_tokenizer = pt.Whitespace()
    tok.add_special_tokens([special("[SEP]")])
    return tok


def prefix():
    """BPE with WordPiece's prefix, and unknown characters one by one."""
    tok = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=False))
    tok.normalizer = nm.Sequence([nm.NFD(), nm.StripAccents()])
    tok.pre_tokenizer = pt.Sequence([pt.Digits(individual_digits=False), pt.Punctuation("contiguous"), pt.CharDelimiterSplit(" ")])
    tok.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return train(tok, bpe(600, ["[UNK]"], continuing_subword_prefix="##"))


def suffix():
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    tok.normalizer = nm.Lowercase()
    tok.pre_tokenizer = pt.WhitespaceSplit()
    tok.decoder = decoders.BPEDecoder(suffix="</w>")
    return train(tok, bpe(600, ["<unk>"], end_of_word_suffix="</w>"))


def ctc():
    chars = ["<pad>", "<unk>", "|"] + [chr(c) for c in range(97, 123)] + ["'", ".", ",", "a|"]
    tok = Tokenizer(models.WordLevel({c: i for i, c in enumerate(chars)}, unk_token="<unk>"))
    tok.normalizer = nm.Sequence([nm.Lowercase(), nm.Replace(" ", "|")])
    tok.pre_tokenizer = pt.Split(Regex(""), "isolated")
    tok.decoder = decoders.CTC()
    return tok


def rare():
    """Steps that no known model has together."""
    tok = Tokenizer(models.Unigram([("<unk>", 0.0)] + [(chr(c), -3.0 - c % 7) for c in range(33, 400)] + [("th", -4.0), ("an", -4.5), ("\u0120t", -3.5)], 0))
    tok.normalizer = nm.Sequence([nm.Strip(), nm.NFKC(), nm.Prepend("x"), nm.Replace("qu", "q")])
    tok.pre_tokenizer = pt.Sequence([pt.UnicodeScripts(), pt.FixedLength(9), pt.Split(Regex("[.,]+"), "merged_with_next"), pt.ByteLevel(add_prefix_space=True),
                                     pt.Punctuation("merged_with_previous")])
    tok.decoder = decoders.Sequence([decoders.Strip("t", 0, 1), decoders.Strip("a", 2, 0), decoders.Fuse(), decoders.Replace(Regex("t+h"), "TH"), decoders.ByteLevel()])
    return tok


def byte_words():
    """ByteLevel as a normalizer, and WordPiece behind it."""
    tok = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tok.normalizer = nm.Sequence([nm.NFKD(), nm.ByteLevel()])
    tok.pre_tokenizer = pt.Split("\u0120", "merged_with_next")
    tok.decoder = decoders.ByteLevel()
    return train(tok, trainers.WordPieceTrainer(vocab_size=600, special_tokens=["<unk>"], initial_alphabet=pt.ByteLevel.alphabet(), show_progress=False))


def first_words():
    """Where a piece begins in the text that the user gave decides about its blank."""
    tok = unigram(pt.Sequence([pt.WhitespaceSplit(), pt.Metaspace(prepend_scheme="first", split=False)]),
                  nm.Sequence([nm.Replace(Regex("^ +|\u3000"), " "), nm.BertNormalizer(lowercase=False)]), size=300, special_tokens=["<unk>"])
    tok.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.Replace("e", "E")])
    return tok


KINDS = dict(roberta=roberta, deepseek=deepseek, nemo=nemo, clip=clip, gemma=gemma, first=first, bert=bert, bert_cased=bert_cased, t5=t5, xlmr=xlmr,
             albert=albert, unigram_bytes=unigram_bytes, word_level=word_level, prefix=prefix, suffix=suffix, ctc=ctc, rare=rare, byte_words=byte_words,
             first_words=first_words)

if __name__ == "__main__":
    for name, make in KINDS.items():
        data = make()
        if not isinstance(data, dict):
            data = json.loads(data.to_str())
        with open(os.path.join(sys.argv[1] if len(sys.argv) > 1 else HERE, name + ".json"), "w", encoding="utf-8") as f:
            json.dump(data, f, ensure_ascii=False, separators=(",", ":"))
