/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drive - one model on the CPU backend and one sequence, by hand: what a runner does, without one.
 *
 * Blocks are handed out backwards and hold NaNs at first; entries behind a window are taken away,
 * as the KV cache does.  Functions assert; there is nothing to clean up after a failure.
 */
#ifndef LLS_TEST_DRIVE_H
#define LLS_TEST_DRIVE_H

#include "unit/test.h"

#include <math.h>

#include "cpu/cpu.h"
#include "model/model.h"

#define DRIVE_BLOCK 16u

typedef struct drive {
    lls_mem_t        mem;
    lls_cpu_t       *cpu;
    lls_model_t     *model;
    const lls_ops_t *ops;
    void            *weights, *arena, *pages[LLS_MAX_GROUPS];
    uint32_t        *tables[LLS_MAX_GROUPS];
    uint32_t         max_len, max_chunk, n_blocks, n_vocab;
    uint32_t         kv_dtype;      /* of the cache */
} drive_t;

static inline void *drive_memory(size_t bytes)
{
    void *p = aligned_alloc(64, lls_align_up(bytes, 64) + 64);

    assert_non_null(p);
    return p;
}

/* One row of n tokens at positions [at, at + n), logits of the last n_logits. */
static inline void drive_forward_hidden(drive_t *d, lls_exec_t *x, const int32_t *ids, uint32_t at,
                                        uint32_t n, uint32_t n_logits, lls_tensor_t *logits,
                                        lls_tensor_t *hidden)
{
    const lls_traits_t *t = lls_model_traits(d->model);
    uint32_t            row_start[2] = { 0, n }, context = at + n, row = 0;
    int32_t            *positions = calloc(n, sizeof *positions);
    uint32_t           *zeros = calloc(n, sizeof *zeros), *chosen = calloc(n, sizeof *chosen);
    lls_batch_t         b = { .n_tokens = n, .n_rows = 1, .n_logits = n_logits, .max_n = n,
                              .max_context = at + n, .n_groups = t->n_groups };

    b.positions = positions;
    b.row_of = b.logit_row = zeros;
    b.row_start = row_start;
    b.context = &context;
    b.row = &row;
    b.logit_token = chosen;
    b.ids = (int32_t *)ids;
    for (uint32_t i = 0; i < n; i++)
        positions[i] = (int32_t)(at + i);
    for (uint32_t i = 0; i < n_logits; i++)
        chosen[i] = n - n_logits + i;
    for (uint32_t g = 0; g < t->n_groups; g++) {
        lls_kv_group_config_t kind = { .kind = t->groups[g].kind, .window = t->groups[g].window };

        b.max_blocks[g] = d->n_blocks;
        b.table[g] = d->tables[g];
        for (uint32_t i = 0; i < lls_kv_first_needed(&kind, at) / DRIVE_BLOCK && !x->planning; i++)
            d->tables[g][i] = 0;
    }
    lls_model_forward(x, d->model, &b, logits, NULL, hidden);
    free(positions);
    free(zeros);
    free(chosen);
}

static inline void drive_forward(drive_t *d, lls_exec_t *x, const int32_t *ids, uint32_t at,
                                 uint32_t n, uint32_t n_logits, lls_tensor_t *logits)
{
    drive_forward_hidden(d, x, ids, at, n, n_logits, logits, NULL);
}

static inline void drive_plan(drive_t *d, lls_exec_t *x, uint32_t max_logits)
{
    lls_tensor_t logits;

    *x = (lls_exec_t){ .ops = d->ops, .backend = d->cpu, .planning = true, .invariant = true };
    drive_forward(d, x, NULL, d->max_len - d->max_chunk, d->max_chunk, max_logits, &logits);
    assert_int_equal(x->status, LLM_OK);
}

static inline void drive_pages(drive_t *d)
{
    const lls_traits_t *t = lls_model_traits(d->model);

    for (uint32_t g = 0; g < t->n_groups; g++) {
        uint64_t block = lls_model_block_bytes(d->model, d->ops, g, d->kv_dtype, DRIVE_BLOCK);

        d->pages[g] = drive_memory(block * (d->n_blocks + 1));
        d->tables[g] = calloc(d->n_blocks, sizeof *d->tables[g]);
        lls_model_bind_pages(d->model, d->ops, g, d->pages[g], block, d->kv_dtype, DRIVE_BLOCK);
    }
}

/* The empty sequence. */
static inline void drive_restart(drive_t *d)
{
    const lls_traits_t *t = lls_model_traits(d->model);

    for (uint32_t g = 0; g < t->n_groups; g++) {
        uint64_t block = lls_model_block_bytes(d->model, d->ops, g, d->kv_dtype, DRIVE_BLOCK);
        memset(d->pages[g], 0xff, block * (d->n_blocks + 1));
        for (uint32_t i = 0; i < d->n_blocks; i++)
            d->tables[g][i] = d->n_blocks - i;
    }
}

static inline void drive_open(drive_t *d, const lls_model_options_t *o, uint32_t max_chunk,
                              const char *isa, uint32_t n_threads)
{
    llm_error_t err = { 0 };
    size_t      bytes;

    memset(d, 0, sizeof *d);
    lls_mem_init(&d->mem, NULL);
    if (lls_model_open(&d->mem, NULL, o, &d->model, &err) != LLM_OK)
        fail_msg("%s: %s", o->path, err.message);
    assert_int_equal(lls_cpu_create(&d->mem, n_threads, isa, &d->cpu, &err), LLM_OK);
    d->ops = lls_cpu_ops(d->cpu);
    d->max_len = o->max_model_len;
    d->max_chunk = lls_min_u32(max_chunk, d->max_len);
    d->n_blocks = lls_ceil_div(d->max_len, DRIVE_BLOCK);
    d->n_vocab = lls_model_traits(d->model)->n_vocab;
    bytes = lls_model_weight_bytes(d->model, d->ops);
    d->weights = drive_memory(bytes);
    memset((uint8_t *)d->weights + bytes, 0xa5, 64);
    if (lls_model_load(d->model, d->ops, d->cpu, d->weights, NULL, NULL, &err) != LLM_OK)
        fail_msg("%s: %s", o->path, err.message);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(((uint8_t *)d->weights)[bytes + i], 0xa5);
    assert_int_equal(lls_model_weight_bytes(d->model, d->ops), bytes);
    d->kv_dtype = lls_model_dtype(d->model) == LLS_F32 ? LLS_F32 : LLS_BF16;
    drive_pages(d);
    drive_restart(d);
}

static inline void drive_free_pages(drive_t *d)
{
    for (uint32_t g = 0; g < LLS_MAX_GROUPS; g++) {
        free(d->pages[g]);
        free(d->tables[g]);
        d->pages[g] = d->tables[g] = NULL;
    }
}

/* Another cache, and the empty sequence. */
static inline void drive_change_kv(drive_t *d, uint32_t dtype)
{
    drive_free_pages(d);
    d->kv_dtype = dtype;
    drive_pages(d);
    drive_restart(d);
}

/* Logits of the last n_logits of n tokens, in chunks of at most `chunk`, to out [n_logits,
 * n_vocab]. */
static inline void drive_run(drive_t *d, const int32_t *ids, uint32_t at, uint32_t n,
                             uint32_t chunk, uint32_t n_logits, float *out)
{
    lls_exec_t   x, plan;
    lls_tensor_t logits;

    d->max_chunk = lls_min_u32(chunk, n);
    drive_plan(d, &plan, lls_min_u32(n_logits, d->max_chunk));
    d->arena = drive_memory(plan.peak + plan.scratch_peak);
    memset(d->arena, 0xff, plan.peak + plan.scratch_peak);
    for (uint32_t done = 0, m; done < n; done += m) {
        uint32_t want;

        m = lls_min_u32(d->max_chunk, n - done);
        want = lls_min_u32(m, lls_sub_u32(done + m, n - n_logits));
        x = (lls_exec_t){ .ops = d->ops, .backend = d->cpu, .arena = d->arena,
                          .cap = lls_align_up(plan.peak, 64), .scratch_cap = plan.scratch_peak,
                          .invariant = true };
        drive_forward(d, &x, ids + done, at + done, m, want, &logits);
        assert_int_equal(x.status, LLM_OK);
        assert_true(x.peak <= plan.peak && x.scratch_peak <= plan.scratch_peak);
        if (m == d->max_chunk && want == lls_min_u32(n_logits, m))
            assert_int_equal(x.peak, plan.peak);        /* the plan is exact */
        for (uint32_t i = 0; i < want; i++, out += d->n_vocab)
            memcpy(out, (float *)logits.data + i * logits.stride[0], d->n_vocab * sizeof *out);
    }
    free(d->arena);
}

static inline void drive_close(drive_t *d)
{
    drive_free_pages(d);
    lls_model_close(d->model);
    lls_cpu_destroy(d->cpu);
    free(d->weights);
    assert_int_equal(atomic_load(&d->mem.held), 0);
}

/* log-softmax in place, in float64. */
static inline void drive_logprobs(float *row, uint32_t n)
{
    double max = row[0], sum = 0;

    for (uint32_t i = 1; i < n; i++)
        max = row[i] > max ? row[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(row[i] - max);
    for (uint32_t i = 0; i < n; i++)
        row[i] = (float)(row[i] - max - log(sum));
}

/* Sum over rows of KL(p || q) of log-probabilities. */
static inline double drive_kl(const float *p, const float *q, uint32_t rows, uint32_t n)
{
    double sum = 0;

    for (size_t i = 0; i < (size_t)rows * n; i++)
        sum += exp(p[i]) * ((double)p[i] - q[i]);
    return sum;
}

static inline int32_t drive_argmax(const float *row, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++)
        best = row[i] > row[best] ? i : best;
    return (int32_t)best;
}

#endif
