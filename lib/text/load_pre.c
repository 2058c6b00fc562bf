/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-tokenizers that GGUF files name by tokenizer.ggml.pre: what the tokenizer.json of that
 * family has.
 */
#include "text/tokenizer_int.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST                                                                                       \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" REST
#define QWEN2 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" REST
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER     \
    "+" LOWER "*" CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+"       \
    "|\\s+(?!\\S)|\\s+"
#define TEKKEN                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER            \
    "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
#define DEEPSEEK3                                                                                  \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}"    \
    "\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define HAN_TO_HANGUL "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
#define QWEN35                                                                                     \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+"       \
                 "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SEED                                                                                       \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+"            \
                 "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BAILING                                                                                    \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++"           \
    "[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define EXAONE_MOE                                                                                 \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"             \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define MINICPM5 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+" REST
#define YOUTU_SCRIPTS                                                                              \
    "[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b"        \
    "\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+"                                          \
    "|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#define YOUTU                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER     \
    "+" LOWER "*" CONTRACTIONS "?|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+"            \
    "|\\s+(?!\\S)|\\s+"

enum { NFC = 1, DIGITS = 2, FALCON = 4, WHOLE = 8 };

static const struct pre {
    const char *regexes[5];     /* none: GPT-2's */
    const char *names[20];
    uint8_t     flags;
} pres[] = {
    { { NULL },
      { "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code", "olmo",
        "roberta-bpe", "jina-v1-en", "gigachat", "a.x-4.0", "mellum", "modern-bert", "jais",
        "exaone4", "trillion", "granite-docling" }, 0 },
    { { NULL }, { "mpt" }, NFC },
    { { NULL }, { "default", "falcon" }, FALCON },
    { { NULL },
      { "smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2" },
      DIGITS },
    { { NULL }, { "command-r" }, DIGITS | NFC },
    { { LLAMA3 },
      { "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano" }, WHOLE },
    { { LLAMA3 }, { "dbrx", "smaug-bpe", "glm4", "chatglm-bpe" }, 0 },
    { { QWEN2 }, { "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2" }, NFC },
    { { QWEN2 }, { "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open" }, 0 },
    { { QWEN35 }, { "qwen35" }, NFC },
    { { "[^\\n]+|[\\n]+", QWEN2 }, { "laguna" }, 0 },
    { { SEED }, { "seed-coder" }, 0 },
    { { BAILING }, { "bailingmoe", "bailingmoe2", "llada-moe" }, 0 },
    { { EXAONE_MOE }, { "exaone-moe" }, 0 },
    { { "\\p{N}{1,3}", MINICPM5 }, { "minicpm5" }, WHOLE },
    { { YOUTU_SCRIPTS, YOUTU }, { "youtu" }, WHOLE },
    { { "\\p{N}+", "(?=(\\d{3})+(?!\\d))" }, { "superbpe" }, 0 },
    { { LLS_REGEX_KIMI }, { "kimi-k2" }, 0 },
    { { O200K }, { "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2" }, 0 },
    { { O200K }, { "granite-embed-multi-97m" }, WHOLE },
    { { "\\d{1,3}(?=(?:\\d{3})*\\b)", O200K }, { "tiny_aya", "cohere2moe" }, 0 },
    { { TEKKEN }, { "tekken" }, WHOLE },
    { { BLOOM }, { "bloom", "gpt3-finnish", "poro-chat" }, 0 },
    { { BLOOM, "\\p{N}" }, { "viking" }, 0 },
    { { "\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK3 },
      { "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4" }, 0 },
    { { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN_TO_HANGUL, "\\p{N}" },
      { "deepseek-coder" }, 0 },
};

static const struct pre *find(const char *name, size_t len)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(pres); i++)
        for (size_t k = 0; k < LLS_ARRAY_LEN(pres[i].names) && pres[i].names[k] != NULL; k++)
            if (strlen(pres[i].names[k]) == len && memcmp(pres[i].names[k], name, len) == 0)
                return &pres[i];
    return NULL;
}

llm_status_t lls_tokenizer_add_pre(lls_tokenizer_t *t, const char *path, const char *name,
                                   size_t len, bool *whole, llm_error_t *err)
{
    const struct pre *p = find(name, len);
    lls_norm_t       *nfc;
    llm_status_t      st = LLM_OK;

    if (p == NULL)
        return lls_fail(err, LLM_ERR_UNSUPPORTED,
                        "%s: tokenizer.ggml.pre \"%.*s\" is not supported; use a tokenizer.json",
                        path, (int)(len > 40 ? 40 : len), name);
    *whole = (p->flags & WHOLE) != 0;
    if ((p->flags & NFC) != 0) {
        nfc = lls_tokenizer_new_norm(t);
        if (nfc == NULL)
            return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the tokenizer", path);
        nfc->kind = LLS_NORM_NFC;
    }
    if ((p->flags & FALCON) != 0)
        st = lls_tokenizer_add_class(t, LLS_UC_PUNCT, LLS_SPLIT_CONTIGUOUS, err);
    if ((p->flags & DIGITS) != 0)
        st = lls_tokenizer_add_class(t, LLS_UC_NUMERIC, LLS_SPLIT_ISOLATED, err);
    for (size_t i = 0; st == LLM_OK && i < LLS_ARRAY_LEN(p->regexes) && p->regexes[i] != NULL; i++)
        st = lls_tokenizer_add_split(t, path, p->regexes[i], LLS_SPLIT_ISOLATED, false, err);
    if (st == LLM_OK)
        st = lls_tokenizer_add_bytelevel(t, path, false, p->regexes[0] == NULL, err);
    if (st == LLM_OK && (p->flags & FALCON) != 0)
        st = lls_tokenizer_add_class(t, LLS_UC_NUMERIC, LLS_SPLIT_CONTIGUOUS, err);
    if (st == LLM_OK && (p->flags & FALCON) != 0)
        st = lls_tokenizer_add_split(t, path, "[0-9][0-9][0-9]", LLS_SPLIT_ISOLATED, false, err);
    return st;
}
