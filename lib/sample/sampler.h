/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler - from a row of logits to a token: bans and biases, penalties, truncation, draw.
 *
 * Order (vLLM's runner V2): [mask of a guide] [raw logprobs are read here] constrain (allowed ids,
 * logit_bias, min_tokens), [logits callback], penalise (repetition, frequency, presence, bad
 * words, then the token that a budget of thoughts forces), truncate (temperature, min_p, top_k,
 * top_p), draw.
 *
 * A row's result depends on its logits, parameters, tokens and position only: never on other rows,
 * threads or instruction sets.  Sums whose order could matter are sums of integers held in doubles.
 * What is kept is exact and nothing is sorted; tokens that tie with the last one kept are kept.
 * The draw is Gumbel-max: argmax of (logit - max) / T + noise with noise = -log(-log u), u from
 * philox(key = seed, counter = (position, token / 4)); ties go to the lower id, and greedy rows
 * take the lowest id of the largest logit.
 *
 * A row with a NaN, +inf or nothing but -inf gets LLS_ROW_NAN and token 0; it disturbs no other.
 *
 * Who does what, for one step (the runner owns all memory here):
 *   1. fills lls_sample_row_t for each row that samples and points lls_sample_rows_t at them;
 *   2. copies the logits rows that want raw logprobs (lls_tmp): later steps change rows in place,
 *      and which token to report is known only after draw; then logprobs.h reads the copies.
 *      Prompt logprobs are of rows that nobody samples from, so these need no copy; nor do
 *      processed ones, which are read behind draw from rows that truncate left dense;
 *   3. runs op penalise with stages = LLS_SAMPLE_CONSTRAIN | LLS_SAMPLE_PENALISE; if some row has a
 *      callback: with CONSTRAIN, then the callbacks on its own thread, then with PENALISE;
 *   4. sets out[i].n_kept to LLS_NONE; runs op truncate if somebody reads processed rows
 *      (rows->dense), for draw truncates by itself what was not; then op draw; ids row i is the
 *      token of rows->row[i]; rows->out[i].status says whether it counts.
 *
 * Row functions here serve the CPU and are the reference of other backends.
 */
#ifndef LLS_SAMPLE_SAMPLER_H
#define LLS_SAMPLE_SAMPLER_H

#include "sample/params.h"
#include "step/step.h"

typedef struct lls_sample_row {
    lls_sample_view_t params;       /* unpacked; the words live as long as the step */
    const int32_t    *tokens;       /* [n_tokens]: prompt, then output; NULL if not wanted */
    uint32_t          n_prompt, n_tokens;   /* always set: min_tokens counts with them */
    uint32_t          position; /* of the token to be drawn = n_tokens (with drafts: + its index) */
    uint32_t          logit;        /* row of the logits tensor */
    uint32_t          forced;       /* lls_think_next(): 1 + the token that must come; 0 = none */
    float            *peaks;        /* of its logits (sample_kernels.h) before constrain and
                                       penalise; NULL = not known, or a callback saw the row */
} lls_sample_row_t;

/* The logit of a forced token (vLLM's): no other reaches it. */
#define LLS_SAMPLE_FORCED 1e9f

typedef struct lls_sample_out {
    uint32_t status;                /* LLS_ROW_OK or LLS_ROW_NAN; set by truncate and by draw */
    uint32_t n_kept;                /* tokens that truncate left; LLS_NONE = it did nothing */
} lls_sample_out_t;

enum { LLS_SAMPLE_CONSTRAIN = 1, LLS_SAMPLE_PENALISE = 2 };

/* What the ops penalise, truncate and draw of tensor/ops.h take. */
typedef struct lls_sample_rows {
    uint32_t                n_rows, n_vocab;
    uint32_t                stages; /* of penalise: LLS_SAMPLE_*; 0 = both */
    bool                    dense;  /* truncate has work: rows are read behind it */
    const lls_sample_row_t *row;    /* [n_rows]; distinct logits rows */
    lls_sample_out_t       *out;    /* [n_rows] */
} lls_sample_rows_t;

/* Whether constrain or penalise change the row. */
bool lls_sample_row_changes(const lls_sample_row_t *row);
/* True if some row has work for penalise, or for truncate: else the op may be left out. */
bool lls_sample_needs_penalise(const lls_sample_rows_t *rows);
bool lls_sample_needs_truncate(const lls_sample_rows_t *rows);

/* ---- Row functions -------------------------------------------------------------------------- */

struct lls_sample_kernels;          /* kernels.h: inner loops for one instruction set */

/* Memory of one thread: lls_sample_scratch_bytes() of it, 64-byte aligned, contents do not matter.
 */
typedef struct lls_sample_scratch {
    const struct lls_sample_kernels *k;
    uint32_t  n_vocab;
    float    *peaks;                /* [blocks * 16]: largest of each group of the row */
    float    *x, *w;                /* [n_vocab]: values and weights of the candidates */
    uint32_t *id;                   /* [n_vocab]: their tokens, ascending */
    const float *next;              /* a row that may be wanted next, for the caches; or NULL */
} lls_sample_scratch_t;

size_t lls_sample_scratch_bytes(uint32_t n_vocab);
/* k NULL = plain C. */
void   lls_sample_scratch_init(lls_sample_scratch_t *s, void *mem, uint32_t n_vocab,
                               const struct lls_sample_kernels *k);

/* x is the row's [n_vocab] logits, changed in place. */
void    lls_sample_row_constrain(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s);
void    lls_sample_row_penalise(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s);
/* Puts -inf in place of what is dropped. */
void    lls_sample_row_truncate(const lls_sample_row_t *row, float *x, lls_sample_out_t *out,
                                const lls_sample_scratch_t *s);
/* From what is kept of the row; all of a row where truncate did something. */
int32_t lls_sample_row_draw(const lls_sample_row_t *row, const float *x, lls_sample_out_t *out,
                            const lls_sample_scratch_t *s);

/* False for what gives LLS_ROW_NAN. */
bool  lls_sample_row_is_usable(const float *x, uint32_t n);
/* The noise of one token. */
float lls_sample_noise(uint64_t seed, uint32_t position, uint32_t token);

#endif
