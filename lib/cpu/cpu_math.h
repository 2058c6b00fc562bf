/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_math - exponentials without branches, tables or calls.
 *
 * Straight-line code in plain C, so that loops over them are vectorised, with the same bits in
 * every instruction set: the build forbids contraction.  Rounding to an integer adds and takes away
 * 1.5 * 2^23; the low bits of that sum are the integer.  Choices are made on bits: comparisons of
 * floats may trap on NaNs, and float arithmetic behind a branch too, which compilers do not
 * vectorise.
 */
#ifndef LLS_CPU_MATH_H
#define LLS_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

#define LLS_LOG2E 1.44269504088896341f
#define LLS_ROUND_MAGIC 12582912.0f

/* a if first <= the bits of x <= last, else b.  By a mask: both are computed, nothing branches. */
static inline float lls_choose(float x, uint32_t first, uint32_t last, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)(lls_bits_of(x) - first <= last - first);

    return lls_float_of((lls_bits_of(a) & mask) | (lls_bits_of(b) & ~mask));
}

#define LLS_INF_BITS 0x7f800000u
#define LLS_SIGN_BIT 0x80000000u

/* 2^n for the integer n hidden in the sum t = n + LLS_ROUND_MAGIC; n in [-126, 127]. */
static inline float lls_pow2_of_sum(float t)
{
    return lls_float_of((lls_bits_of(t) - lls_bits_of(LLS_ROUND_MAGIC) + 127u) << 23);
}

/* 2^x for x <= 0: exactly 1 at 0, relative error 3e-7, NaN for NaN, and exactly 0 below -64.  The
 * cut is for speed: without it peaked softmax rows make denormals, several times slower to work
 * with. */
static inline float lls_exp2_cut(float x)
{
    float t = x + LLS_ROUND_MAGIC, r = x - (t - LLS_ROUND_MAGIC);
    float p = 1.338130254e-03f;

    p = p * r + 9.666368515e-03f;
    p = p * r + 5.550381014e-02f;
    p = p * r + 2.402234904e-01f;
    p = p * r + 6.931471806e-01f;
    p = p * r + 1.0f;
    p = p * lls_pow2_of_sum(t);
    return lls_choose(x, 0xc2800001u, LLS_SIGN_BIT | LLS_INF_BITS, 0.0f, p);     /* x < -64 */
}

/* e^x: relative error 2e-7; 0 below -87, infinite from 88 on, NaN for NaN. */
static inline float lls_exp(float x)
{
    float t = x * LLS_LOG2E + LLS_ROUND_MAGIC, n = t - LLS_ROUND_MAGIC;
    float r = (x - n * 0.693145751953125f) - n * 1.428606765330187e-06f;  /* ln 2, high and low */
    float q = 1.392626805e-03f;

    q = q * r + 8.363246670e-03f;
    q = q * r + 4.166655411e-02f;
    q = q * r + 1.666657658e-01f;
    q = q * r + 5.000000000e-01f;
    q = (q * r * r + r + 1.0f) * lls_pow2_of_sum(t);
    q = lls_choose(x, 0xc2ae0001u, LLS_SIGN_BIT | LLS_INF_BITS, 0.0f, q);        /* x < -87 */
    return lls_choose(x, 0x42b00000u, LLS_INF_BITS, INFINITY, q);               /* x >= 88 */
}

/* Relative error 4e-7. */
static inline float lls_tanh(float x)
{
    float a = fabsf(x), z = x * x, near = -6.045165088e-03f, far;

    near = near * z + 2.096132910e-02f;
    near = near * z - 5.384326317e-02f;
    near = near * z + 1.333271885e-01f;
    near = near * z - 3.333332843e-01f;
    near = near * z * x + x;
    far = copysignf(1.0f - 2.0f / (lls_exp(2.0f * a) + 1.0f), x);
    return lls_choose(a, 0, 0x3f199999u, near, far);                            /* a < 0.6 */
}

#endif
