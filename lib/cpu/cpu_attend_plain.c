/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_kv_narrow.h"
#include "cpu/cpu_math.h"

typedef struct workspace {          /* at the start of a thread's working memory */
    float   *q;                     /* [rows][head_dim], scaled; int8: whole numbers */
    float   *q_scale;               /* [rows], int8 only */
    float   *s;                     /* scores of a row */
    float   *o;                     /* p v of a row and tile */
    int32_t *sum;                   /* int8: the same, in steps */
} workspace_t;

static size_t lay_out(const lls_kv_layout_t *l, uint32_t rows, uint8_t *at, workspace_t *w)
{
    size_t q = lls_align_up(sizeof *w, 64) / sizeof(float);
    size_t q_scale = q + (size_t)rows * l->head_dim, s = q_scale + rows, o = s + LLS_ATTEND_TILE;
    size_t sum = o + l->padded_dim, end = sum + l->padded_dim;

    if (at != NULL) {
        float *base = (float *)at;
        *w = (workspace_t){ base + q, base + q_scale, base + s, base + o, (int32_t *)(base + sum) };
    }
    return lls_align_up(end * sizeof(float), 64);
}

static size_t work_bytes(const lls_kv_layout_t *l, uint32_t rows)
{
    return lay_out(l, rows, NULL, NULL);
}

static void load(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item)
{
    workspace_t *w = work;
    uint32_t     rows = item->n_tokens * j->group, dim = j->kv.head_dim;
    float       *q;

    lay_out(&j->kv, rows, work, w);
    q = w->q;
    for (uint32_t m = 0; m < rows; m++, q += dim) {
        const float *src = lls_attend_query(j, item, m);
        if (j->kv.dtype == LLS_I8)
            w->q_scale[m] = lls_quantise_row(src, dim, (int8_t *)w->o) * j->q_scale;
        for (uint32_t d = 0; d < dim; d++)
            q[d] = j->kv.dtype == LLS_I8 ? ((int8_t *)w->o)[d] : src[d] * j->q_scale;
    }
}

/* Value i of some that lie one after another, but for those packed between them. */
static float value(const lls_kv_layout_t *l, const uint8_t *values, uint32_t i)
{
    switch (l->dtype) {
    case LLS_F16:
        return lls_f16_to_f32(((const uint16_t *)values)[i]);
    case LLS_BF16:
        return lls_bf16_to_f32(((const uint16_t *)values)[2 * i]);
    default:
        return ((const float *)values)[i];
    }
}

/* to[i] += factor * value i */
static void add_scaled(const lls_kv_layout_t *l, const uint8_t *values, uint32_t n, float factor,
                       float *to)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] += factor * value(l, values, i);
}

/* q k of token r in int8. */
static float score_i8(const lls_kv_layout_t *l, const uint8_t *block, uint32_t r, const float *q,
                      float q_scale)
{
    int32_t sum = 0;

    for (uint32_t d = 0; d < l->head_dim; d++)
        sum += (int32_t)q[d] * (block[lls_kv_k_at(l, r, d)] - 128);
    return (float)sum * lls_kv_scales(l, block)[r] * q_scale;
}

/* s[0 .. n) = q k of tokens r .. r + n - 1 of a block. */
static void scores_of_block(const lls_attend_job_t *j, const uint8_t *block, uint32_t r, uint32_t n,
                            const float *q, float q_scale, float *s)
{
    const lls_kv_layout_t *l = &j->kv;

    memset(s, 0, n * sizeof *s);
    if (l->dtype == LLS_I8)
        for (uint32_t t = 0; t < n; t++)
            s[t] = score_i8(l, block, r + t, q, q_scale);
    else
        for (uint32_t d = 0; d < l->head_dim; d++)
            add_scaled(l, block + lls_kv_k_at(l, r, d), n, q[d], s);
    for (uint32_t t = 0; t < n && j->cap != 0.0f; t++)
        s[t] = j->cap * lls_tanh(s[t]);
}

/* Tokens [begin, end) that one row sees. */
typedef struct range {
    const lls_attend_job_t  *j;
    const lls_attend_item_t *item;
    uint32_t                 begin, end;
} range_t;

static const uint8_t *block_of(const range_t *r, uint32_t t)
{
    return lls_attend_block(r->j, r->item->row, r->item->head, t / r->j->kv.block_tokens);
}

/* o = p v, where p = 2^(s - max); returns the sum of p. */
static float values(const range_t *r, const float *s, float max, float *o)
{
    const lls_kv_layout_t *l = &r->j->kv;
    float                  sum = 0.0f;
    uint32_t               n;

    memset(o, 0, l->padded_dim * sizeof *o);
    for (uint32_t t = r->begin; t < r->end; t++) {
        float          p = lls_exp2_cut(s[t - r->begin] - max);
        const uint8_t *block = block_of(r, t);
        sum += p;
        for (uint32_t d = 0; d < l->head_dim; d += n) {
            n = lls_min_u32(LLS_KV_V_DIMS, l->head_dim - d);
            add_scaled(l, block + lls_kv_v_at(l, t % l->block_tokens, d), n, p, o + d);
        }
    }
    return sum;
}

static const float *v_scale(const range_t *r, uint32_t t)
{
    const lls_kv_layout_t *l = &r->j->kv;

    return lls_kv_scales(l, block_of(r, t)) + l->block_tokens + t % l->block_tokens;
}

/* The same with integers; steps: memory for them. */
static float values_i8(const range_t *r, const float *s, float max, int32_t *steps, float *o)
{
    const lls_kv_layout_t *l = &r->j->kv;
    uint32_t               top = 0;
    float                  sum = 0.0f, up, step;

    for (uint32_t t = r->begin; t < r->end; t++)
        top = lls_max_u32(top, lls_bits_of(*v_scale(r, t)));
    step = lls_weight_step(top, &up);
    memset(steps, 0, l->padded_dim * sizeof *steps);
    for (uint32_t t = r->begin; t < r->end; t++) {
        float          p = lls_exp2_cut(s[t - r->begin] - max), w = p * (*v_scale(r, t) * up);
        const uint8_t *block = block_of(r, t);
        int32_t        q = w > 0.0f ? (int32_t)lrintf(fminf(w, 32767.0f)) : 0;
        sum += p;
        for (uint32_t d = 0; d < l->head_dim; d++)
            steps[d] += q * (int8_t)block[lls_kv_v_at(l, t % l->block_tokens, d)];
    }
    for (uint32_t d = 0; d < l->head_dim; d++)
        o[d] = (float)steps[d] * step;
    return sum;
}

/* (max, sum, o) take (max2, sum2, o2) in.  Before the first tile the maximum is -inf, and nothing
 * may become inf - inf. */
static void merge_row(const lls_kv_layout_t *l, float *max, float *sum, float *o, float max2,
                      float sum2, const float *o2)
{
    float top = max2 > *max ? max2 : *max, zero = top == -INFINITY ? 0.0f : top;
    float f = lls_exp2_cut(*max - zero), f2 = lls_exp2_cut(max2 - zero);

    *max = top;
    *sum = f * *sum + f2 * sum2;
    for (uint32_t d = 0; d < l->head_dim; d++)
        o[d] = f * o[d] + f2 * o2[d];
}

/* Row m of an item. */
static void row_of_tile(const range_t *r, workspace_t *w, uint32_t m, float *max, float *sum,
                        float *o)
{
    uint32_t bt = r->j->kv.block_tokens, n;
    float    top = -INFINITY, total;

    for (uint32_t t = r->begin; t < r->end; t += n) {
        n = lls_min_u32(bt - t % bt, r->end - t);
        scores_of_block(r->j, block_of(r, t), t % bt, n, w->q + (size_t)m * r->j->kv.head_dim,
                        w->q_scale[m], w->s + (t - r->begin));
    }
    for (uint32_t t = 0; t < r->end - r->begin; t++)
        top = w->s[t] > top ? w->s[t] : top;
    total = r->j->kv.dtype == LLS_I8 ? values_i8(r, w->s, top, w->sum, w->o)
                                     : values(r, w->s, top, w->o);
    merge_row(&r->j->kv, max, sum, o, top, total, w->o);
}

static void tile(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                 uint32_t tile, const lls_attend_item_t *after, float *total)
{
    uint32_t rows = item->n_tokens * j->group, at = lls_attend_position(j, item);
    uint32_t base = tile * LLS_ATTEND_TILE;
    float   *o = lls_attend_o(total, rows), *sum = lls_attend_sum(total, rows);

    for (uint32_t m = 0; m < rows; m++, o += j->kv.padded_dim) {
        uint32_t pos = at + m / j->group;
        range_t  r = { j, item, lls_max_u32(lls_kv_first_needed(&j->mask, pos), base),
                       lls_min_u32(pos + 1, base + LLS_ATTEND_TILE) };
        if (r.begin < r.end)
            row_of_tile(&r, work, m, &total[m], &sum[m], o);
    }
}

static void merge(const lls_kv_layout_t *l, uint32_t rows, float *total, float *part)
{
    float *sum = lls_attend_sum(total, rows), *sum2 = lls_attend_sum(part, rows);
    float *o = lls_attend_o(total, rows), *o2 = lls_attend_o(part, rows);

    for (uint32_t m = 0; m < rows; m++, o += l->padded_dim, o2 += l->padded_dim)
        merge_row(l, &total[m], &sum[m], o, part[m], sum2[m], o2);
}

static void scale(float *to, const float *o, float factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = o[i] * factor;
}

const lls_attend_kernels_t lls_attend_plain = { work_bytes, load, tile, merge, scale,
                                                lls_kv_narrow };
