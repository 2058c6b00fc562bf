/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_kernels_body - the kernels of sample_kernels.h in vectors as wide as the registers of the
 * instruction set that the including file is compiled for.  Define KERNELS, the name of the table,
 * before including this.
 *
 * Sums that may round run in 16 lanes in every instruction set, as PARTS vectors side by side.
 */
#include "sample/sample_kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#  include <immintrin.h>
#elif defined(__aarch64__)
#  include <arm_neon.h>
#endif

#include "sample/sample_math.h"

/* Vectors never cross a call that is not inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#if defined(__AVX512F__)
#  define LANES 16u
#elif defined(__AVX2__)
#  define LANES 8u
#else
#  define LANES 4u
#endif
#define W     16u
#define PARTS (W / LANES)

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#  define UNROLL _Pragma("unroll")
#else
#  define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float    vf __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t  vi __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint64_t vq __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef float    vh __attribute__((vector_size(LANES * 2), aligned(4), may_alias));
typedef double   vd __attribute__((vector_size(LANES * 4), aligned(8)));

/* ---- Vectors --------------------------------------------------------------------------------- */

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE vf all(float v) { return v - (vf){ 0 }; }        /* exact for every v, -0 included */
INLINE vf pick(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

static __attribute__((noinline)) void copy_tail(const float *p, uint32_t i, uint32_t n, float fill,
                                                float out[LANES])
{
    for (uint32_t j = 0; j < LANES; j++)
        out[j] = i + j < n ? p[i + j] : fill;
}

/* Of p[0 .. n) the vector at i; fill where it leaves them. */
INLINE vf load_at(const float *p, uint32_t i, uint32_t n, float fill)
{
    float tail[LANES];

    if (__builtin_expect(i + LANES <= n, 1))
        return load(p + i);
    copy_tail(p, i, n, fill, tail);
    return load(tail);
}

/* a > b ? a : b */
INLINE vf greater(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return pick(a > b, a, b);
#endif
}

INLINE vu lesser(vu a, vu b)
{
#if defined(__AVX512F__)
    return (vu)_mm512_min_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (vu)_mm256_min_epu32((__m256i)a, (__m256i)b);
#elif defined(__aarch64__)
    return (vu)vminq_u32((uint32x4_t)a, (uint32x4_t)b);
#else
    return (vu)pick((vi)(a < b), (vf)a, (vf)b);
#endif
}

/* a < limit ? yes : no */
INLINE vf pick_below(vf a, float limit, vf yes, vf no)
{
#if defined(__AVX512F__)
    __mmask16 m = _mm512_cmp_ps_mask((__m512)a, _mm512_set1_ps(limit), _CMP_LT_OQ);

    return (vf)_mm512_mask_blend_ps(m, (__m512)no, (__m512)yes);
#else
    return pick(a < limit, yes, no);
#endif
}

/* v where x >= low, else 0 */
INLINE vf where_from(vf x, float low, vf v)
{
#if defined(__AVX512F__)
    __mmask16 m = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(low), _CMP_GE_OQ);

    return (vf)_mm512_maskz_mov_ps(m, (__m512)v);
#else
    return (vf)((x >= low) & (vi)v);
#endif
}

/* sum + v where x >= low, else sum; no v is negative */
INLINE vf add_from(vf sum, vf x, float low, vf v)
{
#if defined(__AVX512F__)
    __mmask16 m = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(low), _CMP_GE_OQ);

    return (vf)_mm512_mask_add_ps((__m512)sum, m, (__m512)sum, (__m512)v);
#else
    return sum + where_from(x, low, v);
#endif
}

/* A bit for each lane of a comparison. */
INLINE uint32_t lanes(vi mask)
{
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#elif defined(__SSE2__)
    return (uint32_t)_mm_movemask_ps((__m128)mask);
#elif defined(__aarch64__)
    const uint32x4_t bits = { 1, 2, 4, 8 };

    return vaddvq_u32(vandq_u32((uint32x4_t)mask, bits));
#else
    uint32_t r = 0;

    for (uint32_t i = 0; i < LANES; i++)
        r |= (uint32_t)(mask[i] != 0) << i;
    return r;
#endif
}

INLINE vd low_half(vf v)
{
    vh h;

    memcpy(&h, &v, sizeof h);
    return __builtin_convertvector(h, vd);
}

INLINE vd high_half(vf v)
{
    vh h;

    memcpy(&h, (const char *)&v + sizeof h, sizeof h);
    return __builtin_convertvector(h, vd);
}

/* A sum in 16 lanes of double. */
typedef struct sum {
    vd lane[2 * PARTS];
} sum_t;

INLINE void add(sum_t *s, uint32_t part, vf v)
{
    s->lane[2 * part] += low_half(v);
    s->lane[2 * part + 1] += high_half(v);
}

INLINE double total(const sum_t *s)
{
    double v[W], r[2];

    memcpy(v, s->lane, sizeof v);
    for (uint32_t i = 0; i < 2; i++) {
        const double *p = v + 8 * i;
        r[i] = ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]));
    }
    return r[0] + r[1];
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* exp(y), y <= 0; 0 below -87 */
INLINE vf exp_of(vf y)
{
    vf c = greater(y, all(-87)), t = c * LLS_LOG2E + LLS_ROUND, k = t - LLS_ROUND, r, p;

    r = c - k * LLS_LN2_HI;
    r = r - k * LLS_LN2_LO;
    p = LLS_EXP_POLY(r);
    p = (p * r) * r + r + 1.0f;
    p = p * (vf)(((vu)t << 23) + 0x3f800000u);
    return pick_below(y, -87, (vf){ 0 }, p);
}

/* exp(y) as a multiple of 2^-35 */
INLINE vf weight(vf x, const lls_sample_scale_t *s)
{
    vf e = exp_of((x - s->max) * s->inv_t);

    return pick_below(e, LLS_WEIGHT_STEP, (e + LLS_WEIGHT_STEP) - LLS_WEIGHT_STEP, e);
}

/* exp(y) within 0.18 %, rounding included; log2_t is 1 / T / ln 2. */
INLINE vf weight_about(vf x, float max, float log2_t)
{
    vf z = greater((x - max) * log2_t, all(-125)), t = z + LLS_ROUND, r = z - (t - LLS_ROUND);
    vf p = LLS_STEP(LLS_STEP(0.238428533f, r, 0.703447998f), r, 1.000443220f);

    return (vf)((vu)p + ((vu)t << 23));
}

/* exp(y) times 1 to 1.062, and rounding: the float whose bits are linear in y, for 2^f <= 1 + f.
 * bits are 2^23 / T / ln 2, one are those of 1 at y = 0. */
INLINE vf weight_quick(vf x, float bits, float one)
{
    vf b = greater(x * bits + one, (vf){ 0 });

    return (vf)__builtin_convertvector(b, vi);
}

/* ---- Passes over a row ---------------------------------------------------------------------- */

/* The largest of 16. */
INLINE float largest(const float *p)
{
    float m[W / 2];

    for (uint32_t i = 0; i < W / 2; i++)
        m[i] = p[i] > p[i + W / 2] ? p[i] : p[i + W / 2];
    for (uint32_t n = W / 4; n > 0; n /= 2)
        for (uint32_t i = 0; i < n; i++)
            m[i] = m[i] > m[i + n] ? m[i] : m[i + n];
    return m[0];
}

static float largest_of(const float *peaks, uint32_t n)
{
    vf    top[PARTS];
    float tops[W];

    for (uint32_t p = 0; p < PARTS; p++)
        top[p] = all(-INFINITY);
    for (uint32_t i = 0; i < n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++)
            top[p] = greater(load(peaks + i + p * LANES), top[p]);
    memcpy(tops, top, sizeof tops);
    return largest(tops);
}

static bool scan(const float *x, uint32_t n, float *peaks, float *max)
{
    vf    top[PARTS];
    vi    good[PARTS];
    float tops[W];
    bool  ok = true;

    for (uint32_t p = 0; p < PARTS; p++) {
        top[p] = all(-INFINITY);
        good[p] = (vi){ 0 } - 1;
    }
    for (uint32_t first = 0; first < n; first += LLS_SAMPLE_BLOCK, peaks += W) {
        uint32_t end = lls_min_u32(n, first + LLS_SAMPLE_BLOCK);
        vf       m[PARTS];

        for (uint32_t p = 0; p < PARTS; p++)
            m[p] = all(-INFINITY);
        for (uint32_t i = first; i < end; i += W)
            UNROLL
            for (uint32_t p = 0; p < PARTS; p++) {
                vf v = load_at(x, i + p * LANES, end, -INFINITY);
                good[p] &= v < INFINITY;
                m[p] = greater(v, m[p]);
            }
        memcpy(peaks, m, sizeof m);
        for (uint32_t p = 0; p < PARTS; p++)
            top[p] = greater(m[p], top[p]);
    }
    memcpy(tops, top, sizeof tops);
    *max = largest(tops);
    for (uint32_t p = 0; p < PARTS; p++)
        ok &= lanes(~good[p]) == 0;
    return ok;
}

static double weigh(const float *x, uint32_t n, const lls_sample_scale_t *s, float *w)
{
    sum_t sum = { 0 };

    for (uint32_t i = 0; i < n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++) {
            uint32_t at = i + p * LANES;
            vf       e = weight(load_at(x, at, n, -INFINITY), s);
            add(&sum, p, e);
            if (w != NULL && at < n)
                memcpy(w + at, &e, lls_min_u32(LANES, n - at) * sizeof *w);
        }
    return total(&sum);
}

static void mass(const float *x, uint32_t n, const lls_sample_scale_t *s, float low, float high,
                 double sums[2])
{
    sum_t a = { 0 }, b = { 0 };

    for (uint32_t i = 0; i < n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++) {
            vf v = load_at(x, i + p * LANES, n, -INFINITY);
            vf e = where_from(v, low, weight(v, s));
            add(&a, p, e);
            add(&b, p, where_from(v, high, e));
        }
    sums[0] = total(&a);
    sums[1] = total(&b);
}

/* Sums of a block are added up apart, so that rounding stays far below the error of a weight. */
INLINE void mass_near(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                      float high, double sums[2], bool quick)
{
    float log2_t = s->inv_t * LLS_LOG2E, bits = log2_t * 0x1p23f;
    float one = LLS_ONE_BITS - s->max * bits;
    sum_t a = { 0 }, b = { 0 };

    for (uint32_t first = 0; first < n; first += LLS_SAMPLE_BLOCK) {
        uint32_t end = lls_min_u32(n, first + LLS_SAMPLE_BLOCK);
        vf       block_a[PARTS] = { 0 }, block_b[PARTS] = { 0 };

        for (uint32_t i = first; i < end; i += W)
            UNROLL
            for (uint32_t p = 0; p < PARTS; p++) {
                vf v = load_at(x, i + p * LANES, end, -INFINITY);
                vf e = quick ? weight_quick(v, bits, one) : weight_about(v, s->max, log2_t);
                block_a[p] = add_from(block_a[p], v, low, e);
                block_b[p] = add_from(block_b[p], v, high, e);
            }
        for (uint32_t p = 0; p < PARTS; p++) {
            add(&a, p, block_a[p]);
            add(&b, p, block_b[p]);
        }
    }
    sums[0] = total(&a);
    sums[1] = total(&b);
}

static void mass_about(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                       float high, double sums[2])
{
    mass_near(x, n, s, low, high, sums, false);
}

static void mass_quick(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                       float high, double sums[2])
{
    mass_near(x, n, s, low, high, sums, true);
}

static double sum_from(const float *x, const float *w, uint32_t n, float low)
{
    sum_t sum = { 0 };

    for (uint32_t i = 0; i < n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++) {
            uint32_t at = i + p * LANES;
            add(&sum, p, where_from(load_at(x, at, n, -INFINITY), low, load_at(w, at, n, 0)));
        }
    return total(&sum);
}

static double sum_exp(const float *x, uint32_t n, float max)
{
    sum_t sum = { 0 };

    for (uint32_t i = 0; i < n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++)
            add(&sum, p, exp_of(load_at(x, i + p * LANES, n, -INFINITY) - max));
    return total(&sum);
}

static uint32_t count_from(const float *x, uint32_t n, float low)
{
    vi       c[PARTS] = { 0 };
    uint32_t i = 0, sum = 0;

    for (; i + W <= n; i += W)
        UNROLL
        for (uint32_t p = 0; p < PARTS; p++)
            c[p] -= load(x + i + p * LANES) >= low;
    for (; i < n; i++)
        sum += x[i] >= low;
    for (uint32_t j = 0; j < W; j++)
        sum += (uint32_t)c[j / LANES][j % LANES];
    return sum;
}

static bool any_from(const float *x, float low)
{
    uint32_t hits = 0;

    for (uint32_t p = 0; p < PARTS; p++)
        hits |= lanes(load(x + p * LANES) >= low);
    return hits != 0;
}

static uint32_t gather(const float *x, uint32_t n, const float *peaks, float low, float *out_x,
                       uint32_t *out_id)
{
    uint32_t n_out = 0;

    low = low > -FLT_MAX ? low : -FLT_MAX;
    for (uint32_t i = 0; i < n; i += LANES) {
        uint32_t hits;

        if (i % LLS_SAMPLE_BLOCK == 0 && !any_from(peaks + i / LLS_SAMPLE_BLOCK * W, low)) {
            i += LLS_SAMPLE_BLOCK - LANES;
            continue;
        }
        for (hits = lanes(load_at(x, i, n, -INFINITY) >= low); hits != 0; hits &= hits - 1) {
            uint32_t id = i + (uint32_t)__builtin_ctz(hits);
            out_x[n_out] = x[id];
            out_id[n_out++] = id;
        }
    }
    return n_out;
}

/* ---- Noise ----------------------------------------------------------------------------------- */

/* -log(-log(1 - v)): sample_math.h in vectors */
INLINE vf log_of(vf t)
{
    vi b = (vi)t, k = (b - LLS_SQRT_HALF_BITS) >> 23;
    vf f = (vf)((vu)b - ((vu)k << 23)) - 1.0f, kf = __builtin_convertvector(k, vf);

    return LLS_LOG_POLY(f, kf);
}

INLINE vf noise_of(vu w)
{
    vf v = (__builtin_convertvector((vi)(w >> 1), vf) + 0.5f) * 0x1p-31f, t, f, e;
    vi b, k;

    v = pick_below(v, LLS_V_MAX, v, all(LLS_V_MAX));
    t = 1.0f - v;
    b = (vi)t;
    k = (b - LLS_SQRT_HALF_BITS) >> 23;
    f = pick_below(v, 0.25f, -v, (vf)((vu)b - ((vu)k << 23)) - 1.0f);
    t = __builtin_convertvector(k, vf);
    e = LLS_LOG_POLY(f, t);
    return -log_of(-e);
}

/* Products of the low words of pairs with m. */
INLINE vq times(vq a, uint32_t m)
{
#if defined(__AVX512F__)
    return (vq)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi32((int)m));
#elif defined(__AVX2__)
    return (vq)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi32((int)m));
#elif defined(__SSE2__)
    return (vq)_mm_mul_epu32((__m128i)a, _mm_set1_epi32((int)m));
#elif defined(__aarch64__)
    return (vq)vmull_n_u32(vmovn_u64((uint64x2_t)a), m);
#else
    return (a & 0xffffffffu) * (uint64_t)m;
#endif
}

/* Vectors of counters worked on at once: enough to hide the latency of the products. */
#if defined(__AVX512F__)
#  define CHAINS 4u
#else
#  define CHAINS 2u
#endif

typedef struct words {
    vq w[CHAINS][4];
} words_t;

/* lls_philox() of the counters (position, c) in the low words of c, into the low words of out.  Of
 * the first three rounds half is the same for all c. */
INLINE void philox(uint64_t seed, uint32_t position, const vq c[CHAINS], words_t *out)
{
    const uint32_t m0 = 0xd2511f53u, m1 = 0xcd9e8d57u, add0 = 0x9e3779b9u, add1 = 0xbb67ae85u;
    uint32_t       k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint64_t       a0 = (uint64_t)m0 * position, a1, b0;

    b0 = m1 * (uint64_t)((uint32_t)(a0 >> 32) ^ k1);
    a1 = m0 * (uint64_t)((uint32_t)(b0 >> 32) ^ (k0 + add0));
    UNROLL
    for (uint32_t i = 0; i < CHAINS; i++) {
        vq *w = out->w[i], a = times(c[i] ^ (uint64_t)k0, m0);

        w[2] = (a >> 32) ^ (uint64_t)((uint32_t)a0 ^ (k1 + add1));
        w[1] = times(w[2], m1);
        w[0] = (w[1] >> 32) ^ (uint64_t)((uint32_t)b0 ^ (k0 + 2 * add0));
        w[2] = a ^ (uint64_t)((uint32_t)(a1 >> 32) ^ (k1 + 2 * add1));
        w[3] = (uint64_t)(uint32_t)a1 - (vq){ 0 };
    }
    UNROLL
    for (uint32_t round = 3; round < 10; round++)
        UNROLL
        for (uint32_t i = 0; i < CHAINS; i++) {
            vq *w = out->w[i], a = times(w[0], m0), b = times(w[2], m1);

            w[0] = (b >> 32) ^ w[1] ^ (uint64_t)(k0 + round * add0);
            w[1] = b;
            w[2] = (a >> 32) ^ w[3] ^ (uint64_t)(k1 + round * add1);
            w[3] = a;
        }
}

/* The low words of a in the even lanes, those of b in the odd ones. */
INLINE vu weave(vq a, vq b) { return (vu)((a & 0xffffffffu) | (b << 32)); }

/* ---- The race: scores of tokens with their noise -------------------------------------------- */

INLINE void score_one(float x, uint32_t id, float noise, const lls_sample_scale_t *s,
                      lls_sample_best_t *best)
{
    float score = (x - s->max) * s->inv_t + noise;

    if (score > best->score || (score == best->score && id < best->id))
        *best = (lls_sample_best_t){ score, x, id };
}

/* exp(y) times 1 to 1.062: a float whose bits are linear in y, for 2^f <= 1 + f. */
INLINE float exp_about(float y)
{
    float   bits = y * (LLS_LOG2E * 0x1p23f) + LLS_ONE_BITS, e;
    int32_t b = bits < 0x1p30f ? (int32_t)(bits > 0 ? bits : 0) : 0x40000000;

    memcpy(&e, &b, sizeof e);
    return e;
}

/* As -log(-log(1 - v)) < -log v, a token of distance y can reach the score `best` only with v below
 * exp(y - best): words up to this, with a margin far above all rounding. */
INLINE int32_t word_limit(float best, float y)
{
    float v = exp_about(y - best) * 1.001f;

    return v < 0.5f ? (int32_t)(v * 0x1p31f) + 2 : INT32_MAX;
}

/* Word i of lane j is that of token first + 4 j + i. */
INLINE void score_near(const float *x, uint32_t first, uint32_t end, float low, const vu w[4],
                       int32_t limit, const lls_sample_scale_t *s, lls_sample_best_t *best)
{
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t hits = lanes((vi)(w[i] >> 1) <= limit), word[LANES];

        memcpy(word, &w[i], sizeof word);
        for (; hits != 0; hits &= hits - 1) {
            uint32_t lane = (uint32_t)__builtin_ctz(hits), id = first + 4 * lane + i;
            if (id < end && x[id] >= low &&
                (int32_t)(word[lane] >> 1) <= word_limit(best->score, (x[id] - s->max) * s->inv_t))
                score_one(x[id], id, lls_sample_noise_of(word[lane]), s, best);
        }
    }
}

/* Counters first, first + 1, ..: even ones in c[0], c[2], .., odd ones in c[1], c[3], .. */
INLINE void count(uint32_t first, vq c[CHAINS])
{
    vq even;

    for (uint32_t i = 0; i < LANES / 2; i++)
        even[i] = 2 * i;
    for (uint32_t i = 0; i < CHAINS; i++)
        c[i] = even + (uint64_t)(first + i / 2 * LANES + i % 2);
}

static void race(const float *x, uint32_t n, const float *peaks, float low,
                 const lls_sample_scale_t *s, uint64_t seed, uint32_t position, const float *next,
                 lls_sample_best_t *best)
{
    low = low > -FLT_MAX ? low : -FLT_MAX;
    for (uint32_t first = 0; first < n; first += LLS_SAMPLE_BLOCK, peaks += W) {
        uint32_t end = lls_min_u32(n, first + LLS_SAMPLE_BLOCK), t = first;
        float    peak = largest(peaks), y_peak = (peak - s->max) * s->inv_t;
        int32_t  limit = word_limit(best->score, y_peak);
        vq       c[CHAINS];

        if (peak < low || y_peak + LLS_SAMPLE_NOISE_MAX < best->score)
            continue;
        count(first / 4, c);
        while (t < end) {
            words_t r;

            if (next != NULL)
                for (uint32_t i = 0; i < CHAINS / 2 * LANES * 4; i += 16)
                    __builtin_prefetch(next + t + i, 0, 2);
            philox(seed, position, c, &r);
            UNROLL
            for (uint32_t i = 0; i < CHAINS; i += 2, t += 4 * LANES) {
                const vq *a = r.w[i], *b = r.w[i + 1];
                vu w[4], m0 = lesser(lesser((vu)a[0], (vu)a[1]), lesser((vu)a[2], (vu)a[3]));
                vu m1 = lesser(lesser((vu)b[0], (vu)b[1]), lesser((vu)b[2], (vu)b[3]));

                if (__builtin_expect(lanes((vi)(weave((vq)m0, (vq)m1) >> 1) <= limit) == 0, 1))
                    continue;
                for (uint32_t j = 0; j < 4; j++)
                    w[j] = weave(a[j], b[j]);
                score_near(x, t, end, low, w, limit, s, best);
                limit = word_limit(best->score, y_peak);
            }
            for (uint32_t i = 0; i < CHAINS; i++)
                c[i] += CHAINS / 2 * LANES;
        }
    }
}

/* Noise of the tokens in id, CHAINS / 2 vectors of them. */
INLINE void noises(const uint32_t *id, uint64_t seed, uint32_t position, float *noise)
{
    vq      c[CHAINS];
    words_t r;

    for (uint32_t i = 0; i < CHAINS; i += 2) {
        vq pair = *(const vq *)(id + i / 2 * LANES);
        c[i] = (pair & 0xffffffffu) >> 2;
        c[i + 1] = pair >> 34;
    }
    philox(seed, position, c, &r);
    for (uint32_t i = 0; i < CHAINS; i += 2) {
        vu which = *(const vu *)(id + i / 2 * LANES) & 3u, word = { 0 };
        for (uint32_t j = 0; j < 4; j++)
            word |= weave(r.w[i][j], r.w[i + 1][j]) & (vu)(which == j);
        *(vf *)(noise + i / 2 * LANES) = noise_of(word);
    }
}

static void race_list(const float *x, const uint32_t *id, uint32_t n, float low,
                      const lls_sample_scale_t *s, uint64_t seed, uint32_t position,
                      lls_sample_best_t *best)
{
    enum { STEP = CHAINS / 2 * LANES };

    for (uint32_t i = 0; i < n; i += STEP) {
        uint32_t m = lls_min_u32(STEP, n - i), ids[STEP] = { 0 };
        float    noise[STEP];

        memcpy(ids, id + i, m * sizeof *id);
        noises(ids, seed, position, noise);
        for (uint32_t j = 0; j < m; j++)
            if (x[i + j] >= low)
                score_one(x[i + j], ids[j], noise[j], s, best);
    }
}

const lls_sample_kernels_t KERNELS = { scan, largest_of, weigh, mass, mass_about, mass_quick,
                                       sum_from, gather, count_from, sum_exp, race, race_list };
