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
    union { uint32_t u; float f; } v, max = { 0 };

    for (uint32_t i = 0; i < LLS_GROUP; i++) {
        v.f = x[i];
        v.u &= 0x7fffffffu;
        max.u = lls_max_u32(max.u, v.u);
    }
    return max.f;
}

static void fill_q8(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += 44 * (size_t)mr) {
        float   max = max_abs(x), inverse = lls_q8_inverse(max);
        int32_t sum = 0;

        for (uint32_t i = 0; i < LLS_GROUP; i++) {
            /* the comparison is false for NaN and infinity, whose scale says it all */
            int8_t q = fabsf(x[i]) <= max && max < INFINITY ? (int8_t)lrintf(x[i] * inverse) : 0;

            dst[(i / 4 * mr + m) * 4 + i % 4] = (uint8_t)q;
            sum += q;
        }
        lls_put_q8_row(dst, mr, m, max * (1.0f / 127.0f), sum);
    }
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

/* A step of a block kind, unpacked: integers less their zero, [lane][32]. */
typedef struct step {
    int16_t q[LLS_PANEL][LLS_GROUP];
    float   d[LLS_PANEL], m[LLS_PANEL];
} step_t;

/* ORDER scheme, from Q4_0 on: what stands for zero. */
static const int16_t zeros[] = { 8, 0, 16, 0, 128 };

static void unpack_step(uint32_t kind, const uint8_t *w, step_t *s)
{
    const uint8_t *scales = w + lls_kind_value_bytes(kind);
    int16_t        zero = zeros[kind - LLS_W_Q4_0];

    for (uint32_t i = 0; i < lls_kind_value_bytes(kind); i++) {
        uint32_t lane = i / 4 % LLS_PANEL, k = i / 128 * 4 + i % 4;

        if (lls_kind_is_q4(kind)) {
            s->q[lane][k] = (int16_t)((w[i] & 15) - zero);
            s->q[lane][k + 16] = (int16_t)((w[i] >> 4) - zero);
        } else {
            s->q[lane][k] = (int16_t)(w[i] - zero);
        }
    }
    for (uint32_t lane = 0; lane < LLS_PANEL; lane++) {
        s->d[lane] = lls_f16_to_f32(load_u16(scales + lane * 2));
        s->m[lane] = lls_kind_has_min(kind) ? lls_f16_to_f32(load_u16(scales + 64 + lane * 2))
                                            : 0.0f;
    }
}

/* The 32 int8 of row m, widened, and its scale and scaled sum. */
static void read_acts(const uint8_t *group, uint32_t mr, uint32_t m, int16_t *q, float *scale,
                      float *sum)
{
    for (uint32_t i = 0; i < LLS_GROUP; i++)
        q[i] = (int8_t)group[(i / 4 * mr + m) * 4 + i % 4];
    memcpy(scale, group + (32 * mr + 4 * m), 4);
    memcpy(sum, group + (40 * mr + 4 * m), 4);
}

static int32_t dot(const int16_t *a, const int16_t *b)
{
    int32_t sum = 0;

    for (uint32_t i = 0; i < LLS_GROUP; i++)
        sum += a[i] * b[i];
    return sum;
}

static void multiply_blocks(uint32_t kind, const uint8_t *acts, const uint8_t *w, uint32_t n,
                            uint32_t mr,
                            bool first, float *tile)
{
    step_t  s;
    int16_t q[LLS_GROUP];
    float   scale, sum;

    if (first)
        memset(tile, 0, (size_t)mr * LLS_PANEL * sizeof *tile);
    for (uint32_t i = 0; i < n; i++, acts += 44 * (size_t)mr, w += lls_kind_step_bytes(kind)) {
        unpack_step(kind, w, &s);
        for (uint32_t m = 0; m < mr; m++) {
            float *t = tile + m * LLS_PANEL;

            read_acts(acts, mr, m, q, &scale, &sum);
            for (uint32_t lane = 0; lane < LLS_PANEL; lane++) {
                t[lane] += (float)dot(s.q[lane], q) * (s.d[lane] * scale);
                if (lls_kind_has_min(kind))
                    t[lane] += s.m[lane] * sum;
            }
        }
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

const lls_linear_isa_t lls_linear_plain = {
    .max_rows = { MAX_ROWS, MAX_ROWS, MAX_ROWS },
    .fill = { fill_f32, NULL, fill_q8 },
    /* ORDER scheme */
    .form = { LLS_FORM_F32, LLS_FORM_F32, LLS_FORM_F32, LLS_FORM_Q8, LLS_FORM_Q8, LLS_FORM_Q8,
              LLS_FORM_Q8, LLS_FORM_Q8 },
    .multiply = { multiply_f32, multiply_f16, multiply_bf16, multiply_q4_0, multiply_q4_1,
                  multiply_q5_0, multiply_q5_1, multiply_q8_0 },
};
