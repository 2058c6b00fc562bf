/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quantise - float32 to each block format of GGUF, by a plain rule: the range of a group, fitted
 * a few times, cut evenly.  For tests of what reads such blocks, not of how good they are.
 */
#ifndef LLS_TEST_QUANTISE_H
#define LLS_TEST_QUANTISE_H

#include <math.h>
#include <string.h>

#include "tensor/kquant.h"

typedef struct range { float low, high, peak; } range_t;    /* peak: of the largest magnitude */

static inline range_t range_of(const float *x, uint32_t n)
{
    range_t r = { 0 };

    for (uint32_t i = 0; i < n; i++) {
        r.low = fminf(r.low, x[i]);
        r.high = fmaxf(r.high, x[i]);
        r.peak = fabsf(x[i]) > fabsf(r.peak) ? x[i] : r.peak;
    }
    return r;
}

static inline uint32_t nearest(float v, int least, int most)
{
    float r = rintf(v);

    return (uint32_t)(int)fminf(fmaxf(r, (float)least), (float)most);
}

static inline float over(float a, float b) { return b != 0 ? a / b : 0; }

static inline float round_f16(float f, uint8_t *out)
{
    uint16_t h = lls_f32_to_f16(f);

    memcpy(out, &h, 2);
    return lls_f16_to_f32(h);
}

static inline uint32_t nearest_code(float v)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < 16; c++)
        if (fabsf(v + 128 - lls_iq4_values[c]) < fabsf(v + 128 - lls_iq4_values[best]))
            best = c;
    return best;
}

/* ---- Blocks of 32 ---- */

static inline void put_nibbles(const uint32_t *q, uint8_t *out)
{
    for (uint32_t i = 0; i < 16; i++)
        out[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static inline void put_fifths(const uint32_t *q, uint8_t *out)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < 32; i++)
        bits |= (q[i] >> 4 & 1) << i;
    memcpy(out, &bits, 4);
}

/* zero: the code of 0; with minima, 0 and `most` the highest code. */
static inline void quantise_32(uint32_t scheme, const float *x, uint8_t *out)
{
    bool     min = scheme == LLS_W_Q4_1 || scheme == LLS_W_Q5_1, five, codes;
    range_t  r = range_of(x, 32);
    uint32_t q[32], at = min ? 4 : 2;
    int      zero, most;
    float    d, m = 0;

    five = scheme == LLS_W_Q5_0 || scheme == LLS_W_Q5_1;
    codes = scheme == LLS_W_IQ4_NL;
    most = scheme == LLS_W_Q8_0 ? 255 : five ? 31 : 15;
    zero = min ? 0 : codes ? 127 : (most + 1) / 2;
    d = round_f16(min ? (r.high - r.low) / (float)most : r.peak / (float)-zero, out);
    if (min)
        m = round_f16(r.low, out + 2);
    for (uint32_t i = 0; i < 32; i++)
        q[i] = codes ? nearest_code(over(x[i], d))
                     : nearest(over(x[i] - m, d) + (float)zero, 0, most);
    if (five)
        put_fifths(q, out + at);
    if (scheme != LLS_W_Q8_0)
        put_nibbles(q, out + at + (five ? 4 : 0));
    for (uint32_t i = 0; scheme == LLS_W_Q8_0 && i < 32; i++)
        out[at + i] = (uint8_t)(q[i] - 128);
}

/* ---- Blocks of 256 ---- */

/* The inverses of what tensor/kquant.c takes apart. */
static inline void put_pairs(const uint8_t *q, uint8_t *qs)
{
    for (uint32_t i = 0; i < 256; i++)
        qs[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << 2 * (i / 32 % 4));
}

static inline void put_bits(const uint8_t *q, uint32_t bit, uint8_t *bits)
{
    for (uint32_t i = 0; i < 256; i++)
        bits[i % 32] |= (uint8_t)((q[i] >> bit & 1) << i / 32);
}

static inline void put_halves_of_64(const uint8_t *q, uint8_t *qs)
{
    for (uint32_t i = 0; i < 256; i++)
        qs[i / 64 * 32 + i % 32] |= (uint8_t)((q[i] & 15) << (i % 64 < 32 ? 0 : 4));
}

static inline void pack_q2(const lls_kblock_t *b, uint8_t *out)
{
    for (uint32_t g = 0; g < 16; g++)
        out[g] = (uint8_t)(b->scales[g] | b->mins[g] << 4);
    put_pairs(b->q, out + 16);
    memcpy(out + 80, &b->d, 2);
    memcpy(out + 82, &b->d_min, 2);
}

static inline void pack_q3(const lls_kblock_t *b, uint8_t *out)
{
    put_bits(b->q, 2, out);
    put_pairs(b->q, out + 32);
    for (uint32_t g = 0; g < 16; g++) {
        uint32_t s = (uint32_t)(b->scales[g] + 32);

        out[96 + g % 8] |= (uint8_t)((s & 15) << (g < 8 ? 0 : 4));
        out[104 + g % 4] |= (uint8_t)(s >> 4 << g / 4 * 2);
    }
    memcpy(out + 108, &b->d, 2);
}

static inline void pack_head(const lls_kblock_t *b, uint8_t *out)
{
    uint8_t *s = out + 4;

    memcpy(out, &b->d, 2);
    memcpy(out + 2, &b->d_min, 2);
    for (uint32_t g = 0; g < 4; g++) {
        s[g] = (uint8_t)(b->scales[g] | b->scales[g + 4] >> 4 << 6);
        s[g + 4] = (uint8_t)(b->mins[g] | b->mins[g + 4] >> 4 << 6);
        s[g + 8] = (uint8_t)((b->scales[g + 4] & 15) | (b->mins[g + 4] & 15) << 4);
    }
}

static inline void pack_q6(const lls_kblock_t *b, uint8_t *out)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t part = i / 32 % 4;

        out[i / 128 * 64 + part % 2 * 32 + i % 32] |=
            (uint8_t)((b->q[i] & 15) << (part < 2 ? 0 : 4));
        out[128 + i / 128 * 32 + i % 32] |= (uint8_t)(b->q[i] >> 4 << 2 * part);
    }
    memcpy(out + 192, b->scales, 16);
    memcpy(out + 208, &b->d, 2);
}

/* Here q are codes. */
static inline void pack_iq4_xs(const lls_kblock_t *b, uint8_t *out)
{
    uint32_t high = 0;

    memcpy(out, &b->d, 2);
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t s = (uint32_t)(b->scales[g] + 32), q[32];

        high |= s >> 4 << 2 * g;
        out[4 + g / 2] |= (uint8_t)((s & 15) << 4 * (g % 2));
        for (uint32_t i = 0; i < 32; i++)
            q[i] = b->q[32 * g + i];
        put_nibbles(q, out + 8 + 16 * g);
    }
    out[2] = (uint8_t)high;
    out[3] = (uint8_t)(high >> 8);
}

static inline void pack_k(uint32_t scheme, const lls_kblock_t *b, uint8_t *out)
{
    memset(out, 0, lls_scheme_block_bytes(scheme));
    switch (scheme) {
    case LLS_W_Q2_K: pack_q2(b, out); break;
    case LLS_W_Q3_K: pack_q3(b, out); break;
    case LLS_W_Q6_K: pack_q6(b, out); break;
    case LLS_W_IQ4_XS: pack_iq4_xs(b, out); break;
    default:
        pack_head(b, out);
        if (scheme == LLS_W_Q5_K)
            put_bits(b->q, 4, out + 16);
        put_halves_of_64(b->q, out + (scheme == LLS_W_Q5_K ? 48 : 16));
    }
}

/* Square error of a group whose range is cut evenly; *fit is the range that suits those codes
 * best. */
static inline float error_of(const float *x, uint32_t n, range_t r, const lls_ktraits_t *t,
                             int most, range_t *fit)
{
    float d = t->min ? (r.high - r.low) / (float)most : r.peak / -(float)t->zero;
    float m = t->min ? r.low : 0, sum = 0, q1 = 0, q2 = 0, x1 = 0, xq = 0;

    for (uint32_t i = 0; i < n; i++) {
        float q = (float)nearest(over(x[i] - m, d) + (float)t->zero, 0, most) - (float)t->zero;

        sum += (x[i] - m - d * q) * (x[i] - m - d * q);
        q1 += q;
        q2 += q * q;
        x1 += x[i];
        xq += x[i] * q;
    }
    if (t->min) {
        d = over((float)n * xq - q1 * x1, (float)n * q2 - q1 * q1);
        m = fminf((x1 - d * q1) / (float)n, 0);
        *fit = (range_t){ m, m + d * (float)most, 0 };
    } else {
        *fit = (range_t){ .peak = -(float)t->zero * over(xq, q2) };
    }
    return sum;
}

/* With few levels a range somewhat narrower than that of the values is better. */
static inline range_t best_range(const float *x, uint32_t n, const lls_ktraits_t *t, int most,
                                 bool codes)
{
    range_t r = range_of(x, n), best = r, fit;
    float   least = INFINITY;

    for (uint32_t i = 0; i < 4 && !codes; i++) {
        float error = error_of(x, n, r, t, most, &fit);

        if (error < least) {
            least = error;
            best = r;
        }
        r = fit;
    }
    return best;
}

/* The scales of all groups, then as small integers of one f16. */
static inline float small_scales(const float *scales, uint32_t n, int most, uint16_t *d,
                                 int8_t *out)
{
    range_t r = range_of(scales, n);
    float   unit = round_f16(fabsf(r.peak) / (float)most, (uint8_t *)d);

    for (uint32_t g = 0; g < n; g++)
        out[g] = (int8_t)nearest(over(scales[g], unit), -most, most);
    return unit;
}

static inline void quantise_256(uint32_t scheme, const float *x, uint8_t *out)
{
    lls_ktraits_t t = lls_k_traits(scheme);
    lls_kblock_t  b = { 0 };
    bool          codes = scheme == LLS_W_IQ4_XS;
    uint32_t      n = LLS_K_BLOCK / t.group;
    float         scales[16], mins[16], d, d_min;
    int           small = scheme == LLS_W_Q2_K ? 15 : t.min ? 63 : scheme == LLS_W_Q6_K ? 127 : 31;
    int           most = scheme == LLS_W_Q2_K ? 3 : scheme == LLS_W_Q4_K ? 15 : 31;

    most = t.min ? most : 2 * (int)t.zero - 1;
    for (uint32_t g = 0; g < n; g++) {
        range_t r = best_range(x + g * t.group, t.group, &t, most, codes);

        scales[g] = t.min ? (r.high - r.low) / (float)most
                          : r.peak / (codes ? -127.0f : -(float)t.zero);
        mins[g] = -r.low;
    }
    d = small_scales(scales, n, small, &b.d, b.scales);
    d_min = t.min ? small_scales(mins, n, small, &b.d_min, b.mins) : 0;
    for (uint32_t i = 0; i < LLS_K_BLOCK; i++) {
        float v = over(x[i] + d_min * b.mins[i / t.group], d * b.scales[i / t.group]);

        b.q[i] = (uint8_t)(codes ? nearest_code(v) : nearest(v + (float)t.zero, 0, most));
    }
    pack_k(scheme, &b, out);
}

/* n values to rows of any scheme. */
static inline void quantise(uint32_t scheme, const float *x, uint64_t n, uint8_t *out)
{
    uint32_t block = lls_scheme_block(scheme), bytes = lls_scheme_block_bytes(scheme);

    for (uint64_t i = 0; i < n; i += block, out += bytes) {
        uint16_t h = scheme == LLS_W_F16 ? lls_f32_to_f16(x[i]) : lls_f32_to_bf16(x[i]);

        if (block == LLS_K_BLOCK)
            quantise_256(scheme, x + i, out);
        else if (block == 32)
            quantise_32(scheme, x + i, out);
        else
            memcpy(out, scheme == LLS_W_F32 ? (const void *)&x[i] : &h, bytes);
    }
}

#endif
