/* SPDX-License-Identifier: Apache-2.0 */
#define KERNELS lls_sample_kernels_plain
#include "sample/sample_kernels_body.h"

float lls_sample_log(float t)
{
    int32_t b = (int32_t)lls_bits_of(t), k = (b - LLS_SQRT_HALF_BITS) >> 23;
    float   f = lls_float_of((uint32_t)(b - k * (1 << 23))) - 1.0f;

    return LLS_LOG_POLY(f, (float)k);
}

float lls_sample_noise_of(uint32_t w)
{
    float   v = ((float)(int32_t)(w >> 1) + 0.5f) * 0x1p-31f, t, f;
    int32_t b, k;

    v = v < LLS_V_MAX ? v : LLS_V_MAX;
    t = 1.0f - v;
    b = (int32_t)lls_bits_of(t);
    k = (b - LLS_SQRT_HALF_BITS) >> 23;
    f = v < 0.25f ? -v : lls_float_of((uint32_t)(b - k * (1 << 23))) - 1.0f;
    return -lls_sample_log(-LLS_LOG_POLY(f, (float)k));
}
