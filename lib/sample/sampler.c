/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/sampler.h"

#include <math.h>
#include <string.h>

#include "sample/sample_kernels.h"

/* ---- Scratch -------------------------------------------------------------------------------- */

/* Parts of scratch begin at cache lines. */
static size_t span(size_t n) { return lls_align_up(n * 4, 64); }

size_t lls_sample_scratch_bytes(uint32_t n_vocab)
{
    return span(lls_sample_n_peaks(n_vocab)) + 3 * span(n_vocab);
}

void lls_sample_scratch_init(lls_sample_scratch_t *s, void *mem, uint32_t n_vocab,
                             const lls_sample_kernels_t *k)
{
    uint8_t *at = mem;

    s->k = k != NULL ? k : &lls_sample_kernels_plain;
    s->n_vocab = n_vocab;
    s->next = NULL;
    s->peaks = (float *)at;
    at += span(lls_sample_n_peaks(n_vocab));
    s->x = (float *)at;
    at += span(n_vocab);
    s->w = (float *)at;
    at += span(n_vocab);
    s->id = (uint32_t *)at;
}

/* ---- Who needs what ------------------------------------------------------------------------- */

bool lls_sample_row_changes(const lls_sample_row_t *row)
{
    const lls_sample_view_t *p = &row->params;

    return p->n_allowed > 0 || p->n_bias > 0 ||
           (p->n_banned > 0 && row->n_tokens - row->n_prompt < p->min_tokens) ||
           lls_sample_wants_history(p);
}

bool lls_sample_needs_penalise(const lls_sample_rows_t *rows)
{
    for (uint32_t i = 0; i < rows->n_rows; i++)
        if (lls_sample_row_changes(&rows->row[i]))
            return true;
    return false;
}

/* ---- Constrain ------------------------------------------------------------------------------ */

static void keep_allowed(const lls_sample_view_t *p, float *x, lls_sample_scratch_t *s)
{
    for (uint32_t i = 0; i < p->n_allowed; i++)
        s->x[i] = x[p->allowed[i]];
    for (uint32_t i = 0; i < s->n_vocab; i++)
        x[i] = -INFINITY;
    for (uint32_t i = 0; i < p->n_allowed; i++)
        x[p->allowed[i]] = s->x[i];
}

void lls_sample_row_constrain(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;

    lls_assert(p->n_allowed <= s->n_vocab);
    if (p->n_allowed > 0)
        keep_allowed(p, x, s);
    for (uint32_t i = 0; i < p->n_bias; i++)
        x[p->bias[i].token] += p->bias[i].bias;
    if (row->n_tokens - row->n_prompt < p->min_tokens)
        for (uint32_t i = 0; i < p->n_banned; i++)
            x[p->banned[i]] = -INFINITY;
}

/* ---- Penalise ------------------------------------------------------------------------------- */

#define IN_HISTORY 0x80000000u      /* above the count in the output */

static void penalise_token(const lls_sample_view_t *p, float *x, uint32_t seen)
{
    uint32_t count = seen & ~IN_HISTORY;

    if (p->repetition != 1)
        *x = *x > 0 ? *x / p->repetition : *x * p->repetition;
    *x -= p->frequency * (float)count;
    *x -= p->presence * (float)(count > 0);
}

/* Counts live in scratch that holds anything: three walks over the history clear, count, apply. */
static void penalise_history(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;
    uint32_t                *seen = s->id;
    uint32_t                 first = p->repetition != 1 ? 0 : row->n_prompt;

    for (uint32_t i = first; i < row->n_tokens; i++)
        seen[row->tokens[i]] = 0;
    for (uint32_t i = first; i < row->n_tokens; i++)
        seen[row->tokens[i]] = (seen[row->tokens[i]] | IN_HISTORY) + (i >= row->n_prompt);
    for (uint32_t i = first; i < row->n_tokens; i++) {
        int32_t token = row->tokens[i];
        if (seen[token] != 0)
            penalise_token(p, &x[token], seen[token]);
        seen[token] = 0;
    }
}

/* The last token of a word is banned where the output ends with the tokens before it. */
static void ban_words(const lls_sample_row_t *row, float *x)
{
    const lls_sample_view_t *p = &row->params;
    const int32_t           *word = p->bad_tokens, *end = row->tokens + row->n_tokens;
    uint32_t                 n_out = row->n_tokens - row->n_prompt;

    for (uint32_t i = 0; i < p->n_bad; i++) {
        uint32_t before = p->bad_lens[i] - 1;
        if (before <= n_out && memcmp(end - before, word, before * sizeof *word) == 0)
            x[word[before]] = -INFINITY;
        word += before + 1;
    }
}

void lls_sample_row_penalise(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;

    if (!lls_sample_wants_history(p))
        return;
    lls_assert(row->tokens != NULL && row->n_prompt <= row->n_tokens);
    if (p->repetition != 1 || p->frequency != 0 || p->presence != 0)
        penalise_history(row, x, s);
    if (p->n_bad > 0)
        ban_words(row, x);
    if (row->forced > 0)
        x[row->forced - 1] = LLS_SAMPLE_FORCED;
}

/* ---- Rows that cannot be sampled from -------------------------------------------------------- */

bool lls_sample_row_is_usable(const float *x, uint32_t n)
{
    bool is_number = true, is_finite = false;

    for (uint32_t i = 0; i < n; i++) {
        is_number &= x[i] < INFINITY;       /* not NaN either */
        is_finite |= x[i] > -INFINITY;
    }
    return is_number && is_finite;
}
