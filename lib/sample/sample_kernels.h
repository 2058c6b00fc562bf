/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_kernels - the inner loops of the sampler over one row, for one instruction set.
 *
 * sample_kernels_body.h is the only source; it is compiled for each instruction set and gives the
 * same bits in all of them: elementwise arithmetic without contraction, maxima, and sums that are
 * exact or run in fixed lanes.  A row is cut into blocks of LLS_SAMPLE_BLOCK tokens, a block into
 * 16 groups by token mod 16; peaks[block * 16 + group] is the largest logit of a group (-inf where
 * it is empty), which later passes use to leave out blocks.  Who makes the logits may make the
 * peaks too, with INFINITY for a group that has a NaN.
 */
#ifndef LLS_SAMPLE_SAMPLE_KERNELS_H
#define LLS_SAMPLE_SAMPLE_KERNELS_H

#include "base/num.h"

#define LLS_SAMPLE_BLOCK 512u

/* noise is less than this: -log(-log(1 - 2^-32)) = 22.18 */
#define LLS_SAMPLE_NOISE_MAX 22.25f

static inline uint32_t lls_sample_n_blocks(uint32_t n) { return lls_ceil_div(n, LLS_SAMPLE_BLOCK); }
static inline uint32_t lls_sample_n_peaks(uint32_t n) { return lls_sample_n_blocks(n) * 16; }

/* A logit's distance from the likeliest is y = (x - max) * inv_t. */
typedef struct lls_sample_scale {
    float max, inv_t;
} lls_sample_scale_t;

typedef struct lls_sample_best {    /* the largest score, lower id on ties */
    float    score;
    float    x;                     /* its logit */
    uint32_t id;
} lls_sample_best_t;

/* mass_about() is between these parts of mass(), and mass_quick() where |max| * inv_t is at most
 * LLS_SAMPLE_QUICK_Y. */
#define LLS_SAMPLE_ABOUT_MIN 0.998
#define LLS_SAMPLE_ABOUT_MAX 1.002
#define LLS_SAMPLE_QUICK_MIN 0.999
#define LLS_SAMPLE_QUICK_MAX 1.063
#define LLS_SAMPLE_QUICK_Y   1000.0f

typedef struct lls_sample_kernels {
    /* Fills peaks and *max; false if some x is NaN or +inf. */
    bool     (*scan)(const float *x, uint32_t n, float *peaks, float *max);
    float    (*largest)(const float *peaks, uint32_t n);
    /* Sum of weights exp(y), as multiples of 2^-35: exact up to 2^18 of them.  w may be NULL. */
    double   (*weigh)(const float *x, uint32_t n, const lls_sample_scale_t *s, float *w);
    /* Sums of the same weights of x >= low and of x >= high, low <= high. */
    void     (*mass)(const float *x, uint32_t n, const lls_sample_scale_t *s, float low, float high,
                     double sums[2]);
    /* Near them, in a quarter and a tenth of the time; the same in each instruction set all the
     * same. */
    void     (*mass_about)(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                           float high, double sums[2]);
    void     (*mass_quick)(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                           float high, double sums[2]);
    /* Sum of w where x >= low, exact if that of all is. */
    double   (*sum_from)(const float *x, const float *w, uint32_t n, float low);
    /* Appends value and id of each finite x >= low; returns how many. */
    uint32_t (*gather)(const float *x, uint32_t n, const float *peaks, float low, float *out_x,
                       uint32_t *out_id);
    uint32_t (*count_from)(const float *x, uint32_t n, float low);      /* x >= low */
    /* Sum of exp(x - max) in 16 lanes, not rounded to multiples. */
    double   (*sum_exp)(const float *x, uint32_t n, float max);
    /* Scores y + noise of the tokens with finite x >= low against *best, which is some token's, so
     * that random words tell of most others that they lose.  next is a row that may be wanted soon,
     * or NULL. */
    void     (*race)(const float *x, uint32_t n, const float *peaks, float low,
                     const lls_sample_scale_t *s, uint64_t seed, uint32_t position,
                     const float *next, lls_sample_best_t *best);
    /* The same for a list of tokens; all x are finite. */
    void     (*race_list)(const float *x, const uint32_t *id, uint32_t n, float low,
                          const lls_sample_scale_t *s, uint64_t seed, uint32_t position,
                          lls_sample_best_t *best);
} lls_sample_kernels_t;

extern const lls_sample_kernels_t lls_sample_kernels_plain;
#if defined(__x86_64__)
extern const lls_sample_kernels_t lls_sample_kernels_avx2;      /* x86-64-v3 */
extern const lls_sample_kernels_t lls_sample_kernels_avx512;    /* x86-64-v4 */
#endif

/* ---- Scalar forms of the same arithmetic ----------------------------------------------------- */

/* log of a normal positive number, within 2 ulp. */
float lls_sample_log(float t);
/* -log(-log(1 - v)), v = (w / 2 + 1/2) 2^-31 from 32 random bits: fine steps where the largest of
 * many noises comes from. */
float lls_sample_noise_of(uint32_t w);

#endif
