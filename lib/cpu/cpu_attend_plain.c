/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_math.h"

/* Working memory: the queries [rows][head_dim], scaled; then the scores of one row. */
static size_t work_bytes(const lls_kv_layout_t *l, uint32_t rows)
{
    return lls_align_up(((size_t)rows * l->head_dim + LLS_ATTEND_TILE) * sizeof(float), 64);
}

static float *scores_of(void *work, const lls_attend_job_t *j, const lls_attend_item_t *item)
{
    return (float *)work + (size_t)item->n_tokens * j->group * j->kv.head_dim;
}

static void load(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item)
{
    float *q = work;

    for (uint32_t m = 0; m < item->n_tokens * j->group; m++) {
        const float *src = lls_attend_query(j, item, m);
        for (uint32_t d = 0; d < j->kv.head_dim; d++)
            *q++ = src[d] * j->q_scale;
    }
}

/* to[i] += factor * value i of n values that lie one after another in float32, or every other one
 * in bfloat16. */
static void add_scaled(const lls_kv_layout_t *l, const uint8_t *values, uint32_t n, float factor,
                       float *to)
{
    if (l->dtype == LLS_F32) {
        const float *v = (const float *)values;
        for (uint32_t i = 0; i < n; i++)
            to[i] += factor * v[i];
    } else {
        const uint16_t *v = (const uint16_t *)values;
        for (uint32_t i = 0; i < n; i++)
            to[i] += factor * lls_bf16_to_f32(v[2 * i]);
    }
}

/* s[0 .. n) = q k of tokens r .. r + n - 1 of a block. */
static void scores_of_block(const lls_attend_job_t *j, const uint8_t *block, uint32_t r, uint32_t n,
                            const float *q, float *s)
{
    memset(s, 0, n * sizeof *s);
    for (uint32_t d = 0; d < j->kv.head_dim; d++)
        add_scaled(&j->kv, block + lls_kv_k_at(&j->kv, r, d), n, q[d], s);
    for (uint32_t t = 0; t < n && j->cap != 0.0f; t++)
        s[t] = j->cap * lls_tanh(s[t]);
}

/* o += p v of token r. */
static void add_values(const lls_attend_job_t *j, const uint8_t *block, uint32_t r, float p,
                       float *o)
{
    uint32_t n;

    for (uint32_t d = 0; d < j->kv.head_dim; d += n) {
        n = lls_min_u32(LLS_KV_V_DIMS, j->kv.head_dim - d);
        add_scaled(&j->kv, block + lls_kv_v_at(&j->kv, r, d), n, p, o + d);
    }
}

/* The tokens [begin, end) of one row: the maximum, the sum and o. */
static void one_row(const lls_attend_job_t *j, const lls_attend_item_t *item, uint32_t begin,
                    uint32_t end, const float *q, float *s, float *o, float *max, float *sum)
{
    uint32_t bt = j->kv.block_tokens, n;

    *max = -INFINITY;
    *sum = 0.0f;
    memset(o, 0, j->kv.padded_dim * sizeof *o);
    for (uint32_t t = begin; t < end; t += n) {
        n = lls_min_u32(bt - t % bt, end - t);
        scores_of_block(j, lls_attend_block(j, item->row, item->head, t / bt), t % bt, n, q,
                        s + (t - begin));
    }
    for (uint32_t t = 0; t < end - begin; t++)
        *max = s[t] > *max ? s[t] : *max;
    for (uint32_t t = begin; t < end; t++) {
        float p = lls_exp2_cut(s[t - begin] - *max);
        *sum += p;
        add_values(j, lls_attend_block(j, item->row, item->head, t / bt), t % bt, p, o);
    }
}

static void tile(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                 uint32_t tile, const lls_attend_item_t *after, float *part)
{
    uint32_t rows = item->n_tokens * j->group, at = lls_attend_position(j, item);
    uint32_t base = tile * LLS_ATTEND_TILE;
    float   *s = scores_of(work, j, item);
    float   *max = lls_attend_max(&j->kv, part, rows), *sum = lls_attend_sum(&j->kv, part, rows);

    for (uint32_t m = 0; m < rows; m++) {
        uint32_t pos = at + m / j->group;
        uint32_t begin = lls_max_u32(lls_kv_first_needed(&j->mask, pos), base);
        uint32_t end = lls_min_u32(pos + 1, base + LLS_ATTEND_TILE);
        one_row(j, item, begin, lls_max_u32(begin, end), (float *)work + (size_t)m * j->kv.head_dim,
                s, part + (size_t)m * j->kv.padded_dim, &max[m], &sum[m]);
    }
}

/* Before the first tile the maximum is -inf, and nothing may become inf - inf. */
static void merge(const lls_kv_layout_t *l, uint32_t rows, float *total, float *part)
{
    float *max = lls_attend_max(l, total, rows), *sum = lls_attend_sum(l, total, rows);
    float *max2 = lls_attend_max(l, part, rows), *sum2 = lls_attend_sum(l, part, rows);

    for (uint32_t m = 0; m < rows; m++) {
        float *o = total + (size_t)m * l->padded_dim, *o2 = part + (size_t)m * l->padded_dim;
        float  top = max2[m] > max[m] ? max2[m] : max[m], zero = top == -INFINITY ? 0.0f : top;
        float  f = lls_exp2_cut(max[m] - zero), f2 = lls_exp2_cut(max2[m] - zero);
        max[m] = top;
        sum[m] = f * sum[m] + f2 * sum2[m];
        for (uint32_t d = 0; d < l->head_dim; d++)
            o[d] = f * o[d] + f2 * o2[d];
    }
}

const lls_attend_kernels_t lls_attend_plain = { work_bytes, load, tile, merge };
