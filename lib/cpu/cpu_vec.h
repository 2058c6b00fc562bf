/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_vec - one vector of floats, of 8 or 16 lanes, for kernels written once for AVX2, AVX-512 and
 * NEON, where it is two registers.
 *
 * Included only by files compiled for one of these; lls_v_<op> is one instruction or a few.
 */
#ifndef LLS_CPU_VEC_H
#define LLS_CPU_VEC_H

#if defined(__aarch64__)
#  include <arm_neon.h>
#else
#  include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>

#define LLS_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#  define LLS_UNROLL _Pragma("unroll")
#else
#  define LLS_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__)

#define LLS_VL 16u
typedef __m512 lls_v_t;

LLS_INLINE lls_v_t lls_v_zero(void) { return _mm512_setzero_ps(); }
LLS_INLINE lls_v_t lls_v_set(float x) { return _mm512_set1_ps(x); }
LLS_INLINE lls_v_t lls_v_load(const void *p) { return _mm512_loadu_ps(p); }
LLS_INLINE void    lls_v_store(float *p, lls_v_t a) { _mm512_storeu_ps(p, a); }
LLS_INLINE lls_v_t lls_v_add(lls_v_t a, lls_v_t b) { return _mm512_add_ps(a, b); }
LLS_INLINE lls_v_t lls_v_sub(lls_v_t a, lls_v_t b) { return _mm512_sub_ps(a, b); }
LLS_INLINE lls_v_t lls_v_mul(lls_v_t a, lls_v_t b) { return _mm512_mul_ps(a, b); }
LLS_INLINE lls_v_t lls_v_min(lls_v_t a, lls_v_t b) { return _mm512_min_ps(a, b); }
/* b where one of them is a NaN, as in lls_v_min() */
LLS_INLINE lls_v_t lls_v_max(lls_v_t a, lls_v_t b) { return _mm512_max_ps(a, b); }
LLS_INLINE float   lls_v_sum(lls_v_t a) { return _mm512_reduce_add_ps(a); }
LLS_INLINE float   lls_v_top(lls_v_t a) { return _mm512_reduce_max_ps(a); }
/* c + a * b */
LLS_INLINE lls_v_t lls_v_fma(lls_v_t c, lls_v_t a, lls_v_t b) { return _mm512_fmadd_ps(a, b, c); }
/* The low and the high bfloat16 of each pair. */
LLS_INLINE lls_v_t lls_v_low(lls_v_t a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 16));
}

LLS_INLINE lls_v_t lls_v_high(lls_v_t a)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32((int)0xffff0000)));
}

/* VL float16 numbers. */
LLS_INLINE lls_v_t lls_v_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

LLS_INLINE void lls_v_store_f16(uint16_t *p, lls_v_t a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

/* Lane i of a where begin <= first + i < end, else -inf. */
LLS_INLINE lls_v_t lls_v_within(lls_v_t a, int first, int begin, int end)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i       t = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
    __mmask16     in = _mm512_cmpge_epi32_mask(t, _mm512_set1_epi32(begin)) &
                   _mm512_cmplt_epi32_mask(t, _mm512_set1_epi32(end));

    return _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), in, a);
}

/* lls_exp2_cut() of cpu_math.h, on [0, 1) with rounding down: AVX-512 has instructions for it. */
LLS_INLINE lls_v_t lls_v_exp2_cut(lls_v_t x)
{
    __m512 r = _mm512_reduce_ps(x, 9), p = _mm512_set1_ps(1.867130250e-03f);

    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.017029819e-03f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.579991360e-02f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.401644500e-01f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.931513118e-01f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-64.0f), _CMP_NLT_UQ), p, x);
}

/* ---- Integers: VL of 32 bits, or twice as many of 16 ---- */

typedef __m512i lls_vi_t;

LLS_INLINE lls_vi_t lls_vi_set(int32_t x) { return _mm512_set1_epi32(x); }
LLS_INLINE lls_vi_t lls_vi_load(const void *p) { return _mm512_loadu_si512(p); }
LLS_INLINE lls_vi_t lls_vi_max(lls_vi_t a, lls_vi_t b) { return _mm512_max_epi32(a, b); }
LLS_INLINE int32_t  lls_vi_top(lls_vi_t a) { return _mm512_reduce_max_epi32(a); }
LLS_INLINE lls_vi_t lls_vi_of_bits(lls_v_t a) { return _mm512_castps_si512(a); }
LLS_INLINE lls_v_t  lls_vi_to_bits(lls_vi_t a) { return _mm512_castsi512_ps(a); }
LLS_INLINE lls_v_t  lls_vi_to_float(lls_vi_t a) { return _mm512_cvtepi32_ps(a); }
/* Fours of bytes, to be multiplied in LLS_VI_PARTS steps; lls_vi_q() has the other factor of a step
 * from four bytes with sign. */
#define LLS_VI_PARTS 1u
LLS_INLINE lls_vi_t lls_vi_part(lls_vi_t a, uint32_t part) { return a; }
LLS_INLINE uint32_t lls_vi_q(const int8_t *q, uint32_t part)
{
    return (uint32_t)(uint8_t)q[0] | (uint32_t)(uint8_t)q[1] << 8 | (uint32_t)(uint8_t)q[2] << 16 |
           (uint32_t)(uint8_t)q[3] << 24;
}

/* c += the products of a part of fours without sign and of lls_vi_q().  The compiler's own form
 * copies c and spills where many sums are live. */
#define LLS_VI_DOT4(c, a, q) __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(q))

/* Bytes with sign to 16 bits. */
LLS_INLINE lls_vi_t lls_vi_load_s8(const void *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
}

/* c + the products of two neighbours of 16 bits. */
LLS_INLINE lls_vi_t lls_vi_dot2(lls_vi_t c, lls_vi_t a, lls_vi_t b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}

/* Rounded to 16 bits, with saturation; NaNs are the lowest number. */
LLS_INLINE void lls_v_store_s16(int16_t *p, lls_v_t a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
}

#elif defined(__AVX2__)

#define LLS_VL 8u
typedef __m256 lls_v_t;

LLS_INLINE lls_v_t lls_v_zero(void) { return _mm256_setzero_ps(); }
LLS_INLINE lls_v_t lls_v_set(float x) { return _mm256_set1_ps(x); }
LLS_INLINE lls_v_t lls_v_load(const void *p) { return _mm256_loadu_ps(p); }
LLS_INLINE void    lls_v_store(float *p, lls_v_t a) { _mm256_storeu_ps(p, a); }
LLS_INLINE lls_v_t lls_v_add(lls_v_t a, lls_v_t b) { return _mm256_add_ps(a, b); }
LLS_INLINE lls_v_t lls_v_sub(lls_v_t a, lls_v_t b) { return _mm256_sub_ps(a, b); }
LLS_INLINE lls_v_t lls_v_mul(lls_v_t a, lls_v_t b) { return _mm256_mul_ps(a, b); }
LLS_INLINE lls_v_t lls_v_min(lls_v_t a, lls_v_t b) { return _mm256_min_ps(a, b); }
/* b where one of them is a NaN, as in lls_v_min() */
LLS_INLINE lls_v_t lls_v_max(lls_v_t a, lls_v_t b) { return _mm256_max_ps(a, b); }
/* c + a * b */
LLS_INLINE lls_v_t lls_v_fma(lls_v_t c, lls_v_t a, lls_v_t b) { return _mm256_fmadd_ps(a, b, c); }
LLS_INLINE float lls_v_sum(lls_v_t a)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

LLS_INLINE float lls_v_top(lls_v_t a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

/* The low and the high bfloat16 of each pair. */
LLS_INLINE lls_v_t lls_v_low(lls_v_t a)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 16));
}

LLS_INLINE lls_v_t lls_v_high(lls_v_t a)
{
    return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}

/* VL float16 numbers. */
LLS_INLINE lls_v_t lls_v_load_f16(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

LLS_INLINE void lls_v_store_f16(uint16_t *p, lls_v_t a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

/* Lane i of a where begin <= first + i < end, else -inf. */
LLS_INLINE lls_v_t lls_v_within(lls_v_t a, int first, int begin, int end)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i       t = _mm256_add_epi32(lane, _mm256_set1_epi32(first));
    __m256i       out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), t),
                                        _mm256_cmpgt_epi32(t, _mm256_set1_epi32(end - 1)));

    return _mm256_blendv_ps(a, _mm256_set1_ps(-INFINITY), _mm256_castsi256_ps(out));
}

/* lls_exp2_cut() of cpu_math.h */
LLS_INLINE lls_v_t lls_v_exp2_cut(lls_v_t x)
{
    const __m256 magic = _mm256_set1_ps(12582912.0f);
    __m256       t = _mm256_add_ps(x, magic), r = _mm256_sub_ps(x, _mm256_sub_ps(t, magic));
    __m256       p = _mm256_set1_ps(1.338130254e-03f);
    __m256i      n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(magic));

    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(9.666368515e-03f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.550381014e-02f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(2.402234904e-01f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(6.931471806e-01f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    n = _mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(n));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(-64.0f), _CMP_LT_OQ), p);
}

/* ---- Integers: VL of 32 bits, or twice as many of 16 ---- */

typedef __m256i lls_vi_t;

LLS_INLINE lls_vi_t lls_vi_set(int32_t x) { return _mm256_set1_epi32(x); }
LLS_INLINE lls_vi_t lls_vi_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LLS_INLINE lls_vi_t lls_vi_max(lls_vi_t a, lls_vi_t b) { return _mm256_max_epi32(a, b); }
LLS_INLINE lls_vi_t lls_vi_of_bits(lls_v_t a) { return _mm256_castps_si256(a); }
LLS_INLINE lls_v_t  lls_vi_to_bits(lls_vi_t a) { return _mm256_castsi256_ps(a); }
LLS_INLINE lls_v_t  lls_vi_to_float(lls_vi_t a) { return _mm256_cvtepi32_ps(a); }
LLS_INLINE int32_t  lls_vi_top(lls_vi_t a)
{
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

/* Fours of bytes, to be multiplied in LLS_VI_PARTS steps; lls_vi_q() has the other factor of a step
 * from four bytes with sign.  Here: the even bytes, then the odd ones, as 16 bits. */
#define LLS_VI_PARTS 2u
LLS_INLINE lls_vi_t lls_vi_part(lls_vi_t a, uint32_t part)
{
    return part == 0 ? _mm256_and_si256(a, _mm256_set1_epi32(0x00ff00ff)) : _mm256_srli_epi16(a, 8);
}

LLS_INLINE uint32_t lls_vi_q(const int8_t *q, uint32_t part)
{
    return (uint32_t)(uint16_t)q[part] | (uint32_t)(uint16_t)q[part + 2] << 16;
}

/* c += the products of a part of fours without sign and of lls_vi_q(). */
#define LLS_VI_DOT4(c, a, q) ((c) = _mm256_add_epi32(c, _mm256_madd_epi16(a, q)))

/* Bytes with sign to 16 bits. */
LLS_INLINE lls_vi_t lls_vi_load_s8(const void *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}

/* c + the products of two neighbours of 16 bits. */
LLS_INLINE lls_vi_t lls_vi_dot2(lls_vi_t c, lls_vi_t a, lls_vi_t b)
{
    return _mm256_add_epi32(c, _mm256_madd_epi16(a, b));
}

/* Rounded to 16 bits, with saturation; NaNs are the lowest number. */
LLS_INLINE void lls_v_store_s16(int16_t *p, lls_v_t a)
{
    __m256i i = _mm256_cvtps_epi32(a);

    i = _mm256_permute4x64_epi64(_mm256_packs_epi32(i, i), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(i));
}

#elif defined(__aarch64__)

#define LLS_VL 8u
typedef struct lls_v {
    float32x4_t a, b;
} lls_v_t;

#define LLS_V_BOTH(op, x, y) ((lls_v_t){ op((x).a, (y).a), op((x).b, (y).b) })
LLS_INLINE lls_v_t lls_v_set(float x) { return (lls_v_t){ vdupq_n_f32(x), vdupq_n_f32(x) }; }
LLS_INLINE lls_v_t lls_v_zero(void) { return lls_v_set(0.0f); }
LLS_INLINE lls_v_t lls_v_load(const void *p)
{
    return (lls_v_t){ vld1q_f32(p), vld1q_f32((const float *)p + 4) };
}

LLS_INLINE void lls_v_store(float *p, lls_v_t x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
}

LLS_INLINE lls_v_t lls_v_add(lls_v_t x, lls_v_t y) { return LLS_V_BOTH(vaddq_f32, x, y); }
LLS_INLINE lls_v_t lls_v_sub(lls_v_t x, lls_v_t y) { return LLS_V_BOTH(vsubq_f32, x, y); }
LLS_INLINE lls_v_t lls_v_mul(lls_v_t x, lls_v_t y) { return LLS_V_BOTH(vmulq_f32, x, y); }
/* A NaN where one of them is, unlike elsewhere, in both. */
LLS_INLINE lls_v_t lls_v_min(lls_v_t x, lls_v_t y) { return LLS_V_BOTH(vminq_f32, x, y); }
LLS_INLINE lls_v_t lls_v_max(lls_v_t x, lls_v_t y) { return LLS_V_BOTH(vmaxq_f32, x, y); }
/* c + x * y */
LLS_INLINE lls_v_t lls_v_fma(lls_v_t c, lls_v_t x, lls_v_t y)
{
    return (lls_v_t){ vfmaq_f32(c.a, x.a, y.a), vfmaq_f32(c.b, x.b, y.b) };
}

LLS_INLINE float lls_v_sum(lls_v_t x) { return vaddvq_f32(vaddq_f32(x.a, x.b)); }
LLS_INLINE float lls_v_top(lls_v_t x) { return vmaxvq_f32(vmaxq_f32(x.a, x.b)); }

LLS_INLINE float32x4_t lls_v_low_of(float32x4_t x)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 16));
}

LLS_INLINE float32x4_t lls_v_high_of(float32x4_t x)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0xffff0000u)));
}

/* The low and the high bfloat16 of each pair. */
LLS_INLINE lls_v_t lls_v_low(lls_v_t x)
{
    return (lls_v_t){ lls_v_low_of(x.a), lls_v_low_of(x.b) };
}

LLS_INLINE lls_v_t lls_v_high(lls_v_t x)
{
    return (lls_v_t){ lls_v_high_of(x.a), lls_v_high_of(x.b) };
}

LLS_INLINE float32x4_t lls_v_within_of(float32x4_t x, int first, int begin, int end)
{
    int32x4_t  t = vaddq_s32(vcombine_s32(vcreate_s32(1ull << 32), vcreate_s32(3ull << 32 | 2)),
                             vdupq_n_s32(first));
    uint32x4_t in = vandq_u32(vcgeq_s32(t, vdupq_n_s32(begin)), vcltq_s32(t, vdupq_n_s32(end)));

    return vbslq_f32(in, x, vdupq_n_f32(-INFINITY));
}

/* Lane i of x where begin <= first + i < end, else -inf. */
LLS_INLINE lls_v_t lls_v_within(lls_v_t x, int first, int begin, int end)
{
    return (lls_v_t){ lls_v_within_of(x.a, first, begin, end),
                      lls_v_within_of(x.b, first + 4, begin, end) };
}

/* lls_exp2_cut() of cpu_math.h */
LLS_INLINE float32x4_t lls_v_exp2_cut_of(float32x4_t x)
{
    const float32x4_t magic = vdupq_n_f32(12582912.0f);
    float32x4_t       t = vaddq_f32(x, magic), r = vsubq_f32(x, vsubq_f32(t, magic));
    float32x4_t       p = vdupq_n_f32(1.338130254e-03f);
    int32x4_t         n = vsubq_s32(vreinterpretq_s32_f32(t), vreinterpretq_s32_f32(magic));

    p = vfmaq_f32(vdupq_n_f32(9.666368515e-03f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.550381014e-02f), p, r);
    p = vfmaq_f32(vdupq_n_f32(2.402234904e-01f), p, r);
    p = vfmaq_f32(vdupq_n_f32(6.931471806e-01f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    n = vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23);
    p = vmulq_f32(p, vreinterpretq_f32_s32(n));
    return vreinterpretq_f32_u32(
        vbicq_u32(vreinterpretq_u32_f32(p), vcltq_f32(x, vdupq_n_f32(-64.0f))));
}

LLS_INLINE lls_v_t lls_v_exp2_cut(lls_v_t x)
{
    return (lls_v_t){ lls_v_exp2_cut_of(x.a), lls_v_exp2_cut_of(x.b) };
}

/* VL float16 numbers. */
LLS_INLINE lls_v_t lls_v_load_f16(const void *p)
{
    float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(p));

    return (lls_v_t){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}

LLS_INLINE void lls_v_store_f16(uint16_t *p, lls_v_t x)
{
    float16x8_t h = vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b);

    vst1q_u16(p, vreinterpretq_u16_f16(h));
}

/* ---- Integers: VL of 32 bits, or twice as many of 16 ---- */

typedef struct lls_vi {
    int32x4_t a, b;
} lls_vi_t;

LLS_INLINE lls_vi_t lls_vi_set(int32_t x) { return (lls_vi_t){ vdupq_n_s32(x), vdupq_n_s32(x) }; }
LLS_INLINE lls_vi_t lls_vi_load(const void *p)
{
    return (lls_vi_t){ vreinterpretq_s32_u8(vld1q_u8(p)),
                       vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16)) };
}

LLS_INLINE lls_vi_t lls_vi_max(lls_vi_t x, lls_vi_t y)
{
    return (lls_vi_t){ vmaxq_s32(x.a, y.a), vmaxq_s32(x.b, y.b) };
}

LLS_INLINE int32_t  lls_vi_top(lls_vi_t x) { return vmaxvq_s32(vmaxq_s32(x.a, x.b)); }
LLS_INLINE lls_vi_t lls_vi_of_bits(lls_v_t x)
{
    return (lls_vi_t){ vreinterpretq_s32_f32(x.a), vreinterpretq_s32_f32(x.b) };
}

LLS_INLINE lls_v_t lls_vi_to_bits(lls_vi_t x)
{
    return (lls_v_t){ vreinterpretq_f32_s32(x.a), vreinterpretq_f32_s32(x.b) };
}

LLS_INLINE lls_v_t lls_vi_to_float(lls_vi_t x)
{
    return (lls_v_t){ vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b) };
}

/* As with AVX2: the even bytes, then the odd ones, as 16 bits. */
#define LLS_VI_PARTS 2u
LLS_INLINE int32x4_t lls_vi_part_of(int32x4_t x, uint32_t part)
{
    return part == 0 ? vandq_s32(x, vdupq_n_s32(0x00ff00ff))
                     : vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(x), 8));
}

LLS_INLINE lls_vi_t lls_vi_part(lls_vi_t x, uint32_t part)
{
    return (lls_vi_t){ lls_vi_part_of(x.a, part), lls_vi_part_of(x.b, part) };
}

LLS_INLINE uint32_t lls_vi_q(const int8_t *q, uint32_t part)
{
    return (uint32_t)(uint16_t)q[part] | (uint32_t)(uint16_t)q[part + 2] << 16;
}

LLS_INLINE int32x4_t lls_vi_dot2_of(int32x4_t c, int32x4_t x, int32x4_t y)
{
    int16x8_t p = vreinterpretq_s16_s32(x), q = vreinterpretq_s16_s32(y);

    return vaddq_s32(c, vpaddq_s32(vmull_s16(vget_low_s16(p), vget_low_s16(q)),
                                   vmull_high_s16(p, q)));
}

/* c + the products of two neighbours of 16 bits. */
LLS_INLINE lls_vi_t lls_vi_dot2(lls_vi_t c, lls_vi_t x, lls_vi_t y)
{
    return (lls_vi_t){ lls_vi_dot2_of(c.a, x.a, y.a), lls_vi_dot2_of(c.b, x.b, y.b) };
}

#define LLS_VI_DOT4(c, a, q) ((c) = lls_vi_dot2(c, a, q))

/* Bytes with sign to 16 bits. */
LLS_INLINE lls_vi_t lls_vi_load_s8(const void *p)
{
    int8x16_t v = vld1q_s8(p);

    return (lls_vi_t){ vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(v))),
                       vreinterpretq_s32_s16(vmovl_high_s8(v)) };
}

/* Rounded to 16 bits, with saturation; NaNs are 0. */
LLS_INLINE void lls_v_store_s16(int16_t *p, lls_v_t x)
{
    vst1q_s16(p, vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(x.a)), vcvtnq_s32_f32(x.b)));
}

#endif

#endif
