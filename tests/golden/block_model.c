/* SPDX-License-Identifier: Apache-2.0 */
#include "golden/block_model.h"

#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "cpu/cpu_wmat.h"
#include "unit/model_files.h"

enum { LAYERS = 2, HIDDEN = 256, FF = 512, KV = 128 };

/* ORDER scheme: numbers of the file format. */
static const uint32_t ggml_types[LLS_N_GGUF_SCHEMES] = {
    0, 1, 30, 2, 3, 6, 7, 8, 20, 10, 11, 12, 13, 14, 23
};

/* The minimum that centres random blocks, as a multiple of their scale. */
static float centre_of(uint32_t scheme)
{
    switch (scheme) {
    case LLS_W_Q4_1: return -7.5f;
    case LLS_W_Q5_1: return -15.5f;
    case LLS_W_Q2_K: return 1.5f;
    case LLS_W_Q4_K: return 7.5f;
    default: return 15.5f;
    }
}

static void put_scales(uint32_t scheme, float scale, uint8_t *block)
{
    uint32_t at = scheme == LLS_W_Q2_K   ? 80
                  : scheme == LLS_W_Q3_K ? 108
                  : scheme == LLS_W_Q6_K ? 208
                                         : 0;
    uint16_t d = lls_f32_to_f16(scale), min = lls_f32_to_f16(scale * centre_of(scheme));

    memcpy(block + at, &d, 2);
    if (lls_kind_has_min(scheme))
        memcpy(block + at + 2, &min, 2);
}

static double rms_of(uint32_t scheme, const uint8_t *block)
{
    float    values[LLS_K_BLOCK];
    uint32_t n = lls_scheme_block(scheme);
    double   sum = 0;

    lls_dequantise(scheme, block, 0, n, values);
    for (uint32_t i = 0; i < n; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum / n);
}

/* Random blocks whose values have a mean square of 1 / HIDDEN. */
static void put_blocks(buf_t *b, uint32_t scheme, uint64_t n_values, uint64_t seed)
{
    uint32_t bytes = lls_scheme_block_bytes(scheme);
    uint8_t  block[LLS_K_BLOCK];

    for (uint64_t i = 0; i < n_values / lls_scheme_block(scheme); i++) {
        for (uint32_t k = 0; k < bytes; k++)
            block[k] = (uint8_t)lls_mix64(seed, i * LLS_K_BLOCK + k);
        put_scales(scheme, 1.0f / 64, block);
        put_scales(scheme, (float)(1.0 / 64 / 16 / rms_of(scheme, block)), block);
        buf_put(b, block, bytes);
    }
}

typedef struct entry {
    char     name[40];
    uint32_t in, out;               /* out 0: a vector of ones */
    uint32_t scheme;
} entry_t;

static uint32_t list_tensors(entry_t *t)
{
    static const struct { const char *name; uint32_t in, out; } of_layer[] = {
        { "attn_norm", HIDDEN, 0 },     { "attn_q", HIDDEN, HIDDEN }, { "attn_k", HIDDEN, KV },
        { "attn_v", HIDDEN, KV },       { "attn_output", HIDDEN, HIDDEN },
        { "ffn_norm", HIDDEN, 0 },      { "ffn_gate", HIDDEN, FF },   { "ffn_up", HIDDEN, FF },
        { "ffn_down", FF, HIDDEN },
    };
    uint32_t n = 0;

    t[n++] = (entry_t){ "token_embd.weight", HIDDEN, BLOCK_MODEL_VOCAB, 0 };
    t[n++] = (entry_t){ "output_norm.weight", HIDDEN, 0, 0 };
    t[n++] = (entry_t){ "output.weight", HIDDEN, BLOCK_MODEL_VOCAB, 0 };
    for (uint32_t l = 0; l < LAYERS; l++)
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(of_layer); i++, n++) {
            t[n] = (entry_t){ .in = of_layer[i].in, .out = of_layer[i].out };
            snprintf(t[n].name, sizeof t[n].name, "blk.%u.%s.weight", l, of_layer[i].name);
        }
    return n;
}

static void put_values(buf_t *b, const entry_t *t, uint64_t seed, bool written_out)
{
    uint64_t n = (uint64_t)t->in * lls_max_u32(t->out, 1);
    buf_t    blocks = { 0 };
    float   *values = malloc(n * sizeof *values);

    if (t->out == 0) {
        for (uint32_t i = 0; i < n; i++)            /* 2 at the end spreads the logits */
            values[i] = strcmp(t->name, "output_norm.weight") == 0 ? 2.0f : 1.0f;
        buf_put(b, values, n * sizeof *values);
    } else {
        put_blocks(&blocks, t->scheme, n, seed);
        lls_dequantise(t->scheme, blocks.data, 0, (uint32_t)n, values);
        if (written_out)
            buf_put(b, values, n * sizeof *values);
        else
            buf_put(b, blocks.data, blocks.n);
    }
    buf_free(&blocks);
    free(values);
}

static void put_keys(buf_t *b)
{
    gguf_key_str(b, "general.architecture", "llama");
    gguf_key(b, "llama.block_count", 4, LAYERS, 4);
    gguf_key(b, "llama.context_length", 4, 512, 4);
    gguf_key(b, "llama.embedding_length", 4, HIDDEN, 4);
    gguf_key(b, "llama.feed_forward_length", 4, FF, 4);
    gguf_key(b, "llama.attention.head_count", 4, 4, 4);
    gguf_key(b, "llama.attention.head_count_kv", 4, 2, 4);
    gguf_key(b, "llama.attention.layer_norm_rms_epsilon", 6, 0x3727c5ac, 4);    /* 1e-5 */
}

void block_model_write(const char *path, uint32_t scheme, bool written_out)
{
    entry_t  t[3 + 9 * LAYERS];
    uint32_t n = list_tensors(t);
    uint64_t offset = 0;
    buf_t    b = { 0 };
    FILE    *f = fopen(path, "wb");

    assert_non_null(f);
    gguf_header(&b, 3, n, 8);
    put_keys(&b);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t rows = lls_max_u32(t[i].out, 1);
        uint32_t stored;

        t[i].scheme = scheme < LLS_N_GGUF_SCHEMES
                          ? scheme
                          : LLS_W_Q4_0 + i * 5 % (LLS_N_GGUF_SCHEMES - LLS_W_Q4_0);
        stored = t[i].out == 0 || written_out ? LLS_W_F32 : t[i].scheme;
        gguf_tensor(&b, t[i].name, t[i].out == 0 ? 1 : 2, t[i].in, rows, ggml_types[stored],
                    offset);
        offset = lls_align_up(offset + rows * lls_scheme_row_bytes(stored, t[i].in), 32);
    }
    for (uint32_t i = 0; i < n; i++) {
        put_pad(&b, 32);
        put_values(&b, &t[i], i, written_out);
    }
    assert_int_equal(fwrite(b.data, 1, b.n, f), b.n);
    fclose(f);
    buf_free(&b);
}
