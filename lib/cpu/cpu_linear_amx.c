/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear kernels for AMX: tiles multiply 16 rows of activations with 16 columns of weights, 32
 * values of k at a time, both of bfloat16, and add to float32.  Every number of rows goes through
 * the tiles, one row too, and a sum depends on its own row and column alone, so results do not
 * depend on the batch.
 *
 * Weights in blocks become bfloat16 first: where few rows meet a panel, just before tiles take them
 * in; where many do, a piece of the panel at a time, which stays in the nearest cache.  A weight is
 * made by arithmetic of f16, 32 at once:
 *   1024 d q + 1024 m, rounded to f16's 11 bits and then to 8, halves away from 0
 * and the bits of that f16, moved to where bfloat16 has exponent and mantissa, say 2^-112 times as
 * much.  Activations of FORM_TILEW are 2^102 times what they are, so that products are right; those
 * of 2^26 and more become infinite.  Weights below 2^-24 become 0, and matrices that may have some
 * of 64 and more are left to AVX-512.
 * All other kinds are those of AVX-512.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512BF16__) && defined(__AVX512FP16__) && defined(__AVX512VBMI__)

#include <immintrin.h>
#include <string.h>

#include "cpu/cpu_linear_avx512.h"
#include "cpu/cpu_tiles.h"

#define TILE_ROWS   16u
#define MAX_ROWS    32u             /* of a block: two tiles of rows share the loads of weights */
#define GROUP_BYTES 2048u           /* of 32 values of k in bfloat16: [16][32][2] */
#define TILE_AHEAD  1024u           /* bytes: one stream a thread reads fastest so */
#define WIDE_AHEAD  2560u           /* the same of weights in blocks */

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Palette 1: four tiles of sums and two of activations, of at most n_rows rows, and two of weights.
 * Of int8, 32 values of k are half as many bytes of a row of activations and half as many rows of
 * weights. */
static void begin_tiles(uint32_t form, uint32_t n_rows)
{
    uint8_t bytes = form == LLS_FORM_TILE8 ? 32 : 64;
    struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } c = {
        .palette = 1
    };

    for (uint32_t i = 0; i < 8; i++) {
        c.bytes[i] = i == 4 || i == 5 ? bytes : 64;
        c.rows[i] = (uint8_t)(i < 6 ? lls_min_u32(n_rows, TILE_ROWS) : bytes / 4u);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(c));
}

/* Two tiles of sums, or four where a block has more than 16 rows.  A tile of which not all rows are
 * in the block multiplies whatever lies behind them, and its sums go where the block has room. */
INLINE void begin_sums(bool two, bool first, const float *tile)
{
    if (first) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        return;
    }
    TILE_LOAD(0, tile, 128);
    TILE_LOAD(1, tile + 16, 128);
    if (two) {
        TILE_LOAD(2, tile + TILE_ROWS * LLS_PANEL, 128);
        TILE_LOAD(3, tile + TILE_ROWS * LLS_PANEL + 16, 128);
    }
}

INLINE void end_sums(bool two, float *tile)
{
    TILE_STORE(0, tile, 128);
    TILE_STORE(1, tile + 16, 128);
    if (two) {
        TILE_STORE(2, tile + TILE_ROWS * LLS_PANEL, 128);
        TILE_STORE(3, tile + TILE_ROWS * LLS_PANEL + 16, 128);
    }
}

INLINE void add_group(bool two, const uint8_t *a, const uint8_t *w)
{
    TILE_LOAD(4, a, 64);
    TILE_LOAD(6, w, 128);
    TILE_DOT(0, 4, 6);
    TILE_LOAD(7, w + 64, 128);
    TILE_DOT(1, 4, 7);
    if (two) {
        TILE_LOAD(5, a + TILE_ROWS * 64, 64);
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
    }
}

/* n groups of k of a panel in bfloat16, in a near cache. */
static void multiply_groups(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                            bool first, float *tile)
{
    bool two = mr > TILE_ROWS;

    begin_sums(two, first, tile);
    for (; n > 0; n--, acts += 64 * (size_t)mr, w += GROUP_BYTES)
        add_group(two, acts, w);
    end_sums(two, tile);
}

/* ---- bfloat16 -------------------------------------------------------------------------------- */

static void fill_pairs(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    for (dst += 64 * (size_t)m; n > 0; x += 32, dst += 64 * (size_t)mr) {
        uint32_t  here = lls_min_u32(32, n), mask = here == 32 ? 0xffffffffu : (1u << here) - 1;
        __m512    a = _mm512_maskz_loadu_ps((__mmask16)mask, x);
        __m512    b = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 16);

        _mm512_storeu_si512(dst, (__m512i)_mm512_cvtne2ps_pbh(b, a));
        n -= here;
    }
}

/* n steps of 2 values; a group that they do not fill is filled with zeros. */
static size_t widen_bf16(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    memcpy(dst, w, (size_t)n * 128);
    memset(dst + (size_t)n * 128, 0, lls_ceil_div(n, 16) * GROUP_BYTES - (size_t)n * 128);
    return 128;
}

/* Lines in the order of memory: a tile takes every other one, which memory serves slower. */
INLINE void read_ahead(const uint8_t *w)
{
    for (uint32_t i = 0; i < GROUP_BYTES; i += 64) {
        __m512i line = _mm512_loadu_si512(w + i);

        __asm__ volatile("" : : "v"(line));
        _mm_prefetch((const char *)w + TILE_AHEAD + i, _MM_HINT_T0);
    }
}

static void multiply_bf16(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                          bool first, float *tile)
{
    uint8_t last[GROUP_BYTES];
    bool    two = mr > TILE_ROWS;

    begin_sums(two, first, tile);
    for (; n >= 16; n -= 16, acts += 64 * (size_t)mr, w += GROUP_BYTES) {
        read_ahead(w);
        add_group(two, acts, w);
    }
    if (n > 0) {
        widen_bf16(w, n, last);
        add_group(two, acts, last);
    }
    end_sums(two, tile);
}

static void multiply_wide_2(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                            bool first, float *tile)
{
    multiply_groups(acts, w, lls_ceil_div(n, 16), mr, first, tile);
}

/* ---- Weights in blocks ----------------------------------------------------------------------- */

/* Of each four values the third comes second: words of four bytes become pairs in this order. */
static void fill_wide(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    const __m512 unit = _mm512_set1_ps(0x1p102f);

    for (dst += 64 * (size_t)m; n > 0; n -= 32, x += 32, dst += 64 * (size_t)mr) {
        __m512  a = _mm512_mul_ps(_mm512_loadu_ps(x), unit);
        __m512  b = _mm512_mul_ps(_mm512_loadu_ps(x + 16), unit);
        __m512i v = (__m512i)_mm512_cvtne2ps_pbh(b, a);

        _mm512_storeu_si512(dst, _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(v, 0xd8), 0xd8));
    }
}

typedef struct affine {             /* of 16 columns, each twice */
    __m512h d, m;
} affine_t;

/* f16 of each column to both halves of its word. */
INLINE __m512h twice(__m256i v)
{
    __m512i low = _mm512_cvtepu16_epi32(v);

    return _mm512_castsi512_ph(_mm512_or_si512(low, _mm512_slli_epi32(low, 16)));
}

INLINE __m512h block_scales(const uint8_t *p)
{
    return _mm512_mul_ph(twice(_mm256_load_si256((const __m256i *)p)),
                         _mm512_set1_ph((_Float16)1024));
}

INLINE __m512h small_scales(const form_t f, __m512 head, const uint8_t *small)
{
    __m512 v = _mm512_mul_ps(scale_small(f, head, small), _mm512_set1_ps(1024));

    return twice((__m256i)_mm512_cvtxps_ph(v));
}

/* Bytes of each 16 bits that begin `at` bits further on.  Unlike shifts this is done where tiles
 * leave vectors their full speed. */
INLINE __m512i move_down(__m512i v, uint32_t at)
{
    __m512i begin = _mm512_set1_epi64(0x3830282018100800 + 0x0101010101010101 * (int64_t)at);

    return at == 0 ? v : _mm512_multishift_epi64_epi8(begin, v);
}

/* The values that begin `at` bits into each half of a word, to bfloat16: as f16 of 1024 + q they
 * begin. */
INLINE __m512i widen_values(const form_t f, __m512i v, uint32_t at, const affine_t *s)
{
    const int     zero = f.min ? 0 : 1 << f.zero_shift;
    const __m512i mask = _mm512_set1_epi16(f.nibbles ? 15 : 255);
    __m512i       q = _mm512_ternarylogic_epi32(move_down(v, at), mask,
                                                _mm512_set1_epi16(0x6400), 0xea);
    __m512h       w = _mm512_sub_ph(_mm512_castsi512_ph(q),
                                    _mm512_set1_ph((_Float16)(1024 + zero)));

    w = f.min ? _mm512_fmadd_ph(w, s->d, s->m) : _mm512_mul_ph(w, s->d);
    v = _mm512_mulhrs_epi16(_mm512_castph_si512(w), _mm512_set1_epi16(1 << 12));
    return _mm512_and_si512(v, _mm512_set1_epi16((short)0x8fff));
}

/* Among the stores, in the order of memory: compilers would put all before the first of them, which
 * memory serves slower. */
INLINE void fetch_line(const uint8_t *w)
{
    __asm__ volatile("prefetcht0 %0" : : "m"(w[WIDE_AHEAD]) : "memory");
}

/* s: of 16 columns each, for values 0-15 and 16-31. */
INLINE void widen_words(const form_t f, const uint8_t *w, const affine_t s[2][2], uint8_t *dst)
{
    UNROLL
    for (uint32_t i = 0; i < form_value_bytes(f) / 64; i++, w += 64) {
        const affine_t *here = s[i % 2];
        uint32_t        half = f.nibbles ? 0 : i / 8;
        uint8_t        *to = dst + i / 2 * 256 + i % 2 * 64;
        __m512i         v = _mm512_load_si512(w);

        fetch_line(w);
        _mm512_store_si512(to, widen_values(f, v, 0, &here[half]));
        _mm512_store_si512(to + 128, widen_values(f, v, 8, &here[half]));
        if (f.nibbles) {
            _mm512_store_si512(to + 1024, widen_values(f, v, 4, &here[1]));
            _mm512_store_si512(to + 1152, widen_values(f, v, 12, &here[1]));
        }
    }
}

/* A group with its scales, and with minima those. */
INLINE void widen_group(const form_t f, const uint8_t *w, uint8_t *dst)
{
    const uint8_t *scales = w + form_value_bytes(f);
    affine_t       s[2][2];

    for (uint32_t c = 0; c < 2; c++) {
        s[c][0].d = block_scales(scales + 32 * c);
        s[c][0].m = f.min ? block_scales(scales + 64 + 32 * c) : _mm512_setzero_ph();
        s[c][1] = s[c][0];
    }
    widen_words(f, w, s, dst);
    fetch_line(scales);
    if (f.min)
        fetch_line(scales + 64);
}

/* The same of a part. */
INLINE void widen_part(const form_t f, const uint8_t *w, const __m512 head[4], uint8_t *dst)
{
    const uint8_t *small = w + form_value_bytes(f);
    affine_t       s[2][2];

    for (uint32_t i = 0; i < 4; i++) {
        uint32_t       c = i / 2;
        affine_t      *to = &s[c][i % 2];
        const uint8_t *at = small + i % 2 * (form_sums(f) - 1) * 32 + 16 * c;

        to->d = small_scales(f, head[c], at);
        to->m = f.min ? small_scales(f, head[2 + c], at + 32 * f.n_small) : _mm512_setzero_ph();
    }
    widen_words(f, w, s, dst);
    if (f.n_small > 0)
        fetch_line(small);
    if (f.min && f.n_small == 2)
        fetch_line(small + 64);
}

INLINE size_t widen_blocks(const form_t f, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (; n > 0; n--, w += form_step_bytes(f), dst += GROUP_BYTES)
        widen_group(f, w, dst);
    return GROUP_BYTES;
}

INLINE size_t widen_k(const form_t f, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (; n > 0; n--) {
        __m512 head[4];

        load_head(f, w, head);
        w += form_head_bytes(f);
        for (uint32_t g = 0; g < form_parts(f); g++, w += form_part_bytes(f), dst += GROUP_BYTES)
            widen_part(f, w, head, dst);
    }
    return form_parts(f) * GROUP_BYTES;
}

/* Tiles take in a group when vectors have widened the next: its stores are done then. */
INLINE void multiply_blocks(const form_t f, const uint8_t *acts, const uint8_t *w, uint32_t n,
                            uint32_t mr, bool first, float *tile)
{
    __attribute__((aligned(64))) uint8_t wide[2][GROUP_BYTES];
    size_t a_bytes = 64 * (size_t)mr;
    bool   two = mr > TILE_ROWS;

    begin_sums(two, first, tile);
    widen_group(f, w, wide[0]);
    for (uint32_t i = 1; i < n; i++, acts += a_bytes) {
        w += form_step_bytes(f);
        widen_group(f, w, wide[i % 2]);
        add_group(two, acts, wide[(i - 1) % 2]);
    }
    add_group(two, acts, wide[(n - 1) % 2]);
    end_sums(two, tile);
}

INLINE void multiply_k(const form_t f, const uint8_t *acts, const uint8_t *w, uint32_t n,
                       uint32_t mr, bool first, float *tile)
{
    __attribute__((aligned(64))) uint8_t wide[2][GROUP_BYTES];
    size_t a_bytes = 64 * (size_t)mr;
    bool   two = mr > TILE_ROWS;

    begin_sums(two, first, tile);
    for (uint32_t i = 0; i < n; i++) {
        __m512 head[4];

        load_head(f, w, head);
        w += form_head_bytes(f);
        for (uint32_t g = 0; g < form_parts(f); g++, w += form_part_bytes(f)) {
            widen_part(f, w, head, wide[g % 2]);
            if (i + g == 0)
                continue;
            add_group(two, acts, wide[(g + 1) % 2]);
            acts += a_bytes;
        }
    }
    add_group(two, acts, wide[1]);
    end_sums(two, tile);
}

static void multiply_wide_128(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                              bool first, float *tile)
{
    multiply_groups(acts, w, 4 * n, mr, first, tile);
}

static void multiply_wide_256(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                              bool first, float *tile)
{
    multiply_groups(acts, w, 8 * n, mr, first, tile);
}

#define KERNELS(kind, widen, multiply, form)                                                      \
    static size_t widen_##kind(const uint8_t *w, uint32_t n, uint8_t *dst)                        \
    {                                                                                             \
        return widen(form, w, n, dst);                                                            \
    }                                                                                             \
    static void multiply_##kind(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,   \
                                bool first, float *tile)                                          \
    {                                                                                             \
        multiply(form, acts, w, n, mr, first, tile);                                              \
    }
#define BLOCKS(kind, form) KERNELS(kind, widen_blocks, multiply_blocks, form)
#define K_BLOCKS(kind, form) KERNELS(kind, widen_k, multiply_k, form)

BLOCKS(q4_0, FORM_Q4_0)
BLOCKS(q4_1, FORM_Q4_1)
BLOCKS(q5_0, FORM_Q5_0)
BLOCKS(q5_1, FORM_Q5_1)
BLOCKS(q8_0, FORM_Q8_0)
K_BLOCKS(q2_k, FORM_Q2_K)
K_BLOCKS(q3_k, FORM_Q3_K)
K_BLOCKS(q4_k, FORM_Q4_K)
K_BLOCKS(q5_k, FORM_Q5_K)
K_BLOCKS(q6_k, FORM_Q6_K)
K_BLOCKS(iq4_xs, FORM_IQ4_XS)
K_BLOCKS(int4_g128, FORM_INT4_G128)

/* ---- The table ------------------------------------------------------------------------------- */

static void use(lls_linear_isa_t *k, uint32_t kind, lls_widen_fn widen, lls_multiply_fn multiply,
                lls_multiply_fn multiply_wide)
{
    k->form[kind] = kind == LLS_W_BF16 ? LLS_FORM_TILE : LLS_FORM_TILEW;
    k->widen[kind] = widen;
    k->multiply[kind] = multiply;
    k->multiply_wide[kind] = multiply_wide;
}

void lls_linear_use_tiles(lls_linear_isa_t *k)
{
    k->begin_tiles = begin_tiles;
    k->end_tiles = end_tiles;
    k->max_rows[LLS_FORM_TILE] = MAX_ROWS;
    k->fill[LLS_FORM_TILE] = fill_pairs;
    use(k, LLS_W_BF16, widen_bf16, multiply_bf16, multiply_wide_2);
}

void lls_linear_use_wide_tiles(lls_linear_isa_t *k)
{
    k->widen_from = 2;
    k->max_rows[LLS_FORM_TILEW] = MAX_ROWS;
    k->fill[LLS_FORM_TILEW] = fill_wide;
    use(k, LLS_W_Q4_0, widen_q4_0, multiply_q4_0, multiply_groups);
    use(k, LLS_W_Q4_1, widen_q4_1, multiply_q4_1, multiply_groups);
    use(k, LLS_W_Q5_0, widen_q5_0, multiply_q5_0, multiply_groups);
    use(k, LLS_W_Q5_1, widen_q5_1, multiply_q5_1, multiply_groups);
    use(k, LLS_W_Q8_0, widen_q8_0, multiply_q8_0, multiply_groups);
    use(k, LLS_W_Q2_K, widen_q2_k, multiply_q2_k, multiply_wide_256);
    use(k, LLS_W_Q3_K, widen_q3_k, multiply_q3_k, multiply_wide_256);
    use(k, LLS_W_Q4_K, widen_q4_k, multiply_q4_k, multiply_wide_256);
    use(k, LLS_W_Q5_K, widen_q5_k, multiply_q5_k, multiply_wide_256);
    use(k, LLS_W_Q6_K, widen_q6_k, multiply_q6_k, multiply_wide_256);
    use(k, LLS_W_IQ4_XS, widen_iq4_xs, multiply_iq4_xs, multiply_wide_256);
    use(k, LLS_W_INT4_G128, widen_int4_g128, multiply_int4_g128, multiply_wide_128);
}

#endif
