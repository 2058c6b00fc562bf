# SPDX-License-Identifier: Apache-2.0
# Texts that tokenizers find hard: fixed ones, and random mixes of them.
import random
import unicodedata

FIXED = [
    "", " ", "  ", "\n", "\t", "\r\n", "a", " a", "a ", "Hello, world!", "Hello  world", "   three   spaces   ",
    "The quick brown fox jumps over the lazy dog.", "I'm you're he'll we've she'd it's don't I'D YOU'RE O'Neil 'tis",
    "'ſ 'S 'ſt IT'ſ", "1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F 1e-9", "x²+y³=z¹ ½ ¼ Ⅳ ④ ٣٤٥ १२३ 一二三",
    "def f(x):\n    return x ** 2 + 1\n\n\nclass A:\n\tpass\n", "int main(void)\r\n{\r\n\treturn 0;\r\n}\r\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0.5f; }  // done", "{\"a\": [1, 2, {\"b\": null}], \"c\": \"d\\n\"}",
    "日本語のテキストです。東京は日本の首都。", "中文文本,没有空格。", "한국어 텍스트입니다. 안녕하세요", "Привет, мир! Как дела?",
    "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Γειά σου Κόσμε", "Xin chào thế giới Cửa Việt", "ქართული ენა",
    "e\u0301 é e\u0301\u0323 ệ a\u030a å \u1112\u1161\u11ab 한 \u0958 \u2126 \u212b ﬁ ﬃ", "🙂😀👍🏽 👨‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ 🏳️‍🌈", "\u200b\u200c\u200d\ufeff\u00ad\u2028\u2029\u0085\u00a0\u3000\u180e",
    "\x00\x01\x02\x1f\x7f\x80\x9f", "a\x00b", "...!!!???---===+++***", "<|endoftext|>", "a <|endoftext|> b<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n",
    "<s>[INST] Hi [/INST]</s>", "<unk><s></s><0x41> <0xE4> ▁ ▁▁ a▁b", "<|user|>\nHello<|end|>\n<|assistant|>", "https://example.com/a?b=c&d=e#f user@mail.org",
    "camelCaseWord snake_case_word kebab-case-word SCREAMING", "a" * 70, "ab" * 60, " " * 70, "\n" * 20, "=" * 100, "あ" * 50, "1" * 50, "aA" * 40, "🙂" * 30,
    " \n \n  x", "\n\n\n x", "x \n", "x\n ", "\t\t\tx", " \t x", "a\u3000b", "a\u00a0b", "tab\tsep\tvalues\n", "ǅ ǲ ŉ İ ı ß ẞ", "ᏣᎳᎩ ꙮ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐍈 𒀀",
    "۱۲۳ ௧௨௩ ๑๒๓ ⅓", "«quotes» “curly” ‘single’ ‚low‛ 「corner」", "€100 £20 ¥30 $5 ₹7", "≤≥≠∞∑∏√∫", "→←↑↓⇒", "a\u0300\u0301\u0302\u0303\u0304\u0305", "\u0301start mark",
    "can't  won't\n\nshan't", "\uae44\u11a7 \u1100\u1161\u11a8\u11a7", "Dr. Smith's 2nd-best e-mail: 50% off!!", "\ud7ff\ue000\ufffd\uffff\U0010ffff\U000e0001", "mixed 日本語 and English テキスト 123 混ぜる",
]
WORDS = ("the of and to in a is that for it as was with be by on not he I this are or his from at which but have an had they you were "
         "their one all we can her has there been if more when will would who so no out up into than them only other time new some could "
         "these two may first then do any like my now over such our man me even most made after also did many off before must well back "
         "through years where much your way down should because long each just state those people too mr. little good world still own see "
         "language model tokenizer function return import class public static void string vector number Straße naïve façade Ünïcödé "
         "Москва Россия 東京 北京 서울 αβγ").split()
RANGES = [(32, 126), (32, 126), (0, 0x2ff), (0x300, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0xeff), (0x1100, 0x11ff),
          (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x2bff), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfaff),
          (0xfe00, 0xffff), (0x10000, 0x10fff), (0x1d000, 0x1dfff), (0x1f000, 0x1faff), (0x20000, 0x2ffff)]
BLANKS = [" ", "  ", "\n", "\n\n", "\t", "\r\n", " \n", "   ", "\u00a0", "\u3000", "\u2003", "\u0085"]


def char(rng):
    lo, hi = rng.choice(RANGES)
    return chr(rng.randint(lo, hi))


def random_text(rng, specials=()):
    out = []
    for _ in range(rng.randint(1, 12)):
        k = rng.random()
        if k < 0.35:
            out.append(" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 8))))
        elif k < 0.5:
            lo, hi = rng.choice(RANGES)
            out.append("".join(chr(rng.randint(lo, hi)) for _ in range(rng.randint(1, 12))))
        elif k < 0.6:
            out.append("".join(char(rng) for _ in range(rng.randint(1, 8))))
        elif k < 0.72:
            out.append("".join(rng.choice(BLANKS) for _ in range(rng.randint(1, 4))))
        elif k < 0.8:
            out.append(str(rng.randint(0, 10 ** rng.randint(1, 12))))
        elif k < 0.88:
            out.append(rng.choice(FIXED))
        elif k < 0.93:
            out.append(rng.choice("'’\"") + rng.choice(["s", "S", "t", "re", "RE", "ve", "m", "ll", "d", "ſ", "x"]))
        elif k < 0.97 and specials:
            out.append(rng.choice(specials))
        else:
            out.append(rng.choice("!?.,;:-_=+*/\\|@#$%^&()[]{}<>~`") * rng.randint(1, 6))
        if rng.random() < 0.3:
            out.append(" ")
    return "".join(c for c in "".join(out) if not 0xD800 <= ord(c) < 0xE000)


def mixer(rng, specials=()):
    """A function that makes n texts at once, much quicker than random_text: from pieces of such texts, cut anywhere."""
    pool = []
    for _ in range(3000):
        text = old_only(random_text(rng))
        while text:
            n = rng.randint(1, 12)
            pool.append(text[:n])
            text = text[n:]
    if specials:
        pool += rng.choices(list(specials), k=len(pool) // 16)

    def texts(n):
        return ["".join(rng.choices(pool, k=k)) for k in rng.choices(range(1, 9), k=n)]
    return texts


def old_only(text):
    """Without what Python's Unicode does not know: Debian's Oniguruma is of that age too."""
    return "".join(c for c in text if unicodedata.category(c) != "Cn")
