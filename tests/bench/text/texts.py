# SPDX-License-Identifier: Apache-2.0
# Texts of a given size: English and Chinese with Japanese made from words by a seed, with frequencies that fall as those of
# real words do; code from Python's own library, whose sources are everywhere where this runs.
import os
import random

WORDS = ("the of and to a in that it is was for on with he be as at by had his not are but from or have an they which one you were all her she there "
         "would their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may "
         "first then do any like my now over such our man me even most made after also did many off before must well back through years where much your way "
         "down should because long each just state those people too mister how little good world make very year still see own work men day get here old life "
         "both between being under three never know same last another while us might great go since come right states against used himself few house use "
         "during without again place american around however home small found thought went say part once general high upon school every don't does got united "
         "number hand course water until always away public something fact less though far put head think called set almost enough end took government night "
         "yet system better four nothing told eyes city going president why days present point didn't look find asked second group later next room social "
         "business knew program give half side face toward white five let young form given per order large several development temperature measurement "
         "understanding responsibility communication philosophical extraordinary refrigerator Elizabeth Philadelphia unquestionably parliamentary").split()
SYLLABLES = "ba ber cal con der di el en fer gra hil in jo ka lan mer mi nor on pa per qui ra ris sa ster ta tion tor ul ver wen yor zan".split()
HAN = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
KANA = "のにはをたがでてとしれさるいもなあらりこすきそよけわつんまくえおみちどせやめうへろかねばゆじ"
KATAKANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワンー"


def zipf(rng, items):
    """One of items, the k-th about 1/k as often as the first."""
    return items[min(len(items) - 1, int(len(items) ** rng.random()) - 1)]


def english(rng, n):
    words = WORDS + ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4))) for _ in range(6000)]
    out, size, line = [], 0, 0
    while size < n:
        sentence = [zipf(rng, words) for _ in range(rng.randint(4, 28))]
        sentence[0] = sentence[0].capitalize()
        for i in range(1, len(sentence) - 1):
            r = rng.random()
            if r < 0.07:
                sentence[i] += ","
            elif r < 0.08:
                sentence[i] = f'"{sentence[i]}"'
            elif r < 0.09:
                sentence[i] = str(rng.randint(1, 2000))
            elif r < 0.10:
                sentence[i] += rng.choice(["'s", ";", ":", " (" + rng.choice(words) + ")", "-" + rng.choice(words)])
        text = " ".join(sentence) + rng.choice("....?!") + (" " if rng.random() < 0.85 else "\n\n")
        out.append(text)
        size += len(text)
    return "".join(out)


def code(rng, n):
    folder = os.path.dirname(os.__file__)
    names = sorted(f for f in os.listdir(folder) if f.endswith(".py"))
    rng.shuffle(names)
    out, size = [], 0
    while size < n:
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8", errors="ignore") as f:
                out.append(f.read())
            size += len(out[-1])
            if size >= n:
                break
    return "".join(out)


def cjk(rng, n):
    out, size = [], 0
    while size < n:
        if rng.random() < 0.6:
            sentence = "".join(zipf(rng, HAN) for _ in range(rng.randint(5, 40)))
        else:
            sentence = "".join(zipf(rng, HAN) * (rng.random() < 0.7) + "".join(rng.choice(KANA) for _ in range(rng.randint(1, 3))) +
                               ("".join(rng.choice(KATAKANA) for _ in range(4)) if rng.random() < 0.1 else "") for _ in range(rng.randint(3, 15)))
        sentence += rng.choice("，，、。。！？\n") + (str(rng.randint(1, 2030)) if rng.random() < 0.1 else "")
        out.append(sentence)
        size += len(sentence) * 3
    return "".join(out)


def text(kind, n, path=None):
    """About n bytes of it, whole characters."""
    if path:
        with open(path, "rb") as f:
            data = f.read(n)
    else:
        data = {"English": english, "code": code, "CJK": cjk}[kind](random.Random(kind), n).encode()[:n]
    return data.decode("utf-8", "ignore").encode()
