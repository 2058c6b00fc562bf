/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear kernel of bfloat16 weights for AMX: tiles multiply 16 rows of activations, rounded to
 * bfloat16, with 16 columns of weights, 32 values of k at a time, and add to float32.  Every number
 * of rows goes through the tiles, one row too, and a sum depends on its own row and column alone,
 * so results do not depend on the batch.  All other kinds are those of AVX-512.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512BF16__)

#include <immintrin.h>
#include <string.h>

#include "cpu/cpu_linear_kernels.h"

#define TILE_ROWS   16u
#define MAX_ROWS    32u             /* of a block: two tiles of rows share the loads of weights */
#define GROUP_BYTES 2048u           /* of 32 values of k in bfloat16: [16][32][2] */
#define AHEAD       1024u           /* bytes: one stream a thread reads fastest so */

/* The compilers' own forms do not say which memory they read. */
#define TILE_LOAD(t, p, stride)                                                                   \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(t, p, stride)                                                                  \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                          \
                     : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Palette 1: eight tiles of 16 rows of 64 bytes. */
static void begin_tiles(void)
{
    struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } c = {
        .palette = 1
    };

    for (uint32_t i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = TILE_ROWS;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(c));
}

static void end_tiles(void) { __asm__ volatile("tilerelease" : :); }

INLINE void load_sums(bool two, bool first, float *const c[2])
{
    if (first) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        return;
    }
    TILE_LOAD(0, c[0], 128);
    TILE_LOAD(1, c[0] + 16, 128);
    if (two) {
        TILE_LOAD(2, c[1], 128);
        TILE_LOAD(3, c[1] + 16, 128);
    }
}

INLINE void store_sums(bool two, float *const c[2])
{
    TILE_STORE(0, c[0], 128);
    TILE_STORE(1, c[0] + 16, 128);
    if (two) {
        TILE_STORE(2, c[1], 128);
        TILE_STORE(3, c[1] + 16, 128);
    }
}

/* Lines in the order of memory: a tile takes every other one, which memory serves slower. */
INLINE void read_ahead(const uint8_t *w)
{
    for (uint32_t i = 0; i < GROUP_BYTES; i += 64) {
        __m512i line = _mm512_loadu_si512(w + i);

        __asm__ volatile("" : : "v"(line));
        _mm_prefetch((const char *)w + AHEAD + i, _MM_HINT_T0);
    }
}

/* Adds n groups of k. */
INLINE void add_groups(bool two, const uint8_t *a, size_t a_bytes, const uint8_t *w, uint32_t n)
{
    for (; n > 0; n--, a += a_bytes, w += GROUP_BYTES) {
        read_ahead(w);
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
}

/* n groups and then, if there is one, `last`.  A tile of which not all rows are in the block
 * multiplies whatever lies there and drops it: its sums go through a tile of its own. */
INLINE void multiply_groups(const uint8_t *acts, const uint8_t *w, uint32_t n,
                            const uint8_t *last, uint32_t mr, bool first, float *tile)
{
    float    part[TILE_ROWS * LLS_PANEL];
    uint32_t whole = mr / TILE_ROWS * TILE_ROWS, rest = mr - whole;
    float   *c[2] = { mr < TILE_ROWS ? part : tile,
                      mr < MAX_ROWS ? part : tile + TILE_ROWS * LLS_PANEL };
    bool     two = mr > TILE_ROWS;
    size_t   a_bytes = 64 * (size_t)mr;

    if (!first)
        memcpy(part, tile + whole * LLS_PANEL, rest * LLS_PANEL * sizeof *part);
    load_sums(two, first, c);
    if (two)
        add_groups(true, acts, a_bytes, w, n);
    else
        add_groups(false, acts, a_bytes, w, n);
    if (last != NULL)
        add_groups(two, acts + n * a_bytes, a_bytes, last, 1);
    store_sums(two, c);
    memcpy(tile + whole * LLS_PANEL, part, rest * LLS_PANEL * sizeof *part);
}

/* ---- bfloat16 -------------------------------------------------------------------------------- */

static void fill_pairs(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    for (dst += 64 * (size_t)m; n > 0; x += 32, dst += 64 * (size_t)mr) {
        uint32_t  here = lls_min_u32(32, n), mask = here == 32 ? 0xffffffffu : (1u << here) - 1;
        __m512    a = _mm512_maskz_loadu_ps((__mmask16)mask, x);
        __m512    b = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 16);
        __m512bh  both = _mm512_cvtne2ps_pbh(b, a);

        memcpy(dst, &both, sizeof both);
        n -= here;
    }
}

/* n steps of 2 values; a group that they do not fill is filled with zeros. */
static void multiply_bf16(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                          bool first, float *tile)
{
    uint8_t  last[GROUP_BYTES];
    uint32_t whole = n / 16, rest = n % 16;

    if (rest > 0) {
        memset(last, 0, sizeof last);
        memcpy(last, w + (size_t)whole * GROUP_BYTES, rest * 128);
    }
    multiply_groups(acts, w, whole, rest > 0 ? last : NULL, mr, first, tile);
}

void lls_linear_use_tiles(lls_linear_isa_t *k)
{
    k->begin_tiles = begin_tiles;
    k->end_tiles = end_tiles;
    k->max_rows[LLS_FORM_TILE] = MAX_ROWS;
    k->fill[LLS_FORM_TILE] = fill_pairs;
    k->form[LLS_W_BF16] = LLS_FORM_TILE;
    k->multiply[LLS_W_BF16] = multiply_bf16;
}

#endif
