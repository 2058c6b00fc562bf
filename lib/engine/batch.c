/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/batch.h"

#include <string.h>

#define NAP_US 100000               /* between two reports where nothing moves */

typedef struct run {                /* one llm_generate_batch() or llm_beam_search() */
    lls_engine_t      *e;
    struct llm_batch  *b;
    lls_batch_input_fn input;
    void              *input_user;
    lls_batch_input_t  next;        /* input number b->n_queued, if has_next */
    bool               has_next;
    const llm_beam_params_t *beam;  /* NULL = no search */
    size_t             window;      /* requests in the engine at a time */
    llm_progress_fn    progress;
    void              *progress_user;
    uint64_t           began_us;
} run_t;

/* ---- Outputs --------------------------------------------------------------------------------- */

static lls_batch_out_t *out_at(const lls_batch_item_t *item, size_t index)
{
    if (index >= item->n)
        return NULL;
    return index == 0 ? (lls_batch_out_t *)(uintptr_t)&item->first : &item->more[index - 1];
}

/* A record of its own for what never ran or could not be copied. */
static void set_plain(lls_batch_out_t *out, uint32_t index, void *user_data, int32_t finish,
                      const llm_error_t *why)
{
    out->record = (llm_output_t){ .struct_size = sizeof out->record, .index = index,
                                  .user_data = user_data, .finish_reason = finish, .last = 1,
                                  .text = "", .stop_token = -1 };
    if (finish != LLM_FINISH_ERROR)
        return;
    out->error = *why;
    out->record.error = &out->error;
}

typedef struct packer {             /* copies arrays into one block; with at NULL it only counts */
    char  *at;
    size_t used;
} packer_t;

static const void *pack(packer_t *p, const void *data, size_t bytes)
{
    void *to = p->at == NULL ? NULL : p->at + p->used;

    if (data == NULL)
        return NULL;
    p->used += lls_align_up(bytes, 16);
    return to == NULL ? data : memcpy(to, data, bytes);
}

static void pack_record(packer_t *p, llm_output_t *r, const llm_output_t *from)
{
    uint32_t n_stop = from->stop_string == NULL ? 0 : (uint32_t)strlen(from->stop_string) + 1;

    r->text = pack(p, from->text, from->text_len + 1);
    r->tokens = pack(p, from->tokens, from->n_tokens * sizeof *from->tokens);
    r->logprobs = pack(p, from->logprobs,
                       from->n_tokens * from->n_logprobs * sizeof *from->logprobs);
    r->prompt_logprobs = pack(p, from->prompt_logprobs, (size_t)from->prompt_tokens *
                              from->n_prompt_logprobs * sizeof *from->prompt_logprobs);
    r->prompt = pack(p, from->prompt, from->prompt_len + 1);
    r->prompt_ids = pack(p, from->prompt_ids, from->prompt_tokens * sizeof *from->prompt_ids);
    r->stop_string = pack(p, from->stop_string, n_stop);
}

static bool copy_record(lls_mem_t *mem, lls_batch_out_t *out, const llm_output_t *from)
{
    packer_t count = { 0 }, copy = { 0 };

    out->record = *from;
    pack_record(&count, &out->record, from);
    out->block = copy.at = lls_alloc(mem, count.used);
    if (out->block == NULL)
        return false;
    pack_record(&copy, &out->record, from);
    if (from->error != NULL) {
        out->error = *from->error;
        out->record.error = &out->error;
    }
    return true;
}

void lls_batch_take(struct lls_batch_item *item, lls_completion_t *c)
{
    lls_batch_out_t    *out = out_at(item, c->index);
    const llm_output_t *record = lls_completion_record(c);
    llm_error_t         why;

    item->batch->completion_tokens += c->n_tokens;
    item->batch->prompt_tokens += c->index == 0 ? c->req->n_prompt : 0;
    if (!copy_record(&item->batch->mem, out, record)) {
        lls_fail(&why, LLM_ERR_NO_MEMORY, "no memory to keep an output of %zu tokens", c->n_tokens);
        set_plain(out, c->index, c->req->user_data, LLM_FINISH_ERROR, &why);
        out->record.id = record->id;
    }
    if (!record->last)
        return;
    item->id = 0;
    item->batch->n_done++;
}

llm_status_t lls_batch_expect(struct lls_batch_item *item, uint32_t n, llm_error_t *err)
{
    if (n > 1 && item->more == NULL)
        item->more = lls_calloc(&item->batch->mem, n - 1, sizeof *item->more);
    if (n > 1 && item->more == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "outputs of %u completions", n);
    item->n = n;
    return LLM_OK;
}

/* ---- The queue is kept fed ------------------------------------------------------------------- */

static void refuse(run_t *r, lls_batch_item_t *item, int32_t finish, const llm_error_t *why)
{
    set_plain(&item->first, 0, r->next.request.user_data, finish, why);
    item->n = 1;
    r->b->n_queued++;
    r->b->n_done++;
    r->has_next = false;
}

static llm_status_t admit_next(run_t *r, lls_batch_item_t *item, llm_error_t *err)
{
    llm_sampling_params_t beams;
    llm_status_t          st;

    if (r->beam == NULL)
        return lls_engine_admit(r->e, &r->next.request,
                                r->next.has_sampling ? &r->next.sampling : NULL, NULL, item,
                                &item->id, err);
    st = lls_beam_check_request(&r->next.request, err);
    lls_beam_sampling(r->e, r->beam, &beams);
    return st == LLM_OK ? lls_engine_admit(r->e, &r->next.request, &beams, r->beam, item, &item->id,
                                           err)
                        : st;
}

/* False if the queue has no room for the next one now. */
static bool queue_next(run_t *r)
{
    struct llm_batch *b = r->b;
    lls_batch_item_t *item = &b->items[b->n_queued];
    llm_error_t       err;
    llm_status_t      st;

    if (!r->has_next)
        r->input(r->input_user, b->n_queued, &r->next);
    r->has_next = true;
    item->first.record.user_data = r->next.request.user_data;
    if (r->next.refused.status != LLM_OK) {
        refuse(r, item, LLM_FINISH_ERROR, &r->next.refused);
        return true;
    }
    if (atomic_load(&r->e->paused) == LLM_PAUSE_ABORT) {    /* as those that are queued already */
        refuse(r, item, LLM_FINISH_ABORT, NULL);
        return true;
    }
    st = admit_next(r, item, &err);
    if (st == LLM_ERR_BUSY && (atomic_load(&r->e->n_unfinished) > 0 || r->e->retired != NULL))
        return false;
    if (st != LLM_OK) {
        refuse(r, item, LLM_FINISH_ERROR, &err);
        return true;
    }
    b->n_queued++;
    r->has_next = false;
    return true;
}

static void feed(run_t *r)
{
    while (r->b->n_queued < r->b->n && r->b->n_queued - r->b->n_done < r->window)
        if (!queue_next(r))
            break;
}

/* ---- The run --------------------------------------------------------------------------------- */

static bool report(const run_t *r)
{
    llm_progress_t p = { .struct_size = sizeof p, .stage = LLM_STAGE_BATCH, .done = r->b->n_done,
                         .total = r->b->n, .elapsed_us = lls_engine_now(r->e) - r->began_us,
                         .prompt_tokens = r->b->prompt_tokens,
                         .completion_tokens = r->b->completion_tokens };

    for (const lls_request_t *q = r->e->alive; q != NULL; q = q->next)
        for (uint32_t i = 0; q->batch != NULL && i < q->n; i++)
            if (q->c[i].live) {
                p.completion_tokens += q->search == NULL ? q->c[i].n_tokens
                                                         : i == 0 ? lls_beam_n_tokens(q->search)
                                                                  : 0;
                p.prompt_tokens += i == 0 && q->c[i].first_token_us > 0 ? q->n_prompt : 0;
            }
    return r->progress == NULL || r->progress(r->progress_user, &p) == 0;
}

/* What runs is aborted, what was not queued never will be. */
static llm_status_t stop(run_t *r, llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    for (size_t i = 0; i < r->b->n_queued; i++)
        if (r->b->items[i].id != 0)
            lls_engine_abort(r->e, r->b->items[i].id);
    while (st == LLM_OK && r->b->n_done < r->b->n_queued)
        st = lls_engine_turn(r->e, err);
    return st != LLM_OK ? st : lls_fail(err, LLM_ERR_CANCELLED,
                                        "stopped by the progress callback: %zu of %zu requests "
                                        "were done", r->b->n_done, r->b->n);
}

static llm_status_t run(run_t *r, llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    while (st == LLM_OK) {
        feed(r);
        if (r->b->n_done == r->b->n)
            break;
        st = lls_engine_turn(r->e, err);
        if (st == LLM_OK && !report(r))
            return stop(r, err);
        if (st == LLM_OK && r->b->n_done < r->b->n_queued)
            lls_engine_sleep(r->e, NAP_US);
    }
    return st;
}

/* After a stop or a death the rest gets its outputs too. */
static void end_rest(run_t *r, llm_status_t st, const llm_error_t *why)
{
    int32_t finish = st == LLM_ERR_CANCELLED ? LLM_FINISH_ABORT : LLM_FINISH_ERROR;

    while (r->b->n_queued < r->b->n) {
        if (!r->has_next)
            r->input(r->input_user, r->b->n_queued, &r->next);
        refuse(r, &r->b->items[r->b->n_queued], finish, why);
    }
}

static llm_status_t new_batch(const lls_engine_t *e, size_t n, struct llm_batch **out,
                              llm_error_t *err)
{
    lls_mem_t         boot;
    struct llm_batch *b;

    lls_mem_init(&boot, &e->mem.hook);
    *out = b = lls_alloc_raw(&boot, sizeof *b);
    if (b == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "batch");
    memset(b, 0, sizeof *b);
    lls_mem_init(&b->mem, &e->mem.hook);
    b->items = lls_calloc(&b->mem, n, sizeof *b->items);
    if (b->items == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "batch of %zu requests", n);
    b->n = n;
    for (size_t i = 0; i < n; i++) {
        b->items[i].batch = b;
        b->items[i].n = 1;
        set_plain(&b->items[i].first, 0, NULL, LLM_FINISH_ABORT, NULL);
    }
    return LLM_OK;
}

static llm_status_t run_all(run_t *r, size_t n, lls_batch_result_t **batch, llm_error_t *err)
{
    lls_engine_t *e = r->e;
    llm_error_t   why = { 0 };
    llm_status_t  st = lls_engine_enter(e, err);

    *batch = NULL;
    if (st != LLM_OK)
        return st;
    r->began_us = lls_engine_now(e);
    if (atomic_load(&e->paused) != LLS_NOT_PAUSED) {
        lls_engine_leave(e);
        return lls_fail(err, LLM_ERR_STATE, "the engine is paused; resume it first");
    }
    st = new_batch(e, n, &r->b, &why);
    if (st == LLM_OK) {
        st = run(r, &why);
        end_rest(r, st, &why);
        *batch = r->b;
    } else {
        lls_batch_result_destroy(r->b);
    }
    lls_engine_leave(e);
    if (st != LLM_OK && err != NULL)
        *err = why;
    return st;
}

llm_status_t lls_engine_generate_batch(lls_engine_t *e, lls_batch_input_fn input, void *input_user,
                                       size_t n, llm_progress_fn progress, void *progress_user,
                                       lls_batch_result_t **batch, llm_error_t *err)
{
    run_t r = { .e = e, .input = input, .input_user = input_user, .progress = progress,
                .progress_user = progress_user, .window = 2 * (size_t)e->plan.max_num_seqs };

    return run_all(&r, n, batch, err);
}

/* As many searches at a time as have all their beams in one step. */
llm_status_t lls_engine_beam_search(lls_engine_t *e, lls_batch_input_fn input, void *input_user,
                                    size_t n, const llm_beam_params_t *params,
                                    llm_progress_fn progress, void *progress_user,
                                    lls_batch_result_t **batch, llm_error_t *err)
{
    run_t        r = { .e = e, .input = input, .input_user = input_user, .beam = params,
                       .progress = progress, .progress_user = progress_user };
    llm_status_t st = lls_beam_check(e, params, err);

    *batch = NULL;
    if (st != LLM_OK)
        return st;
    r.window = lls_max_u32(1, e->plan.max_num_seqs / params->beam_width);
    return run_all(&r, n, batch, err);
}

const llm_output_t *lls_batch_result_output(const lls_batch_result_t *b, size_t request,
                                            size_t index)
{
    const lls_batch_out_t *out = request < b->n ? out_at(&b->items[request], index) : NULL;

    return out == NULL ? NULL : &out->record;
}

void lls_batch_result_destroy(lls_batch_result_t *b)
{
    lls_mem_t last;

    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n; i++) {
        for (uint32_t k = 0; k < b->items[i].n; k++)
            lls_free(&b->mem, out_at(&b->items[i], k)->block);
        lls_free(&b->mem, b->items[i].more);
    }
    lls_free(&b->mem, b->items);
    lls_mem_init(&last, &b->mem.hook);
    lls_free_raw(&last, b, sizeof *b);
}
