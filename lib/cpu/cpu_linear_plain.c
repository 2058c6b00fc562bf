/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of the linear ops in plain C: what the others compute, written to be read.
 */
#include <math.h>
#include <string.h>

#include "cpu/cpu_linear.h"

#define MAX_ROWS 8u

static uint16_t load_u16(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return h;
}

/* ---- Activations ----------------------------------------------------------------------------- */

static void fill_f32(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    for (uint32_t k = 0; k < n; k += 2, dst += 8 * (size_t)mr) {
        float pair[2] = { x[k], k + 1 < n ? x[k + 1] : 0.0f };

        memcpy(dst + 8 * (size_t)m, pair, sizeof pair);
    }
}

/* The largest magnitude; a NaN counts as more than infinity, so that it shows in the result. */
static float max_abs(const float *x)
{
    uint32_t max = 0;

    for (uint32_t i = 0; i < LLS_GROUP; i++)
        max = lls_max_u32(max, lls_bits_of(x[i]) & 0x7fffffffu);
    return lls_float_of(max);
}

static void fill_groups(uint32_t form, const float *x, uint32_t n, uint32_t mr, uint32_t m,
                        uint8_t *dst)
{
    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += lls_form_bytes(form) * (size_t)mr) {
        float   max = max_abs(x), inverse = lls_q8_inverse(max);
        int32_t sums[2] = { 0, 0 };

        for (uint32_t i = 0; i < LLS_GROUP; i++) {
            /* the comparison is false for NaN and infinity, whose scale says it all */
            int8_t q = fabsf(x[i]) <= max && max < INFINITY ? (int8_t)lrintf(x[i] * inverse) : 0;

            dst[(i / 4 * mr + m) * 4 + i % 4] = (uint8_t)q;
            sums[i / 16] += q;
        }
        lls_put_q8_row(dst, form == LLS_FORM_Q8H, mr, m, max * (1.0f / 127.0f), sums[0], sums[1]);
    }
}

static void fill_q8(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    fill_groups(LLS_FORM_Q8, x, n, mr, m, dst);
}

static void fill_q8h(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    fill_groups(LLS_FORM_Q8H, x, n, mr, m, dst);
}

/* ---- Weights --------------------------------------------------------------------------------- */

static float plain_weight(uint32_t kind, const uint8_t *step, uint32_t odd, uint32_t lane)
{
    float f;

    switch (kind) {
    case LLS_W_F32:
        memcpy(&f, step + (odd * LLS_PANEL + lane) * 4, 4);
        return f;
    case LLS_W_F16: return lls_f16_to_f32(load_u16(step + (odd * LLS_PANEL + lane) * 2));
    default:        return lls_bf16_to_f32(load_u16(step + (lane * 2 + odd) * 2));
    }
}

static void multiply_plain(uint32_t kind, const uint8_t *acts, const uint8_t *w, uint32_t n,
                           uint32_t mr,
                           bool first, float *tile)
{
    if (first)
        memset(tile, 0, (size_t)mr * LLS_PANEL * sizeof *tile);
    for (uint32_t k = 0; k < 2 * n; k++) {
        const uint8_t *step = w + (size_t)(k / 2) * lls_kind_step_bytes(kind);
        float          weights[LLS_PANEL], a;

        for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
            weights[lane] = plain_weight(kind, step, k % 2, lane);
        for (uint32_t m = 0; m < mr; m++) {
            memcpy(&a, acts + ((size_t)(k / 2) * mr + m) * 8 + k % 2 * 4, sizeof a);
            for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
                tile[m * LLS_PANEL + lane] += a * weights[lane];
        }
    }
}

/* The 32 int8 of row m, widened; its scale; their sum, or the sums of each half. */
typedef struct acts {
    int16_t q[LLS_GROUP];
    float   scale, sums[2];
} acts_t;

static void read_acts(const uint8_t *group, uint32_t n_sums, uint32_t mr, uint32_t m, acts_t *a)
{
    for (uint32_t i = 0; i < LLS_GROUP; i++)
        a->q[i] = (int8_t)group[(i / 4 * mr + m) * 4 + i % 4];
    memcpy(&a->scale, group + (32 * mr + 4 * m), 4);
    for (uint32_t h = 0; h < n_sums; h++)
        memcpy(&a->sums[h], group + ((36 + 4 * n_sums + 4 * h) * mr + 4 * m), 4);
}

static int32_t dot(const int16_t *a, const int16_t *b, uint32_t n)
{
    int32_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* 32 values of k: n_sums = 2 where each 16 have a scale. */
static void multiply_group(uint32_t kind, const lls_group_t *w, uint32_t n_sums,
                           const uint8_t *acts, uint32_t mr, float *tile)
{
    uint32_t n = LLS_GROUP / n_sums;
    acts_t   a;

    for (uint32_t m = 0; m < mr; m++) {
        float *t = tile + m * LLS_PANEL;

        read_acts(acts, n_sums, mr, m, &a);
        for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
            for (uint32_t h = 0; h < n_sums; h++) {
                float v = (float)dot(w[lane].q + h * n, a.q + h * n, n) * w[lane].d[h];

                if (lls_kind_has_min(kind))
                    v += w[lane].m[h] * a.sums[h];
                t[lane] += v * a.scale;
            }
    }
}

static void multiply_blocks(uint32_t kind, const uint8_t *acts, const uint8_t *w, uint32_t n,
                            uint32_t mr,
                            bool first, float *tile)
{
    uint32_t    n_groups = lls_kind_step(kind) / LLS_GROUP;
    uint32_t    n_sums = lls_kind_has_halves(kind) ? 2 : 1;
    uint32_t    acts_bytes = lls_form_bytes(n_sums == 2 ? LLS_FORM_Q8H : LLS_FORM_Q8) * mr;
    lls_group_t groups[LLS_PANEL];

    if (first)
        memset(tile, 0, (size_t)mr * LLS_PANEL * sizeof *tile);
    for (uint32_t i = 0; i < n * n_groups; i++, acts += acts_bytes) {
        const uint8_t *step = w + (size_t)(i / n_groups) * lls_kind_step_bytes(kind);

        for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
            lls_wmat_read_group(kind, step, i % n_groups, lane, &groups[lane]);
        multiply_group(kind, groups, n_sums, acts, mr, tile);
    }
}

#define PLAIN_KERNEL(name, kind, multiply)                                                        \
    static void name(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr, bool first,  \
                     float *tile)                                                                 \
    {                                                                                             \
        multiply(kind, acts, w, n, mr, first, tile);                                              \
    }
PLAIN_KERNEL(multiply_f32, LLS_W_F32, multiply_plain)
PLAIN_KERNEL(multiply_f16, LLS_W_F16, multiply_plain)
PLAIN_KERNEL(multiply_bf16, LLS_W_BF16, multiply_plain)
PLAIN_KERNEL(multiply_q4_0, LLS_W_Q4_0, multiply_blocks)
PLAIN_KERNEL(multiply_q4_1, LLS_W_Q4_1, multiply_blocks)
PLAIN_KERNEL(multiply_q5_0, LLS_W_Q5_0, multiply_blocks)
PLAIN_KERNEL(multiply_q5_1, LLS_W_Q5_1, multiply_blocks)
PLAIN_KERNEL(multiply_q8_0, LLS_W_Q8_0, multiply_blocks)

PLAIN_KERNEL(multiply_q2_k, LLS_W_Q2_K, multiply_blocks)
PLAIN_KERNEL(multiply_q3_k, LLS_W_Q3_K, multiply_blocks)
PLAIN_KERNEL(multiply_q4_k, LLS_W_Q4_K, multiply_blocks)
PLAIN_KERNEL(multiply_q5_k, LLS_W_Q5_K, multiply_blocks)
PLAIN_KERNEL(multiply_q6_k, LLS_W_Q6_K, multiply_blocks)
PLAIN_KERNEL(multiply_iq4_xs, LLS_W_IQ4_XS, multiply_blocks)
PLAIN_KERNEL(multiply_int4_g128, LLS_W_INT4_G128, multiply_blocks)

const lls_linear_isa_t lls_linear_plain = {
    .max_rows = { MAX_ROWS, MAX_ROWS, MAX_ROWS, MAX_ROWS },
    .fill = { fill_f32, NULL, fill_q8, fill_q8h },
    .form = LLS_FORMS_OF_KINDS,
    .multiply = LLS_KERNELS_OF_KINDS,
};
