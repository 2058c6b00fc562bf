/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_math - exp and log of the sampler: the same steps for a float and for a vector of them, so
 * that draws are the same bits on every CPU and device.  Only IEEE add, subtract and multiply, in
 * this order, never contracted.  Coefficients are Chebyshev fits; errors below 2 ulp.
 */
#ifndef LLS_SAMPLE_SAMPLE_MATH_H
#define LLS_SAMPLE_SAMPLE_MATH_H

#define LLS_LOG2E  1.442695041f
#define LLS_LN2_HI 0.69317626953125f        /* 14 bits: products with small integers are exact */
#define LLS_LN2_LO (-2.9088971e-05f)
#define LLS_ROUND  12582912.0f              /* 1.5 * 2^23: adding it rounds to an integer */

/* One step of Horner's rule. */
#define LLS_STEP(p, x, c) ((p) * (x) + (c))

/* exp(r) = 1 + r + r^2 P(r), |r| <= ln 2 / 2 */
#define LLS_EXP_2(r)    LLS_STEP(LLS_STEP(1.99004440e-4f, r, 1.39345450e-3f), r, 8.33329745e-3f)
#define LLS_EXP_POLY(r) LLS_STEP(LLS_STEP(LLS_STEP(LLS_EXP_2(r), r, 4.16664556e-2f), r,            \
                                          0.166666672f), r, 0.5f)

/* log(1 + f) = f - f^2 / 2 + f^3 P(f), sqrt(1/2) <= 1 + f < sqrt(2); plus k ln 2 */
#define LLS_LOG_2(f) LLS_STEP(LLS_STEP(7.14975372e-2f, f, -0.115712009f), f, 0.116615109f)
#define LLS_LOG_4(f) LLS_STEP(LLS_STEP(LLS_LOG_2(f), f, -0.124110505f), f, 0.142499372f)
#define LLS_LOG_6(f) LLS_STEP(LLS_STEP(LLS_LOG_4(f), f, -0.166684806f), f, 0.200007081f)
#define LLS_LOG_P(f) LLS_STEP(LLS_STEP(LLS_LOG_6(f), f, -0.249999896f), f, 0.333333313f)
#define LLS_LOG_POLY(f, k)                                                                         \
    (((((f) * (f)) * (f)) * LLS_LOG_P(f) + (k) * LLS_LN2_LO - 0.5f * ((f) * (f))) + (f) +          \
     (k) * LLS_LN2_HI)

#define LLS_SQRT_HALF_BITS 0x3f3504f3
#define LLS_V_MAX 0x1.fffffep-1f            /* 1 - 2^-24 */

/* Weights are multiples of 2^-35: adding 2^-12 rounds smaller ones to such. */
#define LLS_WEIGHT_STEP 0x1p-12f
#define LLS_ONE_BITS 1065353216.0f          /* the bits of 1.0f, as a number */

#endif
