/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_test - what the tests of lib/text share: golden files, random numbers, allocation walks.
 */
#ifndef LLS_TEXT_TEST_H
#define LLS_TEXT_TEST_H

#include "unit/test.h"

#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "text/tokenizer.h"

#define GOLDEN TEST_DIR "/golden/text/"

static inline lls_mem_t *plain_mem(void)
{
    static lls_mem_t mem;

    if (mem.hook.realloc_fn == NULL)
        lls_mem_init(&mem, NULL);
    return &mem;
}

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline char *read_golden(const char *name, size_t *len)
{
    char        path[512], *text;
    llm_error_t err;

    snprintf(path, sizeof path, GOLDEN "%s", name);
    if (lls_read_file(plain_mem(), path, 1 << 24, &text, len, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return text;
}

static inline json_t *json_golden(const char *name)
{
    size_t      len;
    char       *text = read_golden(name, &len);
    json_t     *out;
    llm_error_t err;

    if (lls_json_parse(name, text, len, &out, &err) != LLM_OK)
        fail_msg("%s", err.message);
    lls_free(plain_mem(), text);
    return out;
}

static inline uint32_t read_varint(const uint8_t **p)
{
    uint32_t v = 0;

    for (int shift = 0;; shift += 7) {
        v |= (uint32_t)(**p & 127) << shift;
        if ((*(*p)++ & 128) == 0)
            return v;
    }
}

static inline lls_tokenizer_t *open_tokenizer(const char *path)
{
    lls_tokenizer_t *t;
    llm_error_t      err;

    if (lls_tokenizer_open(plain_mem(), path, &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return t;
}

static inline lls_tokenizer_t *open_small(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, GOLDEN "%s.json", name);
    return open_tokenizer(path);
}

/* The demonstration model, or NULL. */
static inline const char *demo_model(char path[512])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    snprintf(path, 512, "%s%s/llmserve/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache != NULL ? cache
             : home        ? home
                           : "",
             cache != NULL ? "" : "/.cache");
    return access(path, R_OK) == 0 ? path : NULL;
}

/* A tokenizer.json of the reference folder, or NULL. */
static inline const char *shared_tokenizer(const char *name, char path[512])
{
    const char *shared = getenv("LLM_SHARED");

    snprintf(path, 512, "%s/tokenizers/%s.tokenizer.json",
             shared != NULL ? shared : LLM_SHARED_DEFAULT, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

#endif
