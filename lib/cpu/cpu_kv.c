/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_kv.h"

#include <string.h>

#define WORTH_A_FORK 8192u          /* values written */
#define ITEMS_PER_THREAD 4u

lls_kv_layout_t lls_kv_layout(uint32_t dtype, uint32_t block_tokens, uint32_t head_dim)
{
    lls_kv_layout_t l = { .dtype = dtype, .block_tokens = block_tokens, .head_dim = head_dim };
    size_t          size = dtype == LLS_F32 ? 4 : 2;

    lls_assert(dtype == LLS_F32 || dtype == LLS_BF16);
    lls_assert(head_dim % 2 == 0 && block_tokens % 2 == 0);
    l.padded_dim = (uint32_t)lls_align_up(head_dim, LLS_KV_V_DIMS);
    l.v_offset = lls_align_up((size_t)head_dim * block_tokens * size, 64);
    l.v_group = (size_t)LLS_KV_V_DIMS * block_tokens * size;
    l.head_bytes = l.v_offset + l.v_group * (l.padded_dim / LLS_KV_V_DIMS);
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
} write_job_t;

static void put_f32(const lls_kv_layout_t *l, uint8_t *head, uint32_t r, const float *k,
                    const float *v)
{
    float   *kp = (float *)(head + lls_kv_k_at(l, r, 0));
    uint32_t n;

    for (uint32_t d = 0; d < l->head_dim; d++)
        kp[(size_t)d * l->block_tokens] = k[d];
    for (uint32_t d = 0; d < l->head_dim; d += n) {
        n = lls_min_u32(LLS_KV_V_DIMS, l->head_dim - d);
        memcpy(head + lls_kv_v_at(l, r, d), v + d, n * sizeof *v);
    }
}

static void put_bf16(const lls_kv_layout_t *l, uint8_t *head, uint32_t r, const float *k,
                     const float *v)
{
    uint32_t *kp = (uint32_t *)(head + lls_kv_k_at(l, r, 0));

    for (uint32_t d = 0; d < l->head_dim; d += 2)
        kp[(size_t)(d / 2) * l->block_tokens] =
            lls_f32_to_bf16(k[d]) | (uint32_t)lls_f32_to_bf16(k[d + 1]) << 16;
    for (uint32_t g = 0; g < l->head_dim; g += LLS_KV_V_DIMS) {
        uint32_t  n = lls_min_u32(LLS_KV_V_DIMS, l->head_dim - g);
        uint32_t *vp = (uint32_t *)(head + lls_kv_v_at(l, r & ~1u, g));
        for (uint32_t d = 0; d < n; d++) {
            uint32_t h = lls_f32_to_bf16(v[g + d]);
            vp[d] = r % 2 == 0 ? h : (vp[d] & 0xffffu) | h << 16;
        }
    }
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
        const float *k = lls_row_f32(j->qkv, b->row_start[i] + at - first) +
                         (size_t)j->n_q * l->head_dim;
        for (uint32_t h = 0; h < j->n_kv; h++, k += l->head_dim) {
            uint8_t *head = lls_kv_head(j->pages, l, block, h);
            const float *v = k + (size_t)j->n_kv * l->head_dim;
            if (l->dtype == LLS_F32)
                put_f32(l, head, at % l->block_tokens, k, v);
            else
                put_bf16(l, head, at % l->block_tokens, k, v);
        }
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

void lls_cpu_kv_write(lls_exec_t *x, lls_in_t qkv, const lls_batch_t *batch,
                      const lls_pages_t *pages, const lls_attend_t *a)
{
    write_job_t job = { .qkv = qkv, .batch = batch, .pages = pages, .table = batch->table[a->group],
                        .stride = batch->max_blocks[a->group], .n_q = a->n_q, .n_kv = a->n_kv };

    lls_assert(qkv->shape[1] == (a->n_q + 2 * a->n_kv) * a->head_dim);
    if (x->planning)
        return;
    job.layout = lls_kv_layout(pages->dtype, pages->block_tokens, a->head_dim);
    job.n_items = (uint64_t)batch->n_tokens * a->n_kv * a->head_dim * 2 < WORTH_A_FORK
                      ? 1 : ITEMS_PER_THREAD * lls_cpu_of(x)->n_threads;
    lls_pool_run(lls_cpu_of(x)->pool, job.n_items, write_share, &job);
}
