/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_files - writes small GGUF and safetensors files in memory, right ones and wrong ones:
 * nothing here checks what it is told.
 */
#ifndef LLS_TEST_MODEL_FILES_H
#define LLS_TEST_MODEL_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct buf {
    uint8_t *data;
    size_t   n, cap;
} buf_t;

static inline void buf_put(buf_t *b, const void *data, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->data = realloc(b->data, b->cap);
        if (b->data == NULL)
            abort();
    }
    if (n > 0)
        memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void buf_free(buf_t *b)
{
    free(b->data);
    *b = (buf_t){ 0 };
}

/* A copy in a block of exactly n bytes, so that a sanitizer sees the first byte read beyond. */
static inline uint8_t *exact_copy(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    if (copy == NULL)
        abort();
    if (n > 0)
        memcpy(copy, data, n);
    return copy;
}

static inline void put_int(buf_t *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_put(b, &(uint8_t){ (uint8_t)(v >> (8 * i)) }, 1);
}

static inline void put_u32(buf_t *b, uint32_t v) { put_int(b, v, 4); }
static inline void put_u64(buf_t *b, uint64_t v) { put_int(b, v, 8); }

static inline void put_strn(buf_t *b, const char *s, size_t len)
{
    put_u64(b, len);
    buf_put(b, s, len);
}

static inline void put_str(buf_t *b, const char *s) { put_strn(b, s, strlen(s)); }

static inline void put_pad(buf_t *b, size_t align)
{
    while (b->n % align != 0)
        put_int(b, 0, 1);
}

/* n bytes that differ from their neighbours. */
static inline void put_data(buf_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_int(b, i * 7 + 3, 1);
}

/* Where the demonstration model lies: LLM_DEMO_MODEL, else the cache; 0 if it is not there. */
static inline int demo_model_path(char *path, size_t n)
{
    static const char name[] = "llmserve/SmolLM2-135M-Instruct.Q4_1.gguf";
    const char       *given = getenv("LLM_DEMO_MODEL"), *cache = getenv("XDG_CACHE_HOME");
    const char       *home = getenv("HOME");
    FILE             *f;

    if (given != NULL)
        snprintf(path, n, "%s", given);
    else if (cache != NULL && *cache != '\0')
        snprintf(path, n, "%s/%s", cache, name);
    else
        snprintf(path, n, "%s/.cache/%s", home != NULL ? home : "", name);
    f = fopen(path, "rb");
    if (f != NULL)
        fclose(f);
    return f != NULL;
}

/* ---- GGUF ---- */

static inline void gguf_header(buf_t *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    buf_put(b, "GGUF", 4);
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

/* A key with an integer of `bytes` bytes as the file has it. */
static inline void gguf_key(buf_t *b, const char *key, uint32_t type, uint64_t value, size_t bytes)
{
    put_str(b, key);
    put_u32(b, type);
    put_int(b, value, bytes);
}

static inline void gguf_key_str(buf_t *b, const char *key, const char *value)
{
    put_str(b, key);
    put_u32(b, 8);
    put_str(b, value);
}

/* The caller puts the elements. */
static inline void gguf_key_array(buf_t *b, const char *key, uint32_t elem_type, uint64_t n)
{
    put_str(b, key);
    put_u32(b, 9);
    put_u32(b, elem_type);
    put_u64(b, n);
}

static inline void gguf_tensor(buf_t *b, const char *name, uint32_t n_dims, uint64_t d0,
                               uint64_t d1, uint32_t type, uint64_t offset)
{
    const uint64_t shape[5] = { d0, d1, 1, 1, 1 };

    put_str(b, name);
    put_u32(b, n_dims);
    for (uint32_t d = 0; d < n_dims && d < 5; d++)
        put_u64(b, shape[d]);
    put_u32(b, type);
    put_u64(b, offset);
}

#define SAMPLE_KEYS 17

/* Every type of value, four tensors; the last one ends with the file. */
static inline buf_t sample_gguf(uint32_t version)
{
    static const char *const words[] = { "<s>", "", "h\xc3\xa9llo" };
    buf_t                    b = { 0 };

    gguf_header(&b, version, 4, SAMPLE_KEYS);
    gguf_key_str(&b, "general.architecture", "llama");
    gguf_key(&b, "general.alignment", 4, 64, 4);
    gguf_key(&b, "t.u8", 0, 200, 1);
    gguf_key(&b, "t.i8", 1, (uint64_t)-5, 1);
    gguf_key(&b, "t.u16", 2, 60000, 2);
    gguf_key(&b, "t.i16", 3, (uint64_t)-3000, 2);
    gguf_key(&b, "t.i32", 5, (uint64_t)-70000, 4);
    gguf_key(&b, "t.f32", 6, 0x3fc00000u, 4);
    gguf_key(&b, "t.bool", 7, 1, 1);
    gguf_key(&b, "t.u64", 10, UINT64_MAX, 8);
    gguf_key(&b, "t.i64", 11, (uint64_t)INT64_MIN, 8);
    gguf_key(&b, "t.f64", 12, 0x4004000000000000u, 8);
    gguf_key_array(&b, "a.strings", 8, 3);
    for (int i = 0; i < 3; i++)
        put_str(&b, words[i]);
    gguf_key_array(&b, "a.i16", 3, 3);
    put_int(&b, 1, 2);
    put_int(&b, (uint64_t)-2, 2);
    put_int(&b, 300, 2);
    gguf_key_array(&b, "a.f32", 6, 2);
    put_u32(&b, 0x3f000000u);
    put_u32(&b, 0xc0000000u);
    gguf_key_array(&b, "a.bool", 7, 2);
    put_int(&b, 1, 1);
    put_int(&b, 0, 1);
    gguf_key_array(&b, "a.empty", 4, 0);
    gguf_tensor(&b, "plain", 2, 3, 5, 0, 0);            /* 60 bytes of F32 */
    gguf_tensor(&b, "nibbles", 2, 64, 2, 2, 128);       /* 72 bytes of Q4_0 */
    gguf_tensor(&b, "halves", 1, 7, 0, 1, 64);          /* 14 bytes of F16 */
    gguf_tensor(&b, "bytes", 1, 32, 0, 8, 256);         /* 34 bytes of Q8_0 */
    put_pad(&b, 64);
    put_data(&b, 256 + 34);
    return b;
}

/* ---- Safetensors ---- */

static inline buf_t safetensors(const char *header, size_t n_data)
{
    buf_t b = { 0 };

    put_u64(&b, strlen(header));
    buf_put(&b, header, strlen(header));
    put_data(&b, n_data);
    return b;
}

#define SAMPLE_HEADER                                                                              \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"                    \
    "\"scalar\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[40,42]},"                        \
    "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[24,24]},"                      \
    "\"b.\\u00e9\":{\"dtype\":\"BF16\",\"shape\":[1,2,2,2],\"data_offsets\":[24,40]}}"
#define SAMPLE_DATA 42

#endif
