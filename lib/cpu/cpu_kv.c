/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_row_kernels.h"

#include <string.h>

#define WORTH_A_FORK 2048u          /* values written: each is a cache miss or nearly */
#define ITEMS_PER_THREAD 4u

/* Dimensions of K and tokens of V that lie together. */
static const struct { uint8_t k, v; } packs[LLS_N_DTYPES] = {
    [LLS_F32] = { 1, 1 }, [LLS_F16] = { 1, 1 }, [LLS_BF16] = { 2, 2 }, [LLS_I8] = { 4, 2 },
};

lls_kv_layout_t lls_kv_layout(uint32_t dtype, uint32_t block_tokens, uint32_t head_dim)
{
    lls_kv_layout_t l = { .dtype = dtype, .block_tokens = block_tokens, .head_dim = head_dim };

    lls_assert(dtype < LLS_N_DTYPES && packs[dtype].k != 0);
    lls_assert(head_dim % 2 == 0 && head_dim <= LLS_KV_MAX_DIM && block_tokens % 2 == 0);
    l.size = (uint32_t)lls_dtype_size(dtype);
    l.k_pack = packs[dtype].k;
    l.v_pack = packs[dtype].v;
    l.padded_dim = (uint32_t)lls_align_up(head_dim, LLS_KV_V_DIMS);
    l.v_offset = lls_align_up(lls_align_up(head_dim, l.k_pack) * block_tokens * l.size, 64);
    l.v_group = (size_t)LLS_KV_V_DIMS * block_tokens * l.size;
    l.scales = l.v_offset + l.v_group * (l.padded_dim / LLS_KV_V_DIMS);
    l.head_bytes = l.scales;
    if (dtype == LLS_I8)
        l.head_bytes += lls_align_up(2 * sizeof(float) * block_tokens, 64);
    return l;
}

size_t lls_cpu_page_bytes(uint32_t dtype, uint32_t block_tokens, uint32_t n_heads,
                          uint32_t head_dim)
{
    return lls_kv_layout(dtype, block_tokens, head_dim).head_bytes * n_heads;
}

/* ---- Writing -------------------------------------------------------------------------------- */

typedef struct write_job {
    const lls_tensor_t *qkv;
    const lls_batch_t  *batch;
    const lls_pages_t  *pages;
    const uint32_t     *table;
    uint32_t            stride;     /* of table */
    uint32_t            n_q, n_kv;
    lls_kv_layout_t     layout;
    uint32_t            n_items;
    const lls_attend_kernels_t *k;
    const lls_rope_job_t *rope;     /* done before; or NULL */
} write_job_t;

typedef struct stored {             /* a token's values, packed and in the type of the cache */
    _Alignas(64) uint8_t v[LLS_KV_MAX_DIM * sizeof(float) + 64];
} stored_t;

static void put_k(const lls_kv_layout_t *l, uint8_t *to, const uint8_t *from)
{
    uint32_t unit = l->k_pack * l->size;
    size_t   pitch = (size_t)l->block_tokens * unit;

    if (unit == 4)
        for (uint32_t i = 0; i < l->head_dim * l->size; i += 4, to += pitch)
            memcpy(to, from + i, 4);
    else
        for (uint32_t i = 0; i < l->head_dim * l->size; i += 2, to += pitch)
            memcpy(to, from + i, 2);
}

/* One token of the pairs in a group: 2 bytes a value. */
static void put_pairs(uint16_t *to, const uint16_t *from, uint32_t n, bool odd)
{
    for (uint32_t d = 0; d < n; d++) {
        to[2 * d + odd] = from[d];
        if (!odd)
            to[2 * d + 1] = 0;
    }
}

static void put_byte_pairs(uint8_t *to, const uint8_t *from, uint32_t n, bool odd)
{
    for (uint32_t d = 0; d < n; d++)
        to[2 * d + odd] = from[d];
}

static void put_v(const lls_kv_layout_t *l, uint8_t *head, uint32_t r, const uint8_t *from)
{
    uint32_t n, first = r / l->v_pack * l->v_pack;

    for (uint32_t d = 0; d < l->head_dim; d += n, from += (size_t)n * l->size) {
        uint8_t *to = head + lls_kv_v_at(l, first, d);
        n = lls_min_u32(LLS_KV_V_DIMS, l->head_dim - d);
        if (l->v_pack == 1)
            memcpy(to, from, (size_t)n * l->size);
        else if (l->size == 2)
            put_pairs((uint16_t *)to, (const uint16_t *)from, n, r != first);
        else
            put_byte_pairs(to, from, n, r != first);
    }
}

static void put(const write_job_t *j, uint8_t *head, uint32_t r, const float *k, const float *v)
{
    const lls_kv_layout_t *l = &j->layout;
    stored_t               x;
    float                  scale = j->k->narrow(l->dtype, k, l->head_dim, x.v);

    if (l->dtype == LLS_I8) {
        lls_kv_scales(l, head)[r] = scale;
        memset(x.v + l->head_dim, 0, l->k_pack);
        for (uint32_t d = 0; d < l->head_dim; d++)
            x.v[d] ^= 0x80;
    }
    put_k(l, head + lls_kv_k_at(l, r, 0), x.v);
    scale = j->k->narrow(l->dtype, v, l->head_dim, x.v);
    if (l->dtype == LLS_I8)
        lls_kv_scales(l, head)[l->block_tokens + r] = scale;
    put_v(l, head, r, x.v);
}

/* Tokens [at, end) of batch row i, all in one block: the pairs of V are one thread's. */
static void write_block(const write_job_t *j, uint32_t i, uint32_t at, uint32_t end)
{
    const lls_batch_t     *b = j->batch;
    const lls_kv_layout_t *l = &j->layout;
    uint32_t first = b->context[i] - (b->row_start[i + 1] - b->row_start[i]);
    uint32_t block = j->table[(size_t)b->row[i] * j->stride + at / l->block_tokens];

    lls_assert(block != 0);
    for (; at < end; at++) {
        uint32_t     token = b->row_start[i] + at - first;
        const float *k = lls_row_f32(j->qkv, token) + (size_t)j->n_q * l->head_dim;

        if (j->rope != NULL)
            lls_cpu_rope_token(j->rope, token);
        for (uint32_t h = 0; h < j->n_kv; h++, k += l->head_dim)
            put(j, lls_kv_head(j->pages, l, block, h), at % l->block_tokens, k,
                k + (size_t)j->n_kv * l->head_dim);
    }
}

/* Blocks are dealt out in turn. */
static void write_share(void *arg, uint32_t item, uint32_t ith)
{
    const write_job_t *j = arg;
    const lls_batch_t *b = j->batch;
    uint32_t           turn = 0, next;

    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint32_t n = b->row_start[i + 1] - b->row_start[i];
        for (uint32_t at = b->context[i] - n; at < b->context[i]; at = next) {
            next = lls_min_u32((at / j->layout.block_tokens + 1) * j->layout.block_tokens,
                               b->context[i]);
            if (turn++ % j->n_items == item)
                write_block(j, i, at, next);
        }
    }
}

static void write_all(lls_exec_t *x, lls_in_t qkv, const lls_rope_job_t *rope,
                      const lls_batch_t *batch, const lls_pages_t *pages, const lls_attend_t *a)
{
    write_job_t job = { .qkv = qkv, .batch = batch, .pages = pages, .table = batch->table[a->group],
                        .stride = batch->max_blocks[a->group], .n_q = a->n_q, .n_kv = a->n_kv,
                        .rope = rope };

    lls_assert(qkv->shape[1] == (a->n_q + 2 * a->n_kv) * a->head_dim);
    if (x->planning)
        return;
    job.layout = lls_kv_layout(pages->dtype, pages->block_tokens, a->head_dim);
    job.k = lls_attend_kernels(lls_cpu_of(x)->isa, &job.layout);
    job.n_items = lls_min_u32(batch->n_tokens, ITEMS_PER_THREAD * lls_cpu_of(x)->n_threads);
    if ((uint64_t)batch->n_tokens * a->n_kv * a->head_dim * 2 < WORTH_A_FORK)
        job.n_items = 1;
    lls_pool_run(lls_cpu_of(x)->pool, job.n_items, write_share, &job);
}

void lls_cpu_kv_write(lls_exec_t *x, lls_in_t qkv, const lls_batch_t *batch,
                      const lls_pages_t *pages, const lls_attend_t *a)
{
    write_all(x, qkv, NULL, batch, pages, a);
}

void lls_cpu_rope_write(lls_exec_t *x, lls_out_t qkv, lls_in_t angles, const lls_rope_t *rope,
                        const lls_batch_t *batch, const lls_pages_t *pages, const lls_attend_t *a)
{
    lls_rope_job_t job = { lls_row_kernels(lls_cpu_of(x)->isa), qkv, angles, rope };

    lls_assert(angles == NULL || angles->shape[1] <= rope->head_dim);
    write_all(x, qkv, &job, batch, pages, a);
}
