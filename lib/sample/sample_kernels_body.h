/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_kernels_body - the kernels of sample_kernels.h in vectors of 16, for the instruction set
 * that the including file is compiled for.  Define KERNELS, the name of the table, before including
 * this.
 */
#include "sample/sample_kernels.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#  include <immintrin.h>
#endif

#include "base/philox.h"
#include "sample/sample_math.h"

/* Vectors wider than the registers are split; they never cross a call that is not inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

typedef float    f16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t  i16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t u16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint64_t u8x64 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float    f8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double   d8 __attribute__((vector_size(64), aligned(8)));

#define W 16u
#define INLINE static inline __attribute__((always_inline))

INLINE f16 load(const float *p) { return *(const f16 *)p; }
INLINE f16 all(float v) { return v - (f16){ 0 }; }      /* exact for every v, -0 included */
INLINE f16 pick(i16 mask, f16 a, f16 b)
{
    return (f16)((mask & (i16)a) | (~mask & (i16)b));
}
INLINE f16 greater(f16 a, f16 b) { return pick(a > b, a, b); }

/* The tail of a row as a whole vector. */
INLINE f16 load_tail(const float *p, uint32_t n, float fill)
{
    float tmp[W];

    for (uint32_t i = 0; i < W; i++)
        tmp[i] = i < n ? p[i] : fill;
    return load(tmp);
}

INLINE bool any(i16 mask)
{
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    __m256i h[2];

    memcpy(h, &mask, sizeof h);
    h[0] = _mm256_or_si256(h[0], h[1]);
    return _mm256_testz_si256(h[0], h[0]) == 0;
#else
    int32_t tmp[W], r = 0;

    memcpy(tmp, &mask, sizeof tmp);
    for (uint32_t i = 0; i < W; i++)
        r |= tmp[i];
    return r != 0;
#endif
}

INLINE float largest(f16 v)
{
    float tmp[W], m;

    memcpy(tmp, &v, sizeof tmp);
    m = tmp[0];
    for (uint32_t i = 1; i < W; i++)
        m = tmp[i] > m ? tmp[i] : m;
    return m;
}

/* exp(y), y <= 0; 0 below -87 */
INLINE f16 exp16(f16 y)
{
    f16 t = greater(y, all(-87)) * LLS_LOG2E + LLS_ROUND, k = t - LLS_ROUND, r, p;

    r = greater(y, all(-87)) - k * LLS_LN2_HI;
    r = r - k * LLS_LN2_LO;
    p = LLS_EXP_POLY(r);
    p = (p * r) * r + r + 1.0f;
    p = p * (f16)(((u16)t << 23) + 0x3f800000u);
    return pick(y >= -87.0f, p, (f16){ 0 });
}

/* exp(y) as a multiple of 2^-35, 0 below y_min */
INLINE f16 weight16(f16 x, const lls_sample_scale_t *s)
{
    f16 y = (x - s->max) * s->inv_t, e = exp16(y);

    e = pick(e < LLS_WEIGHT_STEP, (e + LLS_WEIGHT_STEP) - LLS_WEIGHT_STEP, e);
    return pick(y >= s->y_min, e, (f16){ 0 });
}

INLINE d8 low8(f16 v)
{
    f8 h;

    memcpy(&h, &v, sizeof h);
    return __builtin_convertvector(h, d8);
}

INLINE d8 high8(f16 v)
{
    f8 h;

    memcpy(&h, (const char *)&v + sizeof h, sizeof h);
    return __builtin_convertvector(h, d8);
}

INLINE double sum8(const d8 *p)
{
    d8 v = *p;

    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* ---- Passes over a row ---------------------------------------------------------------------- */

static bool scan(const float *x, uint32_t n, float *peaks, float *max)
{
    i16 good = (i16){ 0 } - 1;
    f16 top = all(-INFINITY);

    for (uint32_t first = 0; first < n; first += LLS_SAMPLE_BLOCK) {
        uint32_t end = lls_min_u32(n, first + LLS_SAMPLE_BLOCK), i = first;
        f16      m = all(-INFINITY);

        for (; i + W <= end; i += W) {
            f16 v = load(x + i);
            good &= v < INFINITY;
            m = greater(v, m);
        }
        if (i < end) {
            f16 v = load_tail(x + i, end - i, -INFINITY);
            good &= v < INFINITY;
            m = greater(v, m);
        }
        memcpy(peaks, &m, sizeof m);
        peaks += W;
        top = greater(m, top);
    }
    *max = largest(top);
    return !any(~good);
}

static double weigh(const float *x, uint32_t n, const lls_sample_scale_t *s, float *w)
{
    d8       lo = { 0 }, hi = { 0 };
    uint32_t i = 0;

    for (; i + W <= n; i += W) {
        f16 e = weight16(load(x + i), s);
        lo += low8(e);
        hi += high8(e);
        if (w != NULL)
            *(f16 *)(w + i) = e;
    }
    if (i < n) {
        f16 e = weight16(load_tail(x + i, n - i, -INFINITY), s);
        lo += low8(e);
        hi += high8(e);
        if (w != NULL)
            memcpy(w + i, &e, (n - i) * sizeof *w);
    }
    return sum8(&lo) + sum8(&hi);
}

static double sum_exp(const float *x, uint32_t n, float max)
{
    d8       lo = { 0 }, hi = { 0 };
    uint32_t i = 0;

    for (; i + W <= n; i += W) {
        f16 e = exp16(load(x + i) - max);
        lo += low8(e);
        hi += high8(e);
    }
    if (i < n) {
        f16 e = exp16(load_tail(x + i, n - i, -INFINITY) - max);
        lo += low8(e);
        hi += high8(e);
    }
    return sum8(&lo) + sum8(&hi);
}

static uint32_t count_from(const float *x, uint32_t n, float low)
{
    i16      c = { 0 };
    uint32_t i = 0, total = 0;

    for (; i + W <= n; i += W)
        c -= load(x + i) >= low;
    for (; i < n; i++)
        total += x[i] >= low;
    for (uint32_t j = 0; j < W; j++)
        total += (uint32_t)c[j];
    return total;
}

static uint32_t gather(const float *x, uint32_t n, const float *peaks, float low,
                       const lls_sample_scale_t *s, float *out_x, uint32_t *out_id)
{
    uint32_t n_out = 0;

    for (uint32_t i = 0; i < n; i += W) {
        uint32_t end = lls_min_u32(n, i + W);

        if (i % LLS_SAMPLE_BLOCK == 0 && !any(load(peaks + i / LLS_SAMPLE_BLOCK * W) >= low)) {
            i += LLS_SAMPLE_BLOCK - W;
            continue;
        }
        if (end == i + W && !any(load(x + i) >= low))
            continue;
        for (uint32_t j = i; j < end; j++) {
            float v = x[j];
            out_x[n_out] = v;
            out_id[n_out] = j;
            n_out += (v >= low) & ((v - s->max) * s->inv_t >= s->y_min) & (v > -INFINITY);
        }
    }
    return n_out;
}

/* ---- The race: scores of tokens with their noise -------------------------------------------- */

/* -log(-log(1 - v)): sample_math.h in vectors */
INLINE f16 log16(f16 t)
{
    i16 b = (i16)t, k = (b - LLS_SQRT_HALF_BITS) >> 23;
    f16 f = (f16)((u16)b - ((u16)k << 23)) - 1.0f, kf = __builtin_convertvector(k, f16);

    return LLS_LOG_POLY(f, kf);
}

INLINE f16 noise16(u16 w)
{
    f16 v = (__builtin_convertvector((i16)(w >> 1), f16) + 0.5f) * 0x1p-31f, t, f, e;
    i16 b, k;

    v = pick(v < LLS_V_MAX, v, all(LLS_V_MAX));
    t = 1.0f - v;
    b = (i16)t;
    k = (b - LLS_SQRT_HALF_BITS) >> 23;
    f = pick(v < 0.25f, -v, (f16)((u16)b - ((u16)k << 23)) - 1.0f);
    t = __builtin_convertvector(k, f16);
    e = LLS_LOG_POLY(f, t);
    return -log16(-e);
}

/* Products of the low words of 8 pairs of words with m. */
INLINE u8x64 mul_even(u8x64 a, uint32_t m)
{
#if defined(__AVX512F__)
    return (u8x64)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi32((int)m));
#elif defined(__AVX2__)
    __m256i h[2], f = _mm256_set1_epi32((int)m);

    memcpy(h, &a, sizeof h);
    h[0] = _mm256_mul_epu32(h[0], f);
    h[1] = _mm256_mul_epu32(h[1], f);
    memcpy(&a, h, sizeof h);
    return a;
#else
    return (a & 0xffffffffu) * (uint64_t)m;
#endif
}

/* High and low words of a * m. */
INLINE void mul_wide(u16 a, uint32_t m, u16 *hi, u16 *lo)
{
    u8x64 even = mul_even((u8x64)a, m), odd = mul_even((u8x64)a >> 32, m);

    *hi = (u16)((even >> 32) | (odd & 0xffffffff00000000u));
    *lo = (u16)((even & 0xffffffffu) | (odd << 32));
}

/* Random words of 64 tokens, counter blocks first, first + 1, ..: w[i][j] is token 4 * j + i. */
INLINE void words64(uint64_t seed, uint32_t position, uint32_t first, u16 w[4])
{
    u16 c0 = position - (u16){ 0 }, c2 = { 0 }, c3 = { 0 }, h0, l0, h1, l1;
    u16 c1 = first + (u16){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int i = 0; i < 10; i++) {
        mul_wide(c0, 0xd2511f53u, &h0, &l0);
        mul_wide(c2, 0xcd9e8d57u, &h1, &l1);
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    w[0] = c0;
    w[1] = c1;
    w[2] = c2;
    w[3] = c3;
}

INLINE void score_one(const float *x, uint32_t id, float noise, const lls_sample_scale_t *s,
                      lls_sample_best_t *best)
{
    float score = (x[id] - s->max) * s->inv_t + noise;

    if (score > best->score || (score == best->score && id < best->id))
        *best = (lls_sample_best_t){ score, id };
}

/* Words from which no token of y <= peak gets a score near `best`: a noise beyond d = best - peak
 * takes v < 1 - exp(-exp(-d)), here with a margin far above all rounding. */
static int32_t word_limit(float best, float peak)
{
    double v = -expm1(-exp(0.01 - ((double)best - (double)peak))) * 1.00001 * 0x1p31 + 2;

    return v < 0x1p30 ? (int32_t)v : INT32_MAX;
}

static void race(const float *x, uint32_t first, uint32_t n, float peak,
                 const lls_sample_scale_t *s, uint64_t seed, uint32_t position,
                 lls_sample_best_t *best)
{
    float   y_peak = (peak - s->max) * s->inv_t, noise[4][16];
    int32_t limit = word_limit(best->score, y_peak);
    u16     w[4];

    for (uint32_t t = first; t < first + n; t += 64) {
        uint32_t m = lls_min_u32(64, first + n - t);
        i16      near = { 0 };

        words64(seed, position, t / 4, w);
        for (int i = 0; i < 4; i++)
            near |= (i16)(w[i] >> 1) < limit;
        if (limit != INT32_MAX && !any(near))
            continue;
        for (int i = 0; i < 4; i++)
            *(f16 *)noise[i] = noise16(w[i]);
        for (uint32_t i = 0; i < m; i++)
            score_one(x, t + i, noise[i & 3][i >> 2], s, best);
        limit = word_limit(best->score, y_peak);
    }
}

const lls_sample_kernels_t KERNELS = { scan, weigh, gather, count_from, sum_exp, race };
