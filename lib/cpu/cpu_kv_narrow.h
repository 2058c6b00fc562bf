/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_kv_narrow - float32 to what the cache stores, and to the integers that int8 is multiplied
 * with; included by the files of each instruction set.
 *
 * float16 saturates, as cpu_kv.h wants it; NaNs stay NaNs.
 */
#ifndef LLS_CPU_KV_NARROW_H
#define LLS_CPU_KV_NARROW_H

#include <math.h>

#include "cpu/cpu_math.h"
#include "tensor/tensor.h"
#if defined(__AVX2__) || defined(__aarch64__)
#  include "cpu/cpu_vec.h"
#endif

#define LLS_F16_MAX 65504.0f
#define LLS_TINY 1e-30f             /* its inverse times 127 is a float */

static void lls_narrow_f16(const float *x, uint32_t n, uint16_t *to)
{
    uint32_t i = 0;

#if defined(LLS_VL)
    for (; i + LLS_VL <= n; i += LLS_VL) {      /* NaNs stay */
        lls_v_t v = lls_v_min(lls_v_set(LLS_F16_MAX), lls_v_load(x + i));
        lls_v_store_f16(to + i, lls_v_max(lls_v_set(-LLS_F16_MAX), v));
    }
#endif
    for (; i < n; i++) {
        float v = x[i] > LLS_F16_MAX ? LLS_F16_MAX : x[i];
        to[i] = lls_f32_to_f16(v < -LLS_F16_MAX ? -LLS_F16_MAX : v);
    }
}

static void lls_narrow_bf16(const float *x, uint32_t n, uint16_t *to)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = lls_f32_to_bf16(x[i]);
}

/* x[i] = q[i] * the result, |q[i]| <= 127.  NaN, whatever q is, if an x is not finite. */
static float lls_quantise_row(const float *x, uint32_t n, int8_t *q)
{
    uint32_t bits = 0;              /* as integers, magnitudes are in the same order */
    float    top, inv;

    for (uint32_t i = 0; i < n; i++)
        bits = lls_max_u32(bits, lls_bits_of(x[i]) & ~LLS_SIGN_BIT);
    if (bits >= LLS_INF_BITS)
        return NAN;
    top = lls_float_of(bits);
    inv = top > LLS_TINY ? 127.0f / top : 0.0f;
    for (uint32_t i = 0; i < n; i++)
        q[i] = (int8_t)(lls_bits_of(x[i] * inv + LLS_ROUND_MAGIC) - lls_bits_of(LLS_ROUND_MAGIC));
    return top / 127.0f;
}

/* Weights 0 <= p <= 1 times the scales of V as integers: p * scale * *up < 2^15, in steps of the
 * result, a power of two.  top: the bits of the largest scale.  If that is not finite, the weights
 * are nothing and the step is NaN. */
static inline float lls_weight_step(uint32_t top, float *up)
{
    *up = 0.0f;
    if (top >= LLS_INF_BITS)
        return NAN;
    if (top <= lls_bits_of(LLS_TINY))
        return 1.0f;
    top >>= 23;                     /* 2^(top - 127) <= scale < 2^(top - 126) */
    *up = lls_float_of((127 + 14 + 127 - top) << 23);
    return lls_float_of((top - 14) << 23);
}

/* n values of x, packed, to `to`; the scale, for int8. */
static float lls_kv_narrow(uint32_t dtype, const float *x, uint32_t n, void *to)
{
    switch (dtype) {
    case LLS_F16:
        lls_narrow_f16(x, n, to);
        return 1.0f;
    case LLS_BF16:
        lls_narrow_bf16(x, n, to);
        return 1.0f;
    case LLS_I8:
        return lls_quantise_row(x, n, to);
    default:
        memcpy(to, x, n * sizeof *x);
        return 1.0f;
    }
}

#endif
