/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_row_kernels_body - the kernels of cpu_row_kernels.h; included once by the file of each
 * instruction set, which defines LLS_ROW_KERNELS, the name of the table.
 */
#include <string.h>

#include "cpu/cpu_math.h"
#include "cpu/cpu_row_kernels.h"

#define LANES 16u
typedef float half_t __attribute__((vector_size(LANES / 2 * sizeof(float))));

#if defined(__clang__)
#  define NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#else
#  define NO_OVERLAP _Pragma("GCC ivdep")
#endif

/* ---- Norms ---------------------------------------------------------------------------------- */

/* Vectors go by address: by value they would have another ABI in each instruction set. */
typedef struct lanes {
    half_t low, high;
} lanes_t;

static inline void load_lanes(lanes_t *v, const float *x, float minus)
{
    memcpy(&v->low, x, sizeof v->low);
    memcpy(&v->high, x + LANES / 2, sizeof v->high);
    v->low -= minus;
    v->high -= minus;
}

/* The last n < LANES values, then copies of `zero`, which add nothing. */
static inline void load_rest(lanes_t *v, const float *x, uint32_t n, float zero)
{
    float rest[LANES];

    for (uint32_t i = 0; i < LANES; i++)
        rest[i] = i < n ? x[i] : zero;
    load_lanes(v, rest, zero);
}

/* Halves together, then halves of these, and so on. */
static float sum_of_lanes(const lanes_t *v)
{
    half_t sum = v->low + v->high;
    float  s[LANES / 2];

    memcpy(s, &sum, sizeof s);
    for (uint32_t half = LANES / 4; half > 0; half /= 2)
        for (uint32_t i = 0; i < half; i++)
            s[i] += s[i + half];
    return s[0];
}

static float sum_of(const float *x, uint32_t n)
{
    lanes_t  sum = { { 0 }, { 0 } }, v;
    uint32_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        load_lanes(&v, x + i, 0.0f);
        sum.low += v.low;
        sum.high += v.high;
    }
    load_rest(&v, x + i, n - i, 0.0f);
    sum.low += v.low;
    sum.high += v.high;
    return sum_of_lanes(&sum);
}

static float sum_of_squares(const float *x, uint32_t n, float mean)
{
    lanes_t  sum = { { 0 }, { 0 } }, v;
    uint32_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        load_lanes(&v, x + i, mean);
        sum.low += v.low * v.low;
        sum.high += v.high * v.high;
    }
    load_rest(&v, x + i, n - i, mean);
    sum.low += v.low * v.low;
    sum.high += v.high * v.high;
    return sum_of_lanes(&sum);
}

static void norm_row(float *y, const float *x, const lls_norm_t *norm)
{
    uint32_t     n = norm->width;
    float        mean = norm->kind == LLS_NORM_LAYER ? sum_of(x, n) / (float)n : 0.0f;
    float        inv = 1.0f / sqrtf(sum_of_squares(x, n, mean) / (float)n + norm->eps);
    const float *w = norm->weight, *b = norm->bias;

    if (norm->kind == LLS_NORM_RMS) {
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = x[i] * inv * w[i];
    } else if (b == NULL) {
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inv * w[i];
    } else {
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * inv * w[i] + b[i];
    }
}

/* ---- Element by element --------------------------------------------------------------------- */

static void add_row(float *y, const float *x, float scale, uint32_t n)
{
    NO_OVERLAP
    for (uint32_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static void add_norm_row(float *y, float *x, const float *in, const lls_norm_t *norm)
{
    add_row(x, in, 1.0f, norm->width);
    norm_row(y, x, norm);
}

static void scale_row(float *x, float factor, float softcap, uint32_t n)
{
    if (softcap == 0.0f) {
        for (uint32_t i = 0; i < n; i++)
            x[i] *= factor;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        x[i] = softcap * lls_tanh(x[i] * factor / softcap);
}

static inline float relu(float x)
{
    return lls_choose(x, LLS_SIGN_BIT, LLS_SIGN_BIT | LLS_INF_BITS, 0.0f, x);
}

static inline float silu(float x) { return x / (1.0f + lls_exp(-x)); }
/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u), without the cancellation far left */
static inline float gelu_tanh(float x)
{
    float u = 0.7978845608f * (x + 0.044715f * x * x * x);

    return x / (1.0f + lls_exp(-2.0f * u));
}

static inline float gelu(float x) { return 0.5f * x * erfcf(-0.7071067812f * x); }

static void act_row(float *x, uint32_t kind, uint32_t n)
{
    switch (kind) {
    case LLS_ACT_SILU:
        for (uint32_t i = 0; i < n; i++)
            x[i] = silu(x[i]);
        break;
    case LLS_ACT_GELU:
        for (uint32_t i = 0; i < n; i++)
            x[i] = gelu(x[i]);
        break;
    case LLS_ACT_GELU_TANH:
        for (uint32_t i = 0; i < n; i++)
            x[i] = gelu_tanh(x[i]);
        break;
    case LLS_ACT_RELU:
        for (uint32_t i = 0; i < n; i++)
            x[i] = relu(x[i]);
        break;
    default:
        break;
    }
}

static void act_mul_row(float *y, const float *gate, const float *up, uint32_t kind, uint32_t n)
{
    switch (kind) {
    case LLS_ACT_SILU:
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = silu(gate[i]) * up[i];
        break;
    case LLS_ACT_GELU:
        for (uint32_t i = 0; i < n; i++)
            y[i] = gelu(gate[i]) * up[i];
        break;
    case LLS_ACT_GELU_TANH:
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = gelu_tanh(gate[i]) * up[i];
        break;
    case LLS_ACT_RELU:
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = relu(gate[i]) * up[i];
        break;
    default:
        NO_OVERLAP
        for (uint32_t i = 0; i < n; i++)
            y[i] = gate[i] * up[i];
        break;
    }
}

static void rotate_halves(float *restrict x, float *restrict y, const float *restrict cos,
                          const float *restrict sin, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float a = x[i], b = y[i];
        x[i] = a * cos[i] - b * sin[i];
        y[i] = b * cos[i] + a * sin[i];
    }
}

static void rotate_neighbours(float *restrict x, const float *restrict cos,
                              const float *restrict sin, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = b * cos[i] + a * sin[i];
    }
}

static void rotate_row(float *x, const float *cos, const float *sin, uint32_t n_pairs,
                       bool interleaved)
{
    if (interleaved)
        rotate_neighbours(x, cos, sin, n_pairs);
    else
        rotate_halves(x, x + n_pairs, cos, sin, n_pairs);
}

/* ---- Peaks ----------------------------------------------------------------------------------- */

/* Of 32 values. */
static inline void peaks_of(const float *restrict x, bool first, float *restrict peaks)
{
    for (uint32_t i = 0; i < LANES; i++) {
        float a = x[i] < INFINITY ? x[i] : INFINITY;
        float b = x[i + LANES] < INFINITY ? x[i + LANES] : INFINITY;
        float m = a > b ? a : b;

        peaks[i] = first || m > peaks[i] ? m : peaks[i];
    }
}

static void peaks_of_rows(const float *x, size_t stride, uint32_t n, uint32_t n_rows, bool first,
                          float *peaks, size_t peaks_stride)
{
    float some[2 * LANES];

    for (uint32_t r = 0; r < n_rows; r++, x += stride, peaks += peaks_stride) {
        for (uint32_t i = 0; n < 2 * LANES && i < 2 * LANES; i++)
            some[i] = i < n ? x[i] : -INFINITY;
        peaks_of(n < 2 * LANES ? some : x, first, peaks);
    }
}

const lls_row_kernels_t LLS_ROW_KERNELS = {
    .norm = norm_row, .add_norm = add_norm_row, .add = add_row, .scale = scale_row, .act = act_row,
    .act_mul = act_mul_row, .rotate = rotate_row, .peaks = peaks_of_rows,
};
