/* SPDX-License-Identifier: Apache-2.0 */
#include "step/step.h"

#include <string.h>

#define ALIGN 16u

static const uint32_t plan_sizes[] = {
#define SIZE_OF(name, type) sizeof(type),
    LLS_PLAN_SECTIONS(SIZE_OF)
};
static const uint32_t result_sizes[] = { LLS_RESULT_SECTIONS(SIZE_OF) };
#undef SIZE_OF

/* ---- Layout --------------------------------------------------------------------------------- */

/* What running rows can need is in every cap; the rest is for one new row of any length. */
static void plan_caps(const lls_step_limits_t *l, uint64_t cap[LLS_PLAN_N_SECTIONS])
{
    uint64_t rows = l->max_rows, per_group = (uint64_t)l->max_seq_blocks + l->max_tokens + 2 * rows;

    cap[LLS_PLAN_freed]    = rows;
    cap[LLS_PLAN_enc_free] = 2ull * l->max_encs;
    cap[LLS_PLAN_copies]   = LLS_MAX_COPIES;
    cap[LLS_PLAN_loras]    = rows;
    cap[LLS_PLAN_xfers]    = (uint64_t)l->max_xfers * l->n_groups;
    cap[LLS_PLAN_added]    = rows;
    cap[LLS_PLAN_tables]   = rows * l->n_groups;
    cap[LLS_PLAN_encs]     = l->max_encs;
    cap[LLS_PLAN_splices]  = l->max_encs == 0 ? 0 : l->max_tokens;
    cap[LLS_PLAN_runs]     = rows;
    cap[LLS_PLAN_tokens]   = l->max_tokens;
    cap[LLS_PLAN_blocks]   = per_group * l->n_groups;
    cap[LLS_PLAN_words]    = rows * l->max_params + l->max_seq_tokens + 4 * per_group;
}

static void result_caps(const lls_step_limits_t *l, uint64_t cap[LLS_RESULT_N_SECTIONS])
{
    uint64_t out = (uint64_t)l->max_rows * (1 + l->max_drafts);

    cap[LLS_RESULT_rows]     = l->max_rows;
    cap[LLS_RESULT_done]     = (uint64_t)l->max_xfers * lls_max_u32(l->n_groups, 1);
    cap[LLS_RESULT_plps]     = l->max_plps;
    cap[LLS_RESULT_tokens]   = 2 * out;
    cap[LLS_RESULT_logprobs] = out * l->max_logprobs + (uint64_t)l->max_plps * l->max_plp_logprobs;
    cap[LLS_RESULT_floats]   = l->max_floats;
}

/* Lays n sections out after a header; returns the end, or 0 if it is beyond 32 bits. */
static uint32_t lay_out(lls_section_t *sec, const uint32_t *size, const uint64_t *cap, uint32_t n,
                        size_t header)
{
    uint64_t at = header, bytes;

    for (uint32_t i = 0; i < n; i++) {
        at = lls_align_up(at, ALIGN);
        sec[i] = (lls_section_t){ .off = (uint32_t)at, .cap = (uint32_t)cap[i], .size = size[i] };
        if (!lls_mul_u64(cap[i], size[i], &bytes) || !lls_add_u64(at, bytes, &at) ||
            at > UINT32_MAX - ALIGN)
            return 0;
    }
    return (uint32_t)lls_align_up(at, ALIGN);
}

size_t lls_plan_size(const lls_step_limits_t *lim)
{
    lls_section_t sec[LLS_PLAN_N_SECTIONS];
    uint64_t      cap[LLS_PLAN_N_SECTIONS];

    plan_caps(lim, cap);
    return lay_out(sec, plan_sizes, cap, LLS_PLAN_N_SECTIONS, sizeof(lls_step_plan_t));
}

lls_step_plan_t *lls_plan_init(void *buf, const lls_step_limits_t *lim)
{
    lls_step_plan_t *p = buf;
    uint64_t         cap[LLS_PLAN_N_SECTIONS];

    memset(p, 0, sizeof *p);
    plan_caps(lim, cap);
    p->bytes = lay_out(p->sec, plan_sizes, cap, LLS_PLAN_N_SECTIONS, sizeof *p);
    lls_assert(p->bytes != 0);
    return p;
}

size_t lls_result_size(const lls_step_limits_t *lim)
{
    lls_section_t sec[LLS_RESULT_N_SECTIONS];
    uint64_t      cap[LLS_RESULT_N_SECTIONS];

    result_caps(lim, cap);
    return lay_out(sec, result_sizes, cap, LLS_RESULT_N_SECTIONS, sizeof(lls_step_result_t));
}

lls_step_result_t *lls_result_init(void *buf, const lls_step_limits_t *lim)
{
    lls_step_result_t *p = buf;
    uint64_t           cap[LLS_RESULT_N_SECTIONS];

    memset(p, 0, sizeof *p);
    result_caps(lim, cap);
    p->bytes = lay_out(p->sec, result_sizes, cap, LLS_RESULT_N_SECTIONS, sizeof *p);
    lls_assert(p->bytes != 0);
    return p;
}

void lls_plan_reset(lls_step_plan_t *p, uint64_t step)
{
    for (uint32_t i = 0; i < LLS_PLAN_N_SECTIONS; i++)
        p->sec[i].n = 0;
    p->step = step;
    p->flags = p->n_tokens = p->n_logits = p->max_n = p->n_padded = p->seq_digest = 0;
    memset(p->common, 0, sizeof p->common);
}

void lls_result_reset(lls_step_result_t *p, uint64_t step)
{
    for (uint32_t i = 0; i < LLS_RESULT_N_SECTIONS; i++)
        p->sec[i].n = 0;
    p->step = step;
    p->status = LLM_OK;
    p->device_ns = 0;
}

/* ---- Pack ----------------------------------------------------------------------------------- */

/* Copies the used part of each section of src behind the header already in dst. */
static uint32_t pack_sections(const void *src, const lls_section_t *from, void *dst,
                              lls_section_t *to, uint32_t n, size_t at)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = (size_t)from[i].n * from[i].size, end = lls_align_up(at + bytes, ALIGN);

        to[i] = from[i];
        to[i].cap = from[i].n;
        to[i].off = (uint32_t)at;
        memcpy((char *)dst + at, (const char *)src + from[i].off, bytes);
        memset((char *)dst + at + bytes, 0, end - at - bytes);
        at = end;
    }
    return (uint32_t)at;
}

static size_t packed_size(const lls_section_t *sec, uint32_t n, size_t header)
{
    size_t bytes = lls_align_up(header, ALIGN);

    for (uint32_t i = 0; i < n; i++)
        bytes += lls_align_up((size_t)sec[i].n * sec[i].size, ALIGN);
    return bytes;
}

size_t lls_plan_pack(const lls_step_plan_t *plan, void *dst, size_t cap)
{
    lls_step_plan_t *out = dst;

    if (packed_size(plan->sec, LLS_PLAN_N_SECTIONS, sizeof *plan) > cap)
        return 0;
    memset(dst, 0, lls_align_up(sizeof *plan, ALIGN));
    *out = *plan;
    return out->bytes = pack_sections(plan, plan->sec, dst, out->sec, LLS_PLAN_N_SECTIONS,
                                      lls_align_up(sizeof *plan, ALIGN));
}

size_t lls_result_pack(const lls_step_result_t *result, void *dst, size_t cap)
{
    lls_step_result_t *out = dst;

    if (packed_size(result->sec, LLS_RESULT_N_SECTIONS, sizeof *result) > cap)
        return 0;
    memset(dst, 0, lls_align_up(sizeof *result, ALIGN));
    *out = *result;
    return out->bytes = pack_sections(result, result->sec, dst, out->sec, LLS_RESULT_N_SECTIONS,
                                      lls_align_up(sizeof *result, ALIGN));
}

/* ---- Bytes from outside ---------------------------------------------------------------------- */

static bool sections_are_sound(const lls_section_t *sec, const uint32_t *size, uint32_t n,
                               size_t header, size_t bytes)
{
    for (uint32_t i = 0; i < n; i++)
        if (sec[i].size != size[i] || sec[i].n > sec[i].cap || sec[i].off % ALIGN != 0 ||
            sec[i].off < header || sec[i].off > bytes ||
            (bytes - sec[i].off) / size[i] < sec[i].cap)
            return false;
    return true;
}

static bool fits(uint32_t off, uint32_t n, uint32_t len) { return off <= len && n <= len - off; }
static bool span_fits(lls_span_t span, uint32_t len) { return fits(span.off, span.n, len); }

static bool run_is_sound(const lls_step_plan_t *p, const lls_run_row_t *r)
{
    bool tree = (r->flags & LLS_RUN_TREE) != 0, sample = (r->flags & LLS_RUN_SAMPLE) != 0;

    return r->n > r->n_draft && r->n_draft <= LLS_MAX_DRAFTS && r->pos <= UINT32_MAX - r->n &&
           r->slack <= r->pos && fits(r->tok, r->n, lls_plan_n_tokens(p)) &&
           (!sample || fits(r->logit, 1u + r->n_draft, p->n_logits)) &&
           (!tree || fits(r->aux, r->n_draft, lls_plan_n_words(p)));
}

static bool runs_are_sound(const lls_step_plan_t *p)
{
    uint64_t n_tokens = 0, n_logits = 0;
    uint32_t max_n = 0;

    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const lls_run_row_t *r = &lls_plan_runs(p)[i];
        if (!run_is_sound(p, r))
            return false;
        n_tokens += r->n;
        n_logits += r->flags & LLS_RUN_SAMPLE ? 1u + r->n_draft : 0;
        max_n = lls_max_u32(max_n, r->n);
    }
    return n_tokens == p->n_tokens && n_logits == p->n_logits && max_n == p->max_n;
}

static bool rows_are_sound(const lls_step_plan_t *p)
{
    bool ok = true;

    for (uint32_t i = 0; i < lls_plan_n_added(p); i++) {
        const lls_new_row_t *a = &lls_plan_added(p)[i];
        ok &= span_fits(a->history, lls_plan_n_words(p)) &&
              span_fits(a->params, lls_plan_n_words(p)) && a->n_computed <= a->n_known &&
              (a->history.n == 0 || a->history.n == a->n_known);
    }
    for (uint32_t i = 0; i < lls_plan_n_tables(p); i++) {
        const lls_table_add_t *t = &lls_plan_tables(p)[i];
        ok &= span_fits(t->ids, lls_plan_n_blocks(p)) && t->group < LLS_MAX_GROUPS &&
              t->first <= UINT32_MAX - t->ids.n;
    }
    for (uint32_t i = 0; i < lls_plan_n_splices(p); i++) {
        const lls_splice_t *s = &lls_plan_splices(p)[i];
        ok &= fits(s->tok, s->n, lls_plan_n_tokens(p)) && s->off <= UINT32_MAX - s->n;
    }
    return ok;
}

static bool transfers_are_sound(const lls_step_plan_t *p)
{
    bool ok = true;

    for (uint32_t i = 0; i < lls_plan_n_copies(p); i++)
        ok &= lls_plan_copies(p)[i].group < LLS_MAX_GROUPS;
    for (uint32_t i = 0; i < lls_plan_n_xfers(p); i++) {
        const lls_xfer_t *x = &lls_plan_xfers(p)[i];
        ok &= span_fits(x->ids, lls_plan_n_blocks(p)) && span_fits(x->keys, lls_plan_n_words(p)) &&
              x->group < LLS_MAX_GROUPS && (x->op == LLS_XFER_LOAD || x->op == LLS_XFER_SAVE) &&
              x->first <= UINT32_MAX - x->n_tokens;
    }
    return ok;
}

bool lls_plan_is_sound(const lls_step_plan_t *p, size_t bytes)
{
    return bytes >= sizeof *p && p->bytes >= sizeof *p && p->bytes <= bytes &&
           sections_are_sound(p->sec, plan_sizes, LLS_PLAN_N_SECTIONS, sizeof *p, p->bytes) &&
           runs_are_sound(p) && rows_are_sound(p) && transfers_are_sound(p);
}

static bool answers_are_sound(const lls_step_result_t *p)
{
    uint32_t n_tokens = lls_result_n_tokens(p), n_logprobs = lls_result_n_logprobs(p);
    bool     ok = true;

    for (uint32_t i = 0; i < lls_result_n_rows(p); i++) {
        const lls_row_result_t *r = &lls_result_rows(p)[i];
        ok &= span_fits(r->tokens, n_tokens) && span_fits(r->drafts, n_tokens) &&
              span_fits(r->logprobs, n_logprobs) &&
              span_fits(r->pooled, lls_result_n_floats(p)) &&
              (r->tokens.n == 0 ? r->logprobs.n == 0 : r->logprobs.n % r->tokens.n == 0);
    }
    for (uint32_t i = 0; i < lls_result_n_plps(p); i++) {
        const lls_prompt_logprob_t *l = &lls_result_plps(p)[i];
        ok &= l->run < lls_result_n_rows(p) && span_fits(l->logprobs, n_logprobs);
    }
    return ok;
}

bool lls_result_is_sound(const lls_step_result_t *p, size_t bytes)
{
    return bytes >= sizeof *p && p->bytes >= sizeof *p && p->bytes <= bytes &&
           sections_are_sound(p->sec, result_sizes, LLS_RESULT_N_SECTIONS, sizeof *p, p->bytes) &&
           answers_are_sound(p);
}
