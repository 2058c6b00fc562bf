/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/beam.h"

#include <string.h>

#include "base/hash.h"
#include "engine/prompt.h"

#define RESERVE_BYTES_A_TOKEN 6u    /* of text; English has 4 to 5 */
#define RESERVE_LOGPROBS      (1u << 16)    /* entries, at most, before the first doubling */
#define BUSY_RETRY_MS         100u
#define DETOK_TAIL            64u   /* tokens of the prompt that a first token may need */

/* A request on its way in: all that is not kept. */
typedef struct intake {
    lls_engine_t          *e;
    const llm_request_t   *in;
    lls_request_options_t  o;
    lls_sample_params_t    p;
    lls_request_t         *req;
    uint32_t              *slots;       /* [n], reserved */
    uint64_t               number;      /* of the request in this engine */
    int32_t               *bad_tokens;
    uint32_t              *bad_lens;
    size_t                 cap_bad_tokens, cap_bad_lens;
    uint32_t               n_bad, n_bad_tokens;
    struct lls_batch_item *batch;
    const llm_beam_params_t *beam;      /* NULL = no search */
    llm_error_t           *err;
} intake_t;

llm_request_id_t lls_engine_id(const lls_engine_t *e, uint32_t slot)
{
    return (uint64_t)e->slots[slot].gen << 32 | (slot + 1);
}

/* A search has two for every beam: those of a round come while those of the last are still here. */
static uint32_t n_slots(const intake_t *t)
{
    return t->beam != NULL ? 2 * t->beam->beam_width : t->p.n;
}

/* ---- Bad words ------------------------------------------------------------------------------- */

static llm_status_t push_bad(intake_t *t, const int32_t *ids, size_t n)
{
    lls_mem_t *mem = &t->e->mem;

    if (!lls_reserve(mem, (void **)&t->bad_tokens, &t->cap_bad_tokens, t->n_bad_tokens + n,
                     sizeof *t->bad_tokens) ||
        !lls_reserve(mem, (void **)&t->bad_lens, &t->cap_bad_lens, t->n_bad + 1,
                     sizeof *t->bad_lens))
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "bad words");
    memcpy(t->bad_tokens + t->n_bad_tokens, ids, n * sizeof *ids);
    t->n_bad_tokens += (uint32_t)n;
    t->bad_lens[t->n_bad++] = (uint32_t)n;
    return LLM_OK;
}

static bool is_repeated(const intake_t *t, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(t->p.bad_words[k], t->p.bad_words[i]) == 0)
            return true;
    return false;
}

/* A word counts as it is, and behind a space where that is one other token of its own (vLLM). */
static llm_status_t take_bad_word(intake_t *t, const char *word, bool spaced)
{
    lls_engine_t *e = t->e;
    size_t        n = 0, len = strlen(word), last;
    int32_t      *ids = NULL;
    char         *text = lls_alloc(&e->mem, len + 2);
    llm_status_t  st;

    if (text == NULL)
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "bad words");
    text[0] = ' ';
    memcpy(text + 1, word, len + 1);
    st = lls_tokenizer_encode(e->tokenizer, &e->mem, spaced ? text : text + 1,
                              spaced ? len + 1 : len, LLM_ENCODE_NO_SPECIAL, &ids, &n, t->err);
    if (st == LLM_OK && n == 0 && !spaced)
        st = lls_fail_param(t->err, LLM_ERR_INVALID, "bad_words",
                            "bad_words entries must tokenize to at least one token, \"%.60s\" "
                            "does not", word);
    for (size_t i = 0; i < n && st == LLM_OK; i++)
        if ((uint32_t)ids[i] >= e->plan.vocab_size)
            st = lls_fail_param(t->err, LLM_ERR_INVALID, "bad_words",
                                "bad_words has token id %d, which is out of the vocabulary of %u",
                                ids[i], e->plan.vocab_size);
    if (st == LLM_OK && n > 0) {
        last = t->n_bad > 0 ? t->n_bad_tokens - t->bad_lens[t->n_bad - 1] : 0;
        if (!spaced || (t->n_bad > 0 && n == t->bad_lens[t->n_bad - 1] &&
                        ids[0] != t->bad_tokens[last]))
            st = push_bad(t, ids, n);
    }
    lls_free(&e->mem, ids);
    lls_free(&e->mem, text);
    return st;
}

static llm_status_t take_bad_words(intake_t *t)
{
    llm_status_t st = LLM_OK;

    if (t->p.n_bad_words > 0 && t->e->tokenizer == NULL)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "bad_words",
                              "bad_words need a tokenizer, and skip-tokenizer-init is set");
    for (uint32_t i = 0; st == LLM_OK && i < t->p.n_bad_words; i++) {
        const char *word = t->p.bad_words[i] + strspn(t->p.bad_words[i], " \t\n\r\v\f");
        if (is_repeated(t, i))
            continue;
        st = take_bad_word(t, word, false);
        if (st == LLM_OK)
            st = take_bad_word(t, word, true);
    }
    return st;
}

/* ---- What the request keeps ------------------------------------------------------------------ */

/* Each id once, however long the list is. */
static bool take_stop_ids(intake_t *t)
{
    lls_request_t *req = t->req;
    uint8_t       *seen = lls_calloc(req->mem, t->e->plan.vocab_size / 8 + 1, 1);

    if (seen == NULL)
        return false;
    for (uint32_t i = 0; i < t->p.n_stop_token_ids; i++) {
        int32_t id = t->p.stop_token_ids[i];
        if ((seen[id / 8] >> id % 8 & 1) == 0)
            req->stop_ids[req->n_stop_ids++] = id;
        seen[id / 8] |= (uint8_t)(1 << id % 8);
    }
    t->p.stop_token_ids = req->stop_ids;
    t->p.n_stop_token_ids = req->n_stop_ids;
    lls_free(req->mem, seen);
    return true;
}

static llm_status_t take_stops(intake_t *t)
{
    lls_request_t *req = t->req;
    bool           no_text = (t->p.flags & LLM_SAMPLE_NO_TEXT) != 0;

    if (t->p.n_stop > 0 && !req->has_text)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "stop", no_text
                              ? "stop strings need text, and NO_TEXT (detokenize off) is set"
                              : "stop strings need a tokenizer, and skip-tokenizer-init is set");
    req->stop_ids = lls_calloc(req->mem, t->p.n_stop_token_ids + 1, sizeof *req->stop_ids);
    if (req->stop_ids == NULL || !take_stop_ids(t))
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "stop ids");
    return lls_stop_init(&req->stop, req->mem, t->p.stop, t->p.n_stop,
                         (t->p.flags & LLM_SAMPLE_KEEP_STOP) != 0, t->p.min_tokens, t->err);
}

static llm_status_t keep_extra_args(intake_t *t)
{
    if (t->o.extra_args == NULL)
        return LLM_OK;
    t->req->extra_args = lls_strdup(t->req->mem, t->o.extra_args);
    return t->req->extra_args != NULL ? LLM_OK
                                      : lls_fail(t->err, LLM_ERR_NO_MEMORY, "extra_args");
}

static llm_status_t make_prompt_logprobs(intake_t *t)
{
    lls_request_t *req = t->req;
    uint32_t       width = t->p.n_prompt_logprobs;

    req->n_prompt_logprobs = width;
    req->plps_done = width == 0;
    if (width == 0)
        return LLM_OK;
    req->prompt_logprobs = lls_calloc(req->mem, (size_t)req->n_prompt * width,
                                      sizeof *req->prompt_logprobs);
    if (req->prompt_logprobs == NULL)
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "log-probabilities of %u prompt tokens",
                        req->n_prompt);
    req->n_plps = 1 + lls_min_u32(t->p.prompt_logprob_start, req->n_prompt - 1);
    req->plps_done = req->n_plps == req->n_prompt;
    for (size_t i = 0; i < (size_t)req->n_plps * width; i++)
        req->prompt_logprobs[i].token = -1;
    return LLM_OK;
}

static llm_status_t reserve_output(intake_t *t, lls_completion_t *c)
{
    lls_request_t *req = t->req;
    uint32_t       most = t->e->plan.max_model_len;
    uint32_t       left = most - lls_min_u32(req->n_prompt, most);
    size_t         n = lls_min_u32(LLS_RESERVE_TOKENS, lls_min_u32(t->p.max_tokens, left) + 1);
    size_t         entries = lls_min_u64((uint64_t)n * req->n_logprobs, RESERVE_LOGPROBS);
    uint32_t       tail = lls_min_u32(req->n_prompt, DETOK_TAIL);
    llm_status_t   st = LLM_OK;

    if (!lls_reserve(req->mem, (void **)&c->tokens, &c->cap_tokens, n, sizeof *c->tokens) ||
        (entries > 0 && !lls_reserve(req->mem, (void **)&c->logprobs, &c->cap_logprobs, entries,
                                     sizeof *c->logprobs)))
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "output of %zu tokens", n);
    if (req->has_text)
        st = lls_detok_init(&c->detok, t->e->tokenizer, req->mem,
                            req->prompt_ids + req->n_prompt - tail,
                            tail, (t->p.flags & LLM_SAMPLE_KEEP_SPECIAL) == 0, t->err);
    if (st == LLM_OK && req->has_text)
        st = lls_detok_reserve(&c->detok, n * RESERVE_BYTES_A_TOKEN, t->err);
    return st == LLM_OK ? lls_repetition_init(&c->repetition, req->mem, &t->o.repetition,
                                              lls_min_u32(t->p.max_tokens, left), t->err)
                        : st;
}

static void take_fields(intake_t *t)
{
    lls_request_t *req = t->req;
    const llm_request_t *r = t->in;

    req->user_data = r->user_data;
    req->flags = r->flags;
    req->batch = t->batch;
    req->output_kind = t->batch != NULL ? LLM_OUTPUT_FINAL : t->o.output_kind;
    req->stream_interval = lls_max_u32(t->o.stream_interval, t->e->options.stream_interval);
    req->n_logprobs = t->p.n_logprobs;
    req->min_tokens = t->p.min_tokens;
    req->priority = t->e->options.by_priority ? t->o.priority : 0;
    req->has_text = t->e->tokenizer != NULL && (t->p.flags & LLM_SAMPLE_NO_TEXT) == 0;
    req->logits_fn = t->p.logits_fn;
    req->logits_user = t->p.logits_user;
    req->added_us = lls_engine_now(t->e);
    req->arrived_us = t->e->clock.wall_us(t->e->clock.user);
    if (r->queue_timeout_ms > 0)
        req->queue_deadline_us = req->added_us + r->queue_timeout_ms * 1000ull;
    if (r->timeout_ms > 0)
        req->deadline_us = req->added_us + r->timeout_ms * 1000ull;
}

/* ---- For the scheduler ----------------------------------------------------------------------- */

static uint32_t row_flags(const intake_t *t, uint32_t index, bool wants_history)
{
    uint32_t f = 0;

    if (wants_history || t->p.logits_fn != NULL)
        f |= LLS_ROW_HISTORY;
    if (t->p.logits_fn != NULL)
        f |= LLS_ROW_PROCESSOR;
    if (t->p.n_logprobs > 0)
        f |= LLS_ROW_LOGPROBS;
    if (t->p.n_prompt_logprobs > 0 && index == 0)
        f |= LLS_ROW_PROMPT_LOGPROBS;
    if (t->in->flags & LLM_REQUEST_PREFILL_ONLY)
        f |= LLS_ROW_POOL;
    return f;
}

static uint64_t salt_of(const intake_t *t)
{
    const char *salt = t->o.cache_salt;

    return salt == NULL ? 0 : lls_hash64(t->e->kv_config.key, salt, strlen(salt)) | 1;
}

static llm_status_t prepare(intake_t *t, lls_completion_t *c, const int32_t *stop_ids,
                            uint32_t n_stop, uint32_t *words)
{
    lls_engine_t      *e = t->e;
    lls_request_t     *req = t->req;
    lls_sample_extra_t extra = {
        .seed = lls_sample_seed(&t->p, e->options.seed, t->number, c->index),
        .callback = t->p.logits_fn != NULL ? 0 : LLS_NONE, .eos = e->eos_ids,
        .n_eos = e->n_eos_ids,      /* banned below min_tokens, even if they do not end it (vLLM) */
        .bad_tokens = t->bad_tokens, .bad_lens = t->bad_lens, .n_bad = t->n_bad,
        .think_start = e->reasoning.start, .n_think_start = e->reasoning.n_start,
        .think_end = e->reasoning.end, .n_think_end = e->reasoning.n_end };
    lls_sample_view_t  view;
    llm_status_t       st = lls_sample_extra_check(&t->p, &extra, t->err);
    uint32_t           n_words;

    if (st != LLM_OK)
        return st;
    n_words = lls_sample_pack_words(&t->p, &extra);
    lls_sample_pack(&t->p, &extra, words);
    if (!lls_sample_unpack(words, n_words, e->plan.vocab_size, &view))
        return lls_fail(t->err, LLM_ERR_INTERNAL, "parameters of the sampler are not sound");
    lls_req_desc_t d = {
        .id = lls_engine_id(e, c->slot), .tokens = req->prompt_ids,
        .n_tokens = req->n_prompt, .max_tokens = t->p.max_tokens, .min_tokens = t->p.min_tokens,
        .priority = req->priority,
        .row_flags = row_flags(t, c->index, lls_sample_wants_history(&view)),
        .salt = salt_of(t), .stop_ids = stop_ids, .n_stop_ids = n_stop, .params = words,
        .n_params = n_words, .positions = LLS_NONE, .embeds = LLS_NONE };
    if ((d.row_flags & LLS_ROW_PROMPT_LOGPROBS) || t->o.skip_reading_prefix_cache)
        d.options |= LLS_REQ_NO_CACHE_READ;
    st = lls_req_prepare(&e->mem, &e->sched_config, &e->kv_config, &d, &c->prepared, t->err);
    return st == LLM_OK && t->beam != NULL ? lls_beam_create(e, req, t->beam, &d, t->err) : st;
}

static llm_status_t prepare_all(intake_t *t)
{
    lls_engine_t  *e = t->e;
    lls_request_t *req = t->req;
    uint32_t       n_eos = t->p.flags & LLM_SAMPLE_IGNORE_EOS ? 0 : e->n_eos_ids;
    int32_t       *ids = lls_alloc(&e->mem, (req->n_stop_ids + n_eos + 1) * sizeof *ids);
    uint32_t      *words = lls_alloc(&e->mem, LLS_SAMPLE_MAX_WORDS * sizeof *words);
    llm_status_t   st = LLM_OK;

    if (ids == NULL || words == NULL) {
        st = lls_fail(t->err, LLM_ERR_NO_MEMORY, "request");
    } else {
        memcpy(ids, req->stop_ids, req->n_stop_ids * sizeof *ids);
        memcpy(ids + req->n_stop_ids, e->eos_ids, n_eos * sizeof *ids);
    }
    for (uint32_t i = 0; st == LLM_OK && i < req->n; i++) {
        st = reserve_output(t, &req->c[i]);
        if (st == LLM_OK && (i == 0 || t->beam == NULL))
            st = prepare(t, &req->c[i], ids, req->n_stop_ids + n_eos, words);
    }
    lls_free(&e->mem, ids);
    lls_free(&e->mem, words);
    return st;
}

/* ---- Slots, and the way in ------------------------------------------------------------------- */

static llm_status_t busy(intake_t *t, uint32_t n_free)
{
    llm_status_t st = lls_fail_param(t->err, LLM_ERR_BUSY, "max-num-queued-reqs",
                                     "the queue is full: %u of %u places are free, %u are wanted; "
                                     "try again later", n_free, t->e->options.max_num_queued_reqs,
                                     n_slots(t));

    if (t->err != NULL)
        t->err->retry_after_ms = BUSY_RETRY_MS;
    return st;
}

static llm_status_t reserve_slots(intake_t *t)
{
    lls_engine_t *e = t->e;
    uint32_t      n_free, n = n_slots(t);

    t->slots = lls_alloc(&e->mem, n * sizeof *t->slots);
    if (t->slots == NULL)
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "%u completions", t->p.n);
    pthread_mutex_lock(&e->lock);
    n_free = e->n_free_slots;
    for (uint32_t i = 0; n_free >= n && i < n; i++)
        t->slots[i] = e->free_slots[--e->n_free_slots];
    if (n_free >= n)                /* who is turned away and comes again keeps his seed */
        t->number = ++e->n_added;
    pthread_mutex_unlock(&e->lock);
    if (n_free >= n)
        return LLM_OK;
    lls_free(&e->mem, t->slots);
    t->slots = NULL;
    return busy(t, n_free);
}

static void give_slots_back(intake_t *t)
{
    pthread_mutex_lock(&t->e->lock);
    for (uint32_t i = n_slots(t); t->slots != NULL && i > 0; i--)
        t->e->free_slots[t->e->n_free_slots++] = t->slots[i - 1];
    pthread_mutex_unlock(&t->e->lock);
}

static llm_status_t make_request(intake_t *t)
{
    uint32_t n = n_slots(t);

    t->req = lls_zalloc(&t->e->mem, sizeof *t->req + n * sizeof *t->req->c);
    if (t->req == NULL)
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "request of %u completions", t->p.n);
    t->req->mem = &t->e->mem;
    t->req->n = t->p.n;
    t->req->n_slots = n;
    for (uint32_t i = 0; i < n; i++)
        t->req->c[i] = (lls_completion_t){ .req = t->req, .index = i, .slot = t->slots[i],
                                           .handle = LLS_NO_HANDLE, .stop_token = -1 };
    return LLM_OK;
}

static llm_status_t fill_request(intake_t *t)
{
    llm_status_t st = make_request(t);

    if (st != LLM_OK)
        return st;
    take_fields(t);
    if ((st = lls_prompt_take(t->e, t->in, &t->o, t->req, t->err)) != LLM_OK ||
        (st = take_bad_words(t)) != LLM_OK || (st = take_stops(t)) != LLM_OK ||
        (st = keep_extra_args(t)) != LLM_OK || (st = make_prompt_logprobs(t)) != LLM_OK)
        return st;
    return prepare_all(t);
}

static llm_status_t refuse_draining(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_STATE,
                    "the engine drains and takes no requests until llm_engine_resume()");
}

/* With the lock.  A batch is one piece of work, so none of this is asked of its requests. */
static llm_status_t check_door(const intake_t *t)
{
    const lls_engine_t *e = t->e;
    uint64_t            now = lls_engine_now(e);
    llm_status_t        st;

    if (atomic_load(&e->dead))      /* it died while the prompt was tokenised */
        return lls_engine_refuse_dead(e, t->err);
    if (t->batch != NULL)
        return LLM_OK;
    if (atomic_load(&e->paused) == LLM_PAUSE_DRAIN)
        return refuse_draining(t->err);
    st = lls_admission_check_room(&e->admission, t->req, e->options.max_num_queued_tokens, now,
                                  t->err);
    return st == LLM_OK && e->options.deadline_admission
               ? lls_admission_check_deadlines(&e->admission, t->req, now, t->err)
               : st;
}

/* With the lock.  From here on the request belongs to the stepping thread. */
static void let_in(intake_t *t, llm_request_id_t *id)
{
    lls_engine_t  *e = t->e;
    lls_request_t *req = t->req;

    for (uint32_t i = 0; i < req->n_slots; i++)
        e->slots[req->c[i].slot].c = &req->c[i];
    req->id = lls_engine_id(e, req->c[0].slot);
    if (id != NULL)
        *id = req->id;
    if (t->batch == NULL && atomic_load(&e->paused) != LLS_NOT_PAUSED) {
        req->pause = e->pause_number;
        atomic_fetch_add(&e->n_held, 1);
    }
    lls_admission_count(&e->admission, req);
    atomic_fetch_add(&e->n_unfinished, 1);
    *e->inbox_end = req;
    e->inbox_end = &req->next;
}

static llm_status_t hand_in(intake_t *t, llm_request_id_t *id)
{
    llm_status_t st;

    pthread_mutex_lock(&t->e->lock);
    st = check_door(t);
    if (st == LLM_OK)
        let_in(t, id);
    pthread_mutex_unlock(&t->e->lock);
    if (st == LLM_OK)
        lls_engine_notify(t->e);
    return st;
}

static llm_status_t take_in(intake_t *t)
{
    lls_engine_t     *e = t->e;
    lls_sample_limits_t lim = { e->plan.vocab_size, e->plan.max_model_len,
                                e->options.max_logprobs, e->reasoning.start != NULL };
    llm_status_t      st = lls_sample_params_check(&t->o.sampling, &lim, &t->p, t->err);

    if (st == LLM_OK)
        st = lls_sample_options_check(&t->o.more, &lim, &t->p, t->err);
    if (st == LLM_OK && t->p.temperature > t->o.sampling.temperature)
        lls_log(&e->log, LLM_LOG_WARN, "engine", "temperature %g is less than %g, raised to it",
                (double)t->o.sampling.temperature, (double)t->p.temperature);
    if (st == LLM_OK && t->beam != NULL)
        t->p.n = t->beam->beam_width;
    if (st == LLM_OK)
        st = reserve_slots(t);
    if (st == LLM_OK && t->batch != NULL)
        st = lls_batch_expect(t->batch, t->p.n, t->err);
    if (st == LLM_OK)
        st = fill_request(t);
    return st;
}

llm_status_t lls_engine_admit(lls_engine_t *e, const llm_request_t *request,
                              const llm_sampling_params_t *sampling,
                              const llm_beam_params_t *beam, struct lls_batch_item *batch,
                              llm_request_id_t *id, llm_error_t *err)
{
    intake_t     t = { .e = e, .in = request, .beam = beam, .err = err };
    llm_status_t st;

    if (id != NULL)
        *id = 0;
    if (atomic_load(&e->dead))
        return lls_engine_refuse_dead(e, err);
    if (batch == NULL && atomic_load(&e->paused) == LLM_PAUSE_DRAIN)
        return refuse_draining(err);
    st = lls_request_options_resolve(request, sampling != NULL ? sampling : &e->defaults, &e->mem,
                                     &t.o, err);
    if (st != LLM_OK)
        return st;
    t.batch = batch;
    st = take_in(&t);
    if (st == LLM_OK)
        st = hand_in(&t, id);
    if (st != LLM_OK) {
        lls_request_destroy(t.req);
        give_slots_back(&t);
    }
    lls_free(&e->mem, t.slots);
    lls_free(&e->mem, t.bad_tokens);
    lls_free(&e->mem, t.bad_lens);
    lls_request_options_deinit(&t.o);
    return st;
}

llm_status_t lls_engine_add(lls_engine_t *e, const llm_request_t *request,
                            const llm_sampling_params_t *sampling, llm_request_id_t *id,
                            llm_error_t *err)
{
    return lls_engine_admit(e, request, sampling, NULL, NULL, id, err);
}
