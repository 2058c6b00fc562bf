/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/quantise.h"

#include <math.h>
#include <string.h>

#define F16_NAN 0x7e00u

/* Stores a scale or a minimum as f16 and returns what that is. */
static float put_f16(float f, uint8_t *out)
{
    uint16_t h = lls_f32_to_f16(f);

    memcpy(out, &h, sizeof h);
    return lls_f16_to_f32(h);
}

static float inverse_of(float d) { return d > 0 ? 1.0f / d : 0.0f; }

static uint8_t clamped(float v, float least, float most)
{
    return (uint8_t)(int)lrintf(v < least ? least : v > most ? most : v);
}

static void quantise_8(float low, float high, const float *x, uint8_t *out)
{
    float inverse = inverse_of(put_f16(fmaxf(-low, high) * (1.0f / 127.0f), out));

    for (uint32_t i = 0; i < LLS_QUANT_BLOCK; i++)
        out[2 + i] = clamped(x[i] * inverse, -127.0f, 127.0f);
}

/* Of 32 values least and largest are kept.  More are worth 16 ranges of equal width, of which each
 * has its middle: no value is further off than half of one. */
static void quantise_4(float low, float high, const float *x, uint32_t n, uint8_t *out)
{
    bool  by_middles = n > LLS_QUANT_BLOCK;
    float d = put_f16((high - low) * (by_middles ? 1.0f / 16.0f : 1.0f / 15.0f), out);
    float min = put_f16(by_middles ? low + 0.5f * d : low, out + 2), inverse = inverse_of(d);

    out += 4;
    for (; n > 0; n -= LLS_QUANT_BLOCK, x += LLS_QUANT_BLOCK, out += LLS_QUANT_BLOCK / 2)
        for (uint32_t i = 0; i < LLS_QUANT_BLOCK / 2; i++)
            out[i] = (uint8_t)(clamped((x[i] - min) * inverse, 0.0f, 15.0f) |
                               clamped((x[i + 16] - min) * inverse, 0.0f, 15.0f) << 4);
}

/* A scale beyond f16 is no number either. */
static void quantise_nothing(uint32_t scheme, uint8_t *out)
{
    uint16_t nan = F16_NAN;

    memset(out, 0, lls_scheme_block_bytes(scheme));
    memcpy(out, &nan, sizeof nan);
}

void lls_quantise_block(uint32_t scheme, const float *x, uint8_t *out)
{
    uint32_t n = lls_scheme_block(scheme);
    float    low = x[0], high = x[0], sum = 0;

    lls_assert(scheme == LLS_W_Q8_0 || scheme == LLS_W_Q4_1 || scheme == LLS_W_INT4_G128);
    for (uint32_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum += x[i] * 0.0f;                     /* 0, or NaN once there is one or an infinity */
    }
    if (sum != 0 || isnan(sum) || fmaxf(-low, high) > 65504.0f)
        quantise_nothing(scheme, out);
    else if (scheme == LLS_W_Q8_0)
        quantise_8(low, high, x, out);
    else
        quantise_4(low, high, x, n, out);
}
