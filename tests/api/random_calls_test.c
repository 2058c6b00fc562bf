/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random calls of every function of llm.h in random order: on a few small engines that come and go,
 * with good and spoilt arguments, allocations that fail, callbacks that call back, and destroy in
 * the middle of it all.
 *
 * What must hold after each: a spoilt argument is refused with one line, a good one is taken or the
 * engine says why not; every request that was taken has exactly one last record and no completion
 * has news after its end; what was lent stays as it was until it may change; stats agree; an idle
 * engine holds what it held when new, and a destroyed one nothing.
 *
 * usage: random_calls_test [CALLS [SEED]]
 *   Every choice of call number i is drawn from (SEED, i); the clock has a say in deadlines of 1 ms
 *   alone.
 */
#include "api/random_world.h"

#include <stdio.h>

world_t *now_in;

void random_check_error(const llm_error_t *err, llm_status_t st)
{
    if (st >= 0 || st < LLM_ERR_CLOSED || st == LLM_ERR_INTERNAL || st == LLM_ERR_DEVICE)
        fail_msg("seed %lu, call %lu, %s: %d: %s", (unsigned long)now_in->seed,
                 (unsigned long)now_in->call, now_in->what, st, err->message);
    CHECK(err->status == st);
    CHECK(memchr(err->message, '\0', sizeof err->message) != NULL && err->message[0] != '\0');
    CHECK(memchr(err->param, '\0', sizeof err->param) != NULL);
    CHECK(strchr(err->message, '\n') == NULL);
}

/* The n-th of the coming allocations fails, now and then. */
static void maybe_starve(world_t *w, slot_t *s)
{
    if (s->e != NULL && one_in(&w->d, 25)) {
        s->mem.n_calls = 0;
        s->mem.fail_at = 1 + roll(&w->d, 20);
    }
}

/* True if an allocation has failed since. */
static bool feed(world_t *w, slot_t *s)
{
    bool failed = s->mem.fail_at != 0 && s->mem.n_calls >= s->mem.fail_at;

    s->mem.fail_at = 0;
    w->n_failed += failed;
    return failed;
}

/* ---- Records --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return h;
}

/* Reads all that a record points to. */
static uint64_t sum_of(const llm_output_t *o)
{
    uint64_t h = mix(1469598103934665603u, o, sizeof *o);

    h = mix(h, o->text, o->text_len + 1);
    if (o->n_tokens > 0)
        h = mix(h, o->tokens, o->n_tokens * sizeof *o->tokens);
    if (o->logprobs != NULL)
        h = mix(h, o->logprobs, o->n_tokens * o->n_logprobs * sizeof *o->logprobs);
    if (o->prompt_logprobs != NULL)
        h = mix(h, o->prompt_logprobs,
                (size_t)o->prompt_tokens * o->n_prompt_logprobs * sizeof *o->prompt_logprobs);
    if (o->prompt_ids != NULL)
        h = mix(h, o->prompt_ids, o->prompt_tokens * sizeof *o->prompt_ids);
    if (o->prompt != NULL)
        h = mix(h, o->prompt, o->prompt_len);
    if (o->stop_string != NULL)
        h = mix(h, o->stop_string, strlen(o->stop_string));
    return o->error != NULL ? mix(h, o->error, sizeof *o->error) : h;
}

static void check_record(const llm_output_t *o)
{
    CHECK(o->struct_size == sizeof *o && o->reserved0 == 0);
    CHECK(o->finish_reason >= LLM_FINISH_NONE && o->finish_reason <= LLM_FINISH_DEADLINE);
    CHECK((o->error != NULL) == (o->finish_reason == LLM_FINISH_ERROR));
    CHECK(o->text != NULL && o->text[o->text_len] == '\0');
    CHECK(o->last <= 1 && (o->n_tokens == 0 || o->tokens != NULL));
    CHECK(o->n_tokens <= o->completion_tokens && o->cached_tokens <= o->prompt_tokens);
    for (size_t i = 0; i < o->n_tokens; i++)
        CHECK(o->tokens[i] >= 0 && o->tokens[i] < VOCAB);
    for (size_t i = 0; o->logprobs != NULL && i < o->n_tokens * o->n_logprobs; i++)
        CHECK(o->logprobs[i].token >= -1 && o->logprobs[i].rank >= 0);
    if (o->error != NULL)
        random_check_error(o->error, o->error->status);
}

static void take_record(world_t *w, slot_t *s, const llm_output_t *o)
{
    uintptr_t number = (uintptr_t)o->user_data;
    asked_t  *a;

    check_record(o);
    CHECK(number >= 1 && number <= s->n_asked);
    a = &s->asked[number - 1];
    CHECK(a->id == o->id && !a->last);
    CHECK(o->index < a->n && (a->ended >> o->index & 1) == 0);
    if (o->finish_reason != LLM_FINISH_NONE)
        a->ended |= 1ull << o->index;
    a->last = o->last;
    CHECK(o->last == (a->ended == (1ull << a->n) - 1));
    s->n_alive -= o->last;
    w->n_records++;
    w->n_tokens += o->n_tokens;
    if (s->n_lent < N_LENT)
        s->lent[s->n_lent++] = (lent_t){ o, sum_of(o) };
}

/* Before a call after which records are no longer lent. */
static void give_back_lent(slot_t *s)
{
    for (uint32_t i = 0; i < s->n_lent; i++)
        CHECK(sum_of(s->lent[i].o) == s->lent[i].sum);
    s->n_lent = 0;
}

static void drain(world_t *w, slot_t *s, uint32_t most)
{
    const llm_output_t *o;

    for (uint32_t i = 0; i < most && (o = llm_engine_next_output(s->e)) != NULL; i++)
        take_record(w, s, o);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

/* Calls that are allowed beside a step, and that step itself, which is not. */
static void call_back(world_t *w, slot_t *s)
{
    llm_stats_t stats = LLM_INIT(llm_stats_t);
    asked_t    *a = s->n_asked == 0 ? NULL : &s->asked[roll(&w->d, s->n_asked)];
    llm_error_t err = { 0 };
    size_t      n;

    switch (roll(&w->d, 8)) {
    case 0:
        if (a != NULL && llm_engine_abort(s->e, a->id) == LLM_OK) {
            CHECK(!a->last && !a->aborted);
            a->aborted = true;
        }
        break;
    case 1: CHECK(llm_engine_stats(s->e, &stats) == LLM_OK); break;
    case 2: llm_engine_notify(s->e); break;
    case 3: CHECK(llm_engine_step(s->e, &err) == LLM_ERR_STATE); break;
    case 4: CHECK(llm_engine_next_output(s->e) == NULL); break;
    case 5: CHECK(llm_engine_reset_prefix_cache(s->e) == LLM_ERR_STATE); break;
    case 6: CHECK(llm_engine_metrics(s->e, NULL, 0, &n) == LLM_OK); break;
    default: llm_engine_unfinished(s->e); break;
    }
}

static int32_t hook(void *user, llm_logits_t *row)
{
    world_t *w = now_in;

    CHECK(row->n_vocab == VOCAB && row->n_tokens >= row->n_prompt && row->n_prompt > 0);
    switch (roll(&w->d, 20)) {
    case 0: return 1;
    case 1: row->logits[roll(&w->d, VOCAB)] = random_float(&w->d); break;
    case 2: row->logits[row->tokens[row->n_tokens - 1]] = 50; break;
    case 3: case 4: call_back(w, user); break;
    default: break;
    }
    return 0;
}

static int32_t progress(void *user, const llm_progress_t *p)
{
    world_t *w = now_in;

    CHECK(p->struct_size == sizeof *p && p->done <= p->total);
    if (user != NULL && one_in(&w->d, 4))
        call_back(w, user);
    return user != NULL && one_in(&w->d, 40);
}

/* ---- Engines come and go --------------------------------------------------------------------- */

static void create(world_t *w, slot_t *s)
{
    static const char *const models[] = { "llama", "qwen3", "opt" };
    llm_allocator_t          hook_up = test_allocator(&s->mem);
    llm_engine_config_t      c = LLM_INIT(llm_engine_config_t);
    llm_option_t             options[8];
    llm_error_t              err = { 0 };
    char                     path[256], blocks[16];
    dice_t                  *d = &w->d;

    s->with_text = !one_in(d, 3);
    snprintf(path, sizeof path, "%s/golden/%s", TEST_DIR, models[s->with_text ? 0 : roll(d, 3)]);
    snprintf(blocks, sizeof blocks, "%u", 9 + roll(d, 12));
    options[c.n_options++] = s->with_text
                                 ? (llm_option_t){ "tokenizer", TEST_DIR "/engine/letters" }
                                 : (llm_option_t){ "skip-tokenizer-init", "true" };
    options[c.n_options++] = (llm_option_t){ "block-size", "8" };
    options[c.n_options++] = (llm_option_t){ "num-gpu-blocks-override", blocks };
    options[c.n_options++] = (llm_option_t){ "scheduling-policy",
                                             one_in(d, 2) ? "priority" : "fcfs" };
    options[c.n_options++] = (llm_option_t){ "enable-prefix-caching",
                                             one_in(d, 3) ? "false" : "true" };
    c.model = path;
    c.dtype = "float32";
    c.device = "cpu";
    c.n_threads = 1;
    c.max_model_len = DRAFT_LEN;
    c.max_num_seqs = 1 + roll(d, 8);
    c.max_num_batched_tokens = 64;
    c.max_num_queued_reqs = 6 + roll(d, 20);     /* a search of width 3 takes 6 */
    c.options = options;
    c.allocator = &hook_up;
    CHECK(llm_engine_create(&c, &s->e, &err) == LLM_OK);
    s->asked = calloc(A_SEED, sizeof *s->asked);
    s->idle_bytes = s->mem.live_bytes;
    w->n_created++;
}

static void end_batch(batch_t *b)
{
    llm_batch_destroy(b->b);
    if (b->s != NULL)
        b->s->n_batches--;
    *b = (batch_t){ 0 };
}

static void end_batches(world_t *w, const slot_t *s)
{
    for (int i = 0; i < N_BATCHES; i++)
        if (w->batches[i].s == s)
            end_batch(&w->batches[i]);
}

/* All that was taken comes to its end. */
static void run_dry(world_t *w, slot_t *s)
{
    llm_error_t err = { 0 };

    CHECK(llm_engine_resume(s->e, &err) == LLM_OK);
    s->paused = s->draining = false;
    give_back_lent(s);
    for (uint32_t i = 0; llm_engine_unfinished(s->e) > 0; i++) {
        CHECK(i < 20000);
        CHECK(llm_engine_step(s->e, &err) == LLM_OK);
        drain(w, s, UINT32_MAX);
        s->n_lent = 0;
    }
    drain(w, s, UINT32_MAX);
    CHECK(s->n_alive == 0);
    for (uint32_t i = 0; i < s->n_asked; i++)
        CHECK(s->asked[i].last);
    give_back_lent(s);
    CHECK(llm_engine_step(s->e, &err) == LLM_OK);       /* gives lent records back */
}

static void destroy(world_t *w, slot_t *s)
{
    give_back_lent(s);
    if (one_in(&w->d, 2)) {
        end_batches(w, s);
        run_dry(w, s);
        CHECK(s->mem.live_bytes == s->idle_bytes);
    } else {
        CHECK(llm_engine_step(s->e, NULL) == LLM_OK);
        drain(w, s, roll(&w->d, 9));
    }
    give_back_lent(s);
    llm_engine_destroy(s->e);
    end_batches(w, s);              /* batches may outlive it */
    CHECK(s->mem.live_bytes == 0 && s->mem.live_blocks == 0);
    free(s->asked);
    memset(s, 0, sizeof *s);
}

static void come_or_go(world_t *w)
{
    slot_t *s = any_slot(w);

    if (s->e == NULL)
        create(w, s);
    else if (one_in(&w->d, 40))
        destroy(w, s);
}

static void refuse_config(world_t *w)
{
    static const llm_option_t bad[] = {
        { "max-num-seqs", "0" }, { "nonsense", "1" }, { "temperature", "1" }, { "block-size", "x" },
        { NULL, NULL }, { "tensor-parallel-size", "2" }, { "max-model-len", "-1" },
    };
    static const llm_allocator_t no_hook = { NULL, NULL };
    llm_engine_config_t          c = LLM_INIT(llm_engine_config_t);
    llm_plan_t                   plan = LLM_INIT(llm_plan_t);
    llm_engine_t                *e = (llm_engine_t *)&c;
    llm_error_t                  err = { 0 };
    llm_status_t                 st;

    c.model = TEST_DIR "/golden/llama";
    switch (roll(&w->d, 7)) {
    case 0:
        c.struct_size = (const uint32_t[]){ 0, 3, sizeof c - 1, 65537, UINT32_MAX }[roll(&w->d, 5)];
        break;
    case 1: c.model = one_in(&w->d, 2) ? NULL : "/nowhere"; break;
    case 2: c.options = &bad[roll(&w->d, 7)]; c.n_options = 1; break;
    case 3: c.n_options = SIZE_MAX; break;
    case 4: c.gpu_memory_utilization = -1; break;
    case 5: c.allocator = &no_hook; break;
    default: c.device = "abacus"; break;
    }
    st = one_in(&w->d, 2) ? llm_plan(&c, &plan, &err) : llm_engine_create(&c, &e, &err);
    CHECK(st != LLM_OK);
    random_check_error(&err, st);
    CHECK(e == NULL || e == (llm_engine_t *)&c);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static llm_error_t no_error(void) { return (llm_error_t){ .status = LLM_OK }; }

/* What may come of a draft. */
static void check_answer(world_t *w, const slot_t *s, const draft_t *q, llm_status_t st,
                         const llm_error_t *err, bool starved)
{
    if (st == LLM_OK) {
        if (q->spoilt != NULL)
            fail_msg("seed %lu, call %lu: taken in spite of %s", (unsigned long)w->seed,
                     (unsigned long)w->call, q->spoilt);
        return;
    }
    random_check_error(err, st);
    w->n_refused++;
    w->n_busy += st == LLM_ERR_BUSY;
    if (q->spoilt != NULL || (starved && st == LLM_ERR_NO_MEMORY) ||
        (st == LLM_ERR_STATE && s->draining) || st == LLM_ERR_BUSY)
        return;
    fail_msg("seed %lu, call %lu: a good request is refused: %s", (unsigned long)w->seed,
             (unsigned long)w->call, err->message);
}

static draft_t *draft(world_t *w, slot_t *s)
{
    return draft_new(&w->d, VOCAB, s->with_text, one_in(&w->d, 4), hook, s);
}

static void add(world_t *w)
{
    slot_t          *s = any_slot(w);
    llm_request_id_t id = 77;
    llm_error_t      err = no_error();
    asked_t         *a;
    draft_t         *q;
    llm_status_t     st;

    if (s->e == NULL)
        return;
    q = draft(w, s);
    q->r.user_data = (void *)(uintptr_t)(s->n_asked + 1);
    maybe_starve(w, s);
    st = llm_engine_add_request(s->e, &q->r, &id, &err);
    check_answer(w, s, q, st, &err, feed(w, s));
    CHECK((st == LLM_OK) == (id != 0));
    if (st == LLM_OK) {
        for (uint32_t i = s->n_asked; i > 0 && i + 40 > s->n_asked; i--)
            CHECK(s->asked[i - 1].id != id);
        a = &s->asked[s->n_asked++];
        *a = (asked_t){ .id = id, .n = q->r.sampling == NULL || q->s.n == 0 ? 1 : q->s.n };
        s->n_alive++;
        w->n_added++;
    }
    free(q);
}

static void step(world_t *w)
{
    slot_t     *s = any_slot(w);
    llm_error_t err = no_error();

    give_back_lent(s);
    if (s->e == NULL) {
        CHECK(llm_engine_step(NULL, &err) == LLM_ERR_INVALID);
        return;
    }
    maybe_starve(w, s);
    if (llm_engine_step(s->e, &err) != LLM_OK)
        fail_msg("seed %lu, call %lu: step: %s", (unsigned long)w->seed, (unsigned long)w->call,
                 err.message);
    feed(w, s);
    CHECK(llm_engine_unfinished(s->e) <= s->n_alive);
    if (s->n_alive == 0 && s->n_batches == 0 && one_in(&w->d, 4)) {
        CHECK(llm_engine_step(s->e, NULL) == LLM_OK);
        CHECK(s->mem.live_bytes == s->idle_bytes);
    }
}

static void next_output(world_t *w)
{
    slot_t *s = any_slot(w);

    if (s->e == NULL)
        CHECK(llm_engine_next_output(NULL) == NULL);
    else
        drain(w, s, one_in(&w->d, 3) ? UINT32_MAX : 1 + roll(&w->d, 3));
    if (s->e != NULL && llm_engine_unfinished(s->e) == 0 && one_in(&w->d, 2)) {
        drain(w, s, UINT32_MAX);
        CHECK(s->n_alive == 0);
    }
}

static void abort_one(world_t *w)
{
    slot_t          *s = any_slot(w);
    uint32_t         recent = s->n_asked < 30 ? s->n_asked : 30;
    asked_t         *a = recent == 0 ? NULL : &s->asked[s->n_asked - 1 - roll(&w->d, recent)];
    llm_request_id_t wild = (uint64_t)roll(&w->d, 40) << 32 | roll(&w->d, 60);
    llm_status_t     st;

    if (s->e == NULL)
        CHECK(llm_engine_abort(NULL, wild) == LLM_ERR_INVALID);
    else if (a == NULL || one_in(&w->d, 10))
        CHECK(llm_engine_abort(s->e, UINT64_MAX - wild) == LLM_ERR_NOT_FOUND);
    else {
        st = llm_engine_abort(s->e, a->id);
        CHECK(st == LLM_ERR_NOT_FOUND || (st == LLM_OK && !a->last && !a->aborted));
        a->aborted |= st == LLM_OK;
    }
}

static void abort_all(world_t *w)
{
    slot_t *s = any_slot(w);

    llm_engine_abort_all(s->e);
    for (uint32_t i = 0; i < s->n_asked; i++)
        s->asked[i].aborted = true;
}

static void nap(world_t *w)
{
    slot_t      *s = any_slot(w);
    llm_status_t st;

    if (s->e == NULL) {
        CHECK(llm_engine_wait(NULL, roll(&w->d, 100)) == LLM_ERR_INVALID);
        return;
    }
    if (one_in(&w->d, 3)) {
        llm_engine_notify(s->e);
        CHECK(llm_engine_wait(s->e, -1) == LLM_OK);
        return;
    }
    st = llm_engine_wait(s->e, roll(&w->d, 60));
    CHECK(st == LLM_OK || st == LLM_ERR_TIMEOUT);
}

static void pause_or_resume(world_t *w)
{
    slot_t      *s = any_slot(w);
    llm_error_t  err = no_error();
    int32_t      mode = (int32_t)roll(&w->d, 6) - 1;
    bool         good = mode >= LLM_PAUSE_ABORT && mode <= LLM_PAUSE_DRAIN;
    llm_status_t st;

    if (s->e == NULL) {
        CHECK(llm_engine_resume(NULL, &err) == LLM_ERR_INVALID);
        CHECK(llm_engine_pause(NULL, mode, &err) == LLM_ERR_INVALID);
    } else if (!one_in(&w->d, 3)) {
        CHECK(llm_engine_resume(s->e, &err) == LLM_OK);
        s->paused = s->draining = false;
    } else {
        st = llm_engine_pause(s->e, mode, &err);
        CHECK((st == LLM_OK) == good);
        if (!good)
            random_check_error(&err, st);
        else {
            s->paused = true;
            s->draining = mode == LLM_PAUSE_DRAIN;
        }
    }
}

/* ---- Batches --------------------------------------------------------------------------------- */

static uint64_t sum_batch(const llm_batch_t *b, size_t n)
{
    const llm_output_t *o;
    uint64_t            h = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; (o = llm_batch_output(b, i, k)) != NULL; k++)
            h = h * 31 + sum_of(o);
    return h;
}

/* is_bad[i]: the request must have been refused. */
static void check_batch(world_t *w, const batch_t *b, const bool *is_bad)
{
    for (size_t i = 0; i < b->n; i++) {
        const llm_output_t *o = llm_batch_output(b->b, i, 0);
        CHECK(o != NULL);
        CHECK(o->finish_reason == LLM_FINISH_ERROR || o->finish_reason == LLM_FINISH_ABORT ||
              !is_bad[i]);
        for (size_t k = 0; (o = llm_batch_output(b->b, i, k)) != NULL; k++) {
            check_record(o);
            CHECK(o->finish_reason != LLM_FINISH_NONE && o->index == k);
            w->n_tokens += o->n_tokens;
        }
        CHECK(llm_batch_output(b->b, i, SIZE_MAX) == NULL);
    }
    CHECK(llm_batch_output(b->b, b->n, 0) == NULL);
    CHECK(llm_batch_output(b->b, SIZE_MAX, 0) == NULL);
}

static batch_t *free_place(world_t *w)
{
    batch_t *b = &w->batches[roll(&w->d, N_BATCHES)];

    if (b->b != NULL)
        end_batch(b);
    return b;
}

static void keep_batch(world_t *w, slot_t *s, batch_t *b, const bool *is_bad)
{
    b->s = s;
    s->n_batches++;
    check_batch(w, b, is_bad);
    b->sum = sum_batch(b->b, b->n);
}

static llm_beam_params_t random_beam(dice_t *d, bool *is_bad)
{
    llm_beam_params_t p = LLM_INIT(llm_beam_params_t);

    p.flags = roll(d, 8);
    p.beam_width = 1 + roll(d, 3);
    p.max_tokens = 1 + roll(d, 5);
    p.temperature = one_in(d, 2) ? 0.0f : 1.5f;
    p.length_penalty = p.flags & LLM_BEAM_NO_PENALTY ? 0.0f : (float)roll(d, 3);
    *is_bad = one_in(d, 4);
    switch (*is_bad ? roll(d, 6) : 9) {
    case 0: p.flags = 8; break;
    case 1: p.beam_width = one_in(d, 2) ? 0 : 1025; break;
    case 2: p.max_tokens = 0; break;
    case 3: p.struct_size = one_in(d, 2) ? 0 : UINT32_MAX; break;
    case 4: p.temperature = -1; break;
    case 5: p.beam_width = 11; break;           /* more than max-logprobs allows */
    default: break;
    }
    return p;
}

/* Both kinds of batch; what they may answer is nearly the same. */
static void run_batch(world_t *w, bool beam)
{
    slot_t              *s = any_slot(w);
    batch_t             *b = free_place(w);
    bool                 bad_beam = false, is_bad[MAX_BATCH], starved;
    draft_t             *q[MAX_BATCH];
    const llm_request_t *list[MAX_BATCH];
    llm_beam_params_t    p = random_beam(&w->d, &bad_beam);
    llm_error_t          err = no_error();
    llm_progress_fn      report = one_in(&w->d, 2) ? progress : NULL;
    llm_status_t         st;

    if (s->e == NULL)
        return;
    give_back_lent(s);
    b->n = roll(&w->d, MAX_BATCH + 1);
    for (size_t i = 0; i < b->n; i++) {
        q[i] = draft(w, s);
        if (beam)
            q[i]->r.sampling = NULL;
        list[i] = one_in(&w->d, 20) ? NULL : &q[i]->r;
        is_bad[i] = list[i] == NULL || (!beam && q[i]->spoilt != NULL);
    }
    maybe_starve(w, s);
    st = beam ? llm_beam_search(s->e, list, b->n, &p, report, s, &b->b, &err)
              : llm_generate_batch(s->e, list, b->n, report, s, &b->b, &err);
    starved = feed(w, s);
    CHECK((b->b != NULL) == (st == LLM_OK || st == LLM_ERR_CANCELLED));
    if (st != LLM_OK)
        random_check_error(&err, st);
    if (st != LLM_OK && !(st == LLM_ERR_CANCELLED && report != NULL) &&
        !(st == LLM_ERR_STATE && s->paused) && !(st == LLM_ERR_NO_MEMORY && starved) &&
        !(beam && bad_beam))
        fail_msg("seed %lu, call %lu: a batch is refused: %s", (unsigned long)w->seed,
                 (unsigned long)w->call, err.message);
    CHECK(st != LLM_OK || !beam || !bad_beam || b->n == 0);
    if (b->b != NULL)
        keep_batch(w, s, b, is_bad);
    for (size_t i = 0; i < b->n; i++)
        free(q[i]);
}

static void generate_batch(world_t *w) { run_batch(w, false); }
static void beam_search(world_t *w) { run_batch(w, true); }

static void look_at_batch(world_t *w)
{
    batch_t *b = &w->batches[roll(&w->d, N_BATCHES)];

    if (b->b == NULL)
        CHECK(llm_batch_output(NULL, 0, 0) == NULL);
    else
        CHECK(sum_batch(b->b, b->n) == b->sum);
    if (one_in(&w->d, 6))
        end_batch(b);
}

/* ---- Care ------------------------------------------------------------------------------------ */

static uint32_t random_size(dice_t *d, uint32_t ours, uint32_t with_pad)
{
    const uint32_t sizes[] = { 0, 3, ours - 1, 65537, UINT32_MAX, with_pad };

    return one_in(d, 2) ? ours : sizes[roll(d, 6)];
}

static void stats(world_t *w)
{
    slot_t      *s = any_slot(w);
    struct { llm_stats_t s; unsigned char tail[16]; } x = { .tail = { 1 } };
    uint32_t     size = random_size(&w->d, sizeof x.s, sizeof x);
    llm_status_t st;

    x.s.struct_size = size;
    st = llm_engine_stats(s->e, &x.s);
    CHECK((st == LLM_OK) ==
          (s->e != NULL && size >= offsetof(llm_stats_t, paused) && size < 65536));
    CHECK(x.s.struct_size == size && x.tail[0] == (size != sizeof x || s->e == NULL));
    if (st != LLM_OK || size < sizeof x.s)
        return;
    CHECK(x.s.kv_blocks_used <= x.s.kv_blocks_total && x.s.dead == 0 && x.s.step_age_us == 0);
    CHECK(x.s.paused == s->paused && x.s.steps >= s->steps);
    CHECK((int64_t)(x.s.host_bytes + x.s.device_bytes) <= s->mem.live_bytes);
    s->steps = x.s.steps;
}

static void plan(world_t *w)
{
    slot_t      *s = any_slot(w);
    struct { llm_plan_t p; unsigned char tail[16]; } x = { .tail = { 1 } };
    uint32_t     size = random_size(&w->d, sizeof x.p, sizeof x);
    llm_status_t st;

    x.p.struct_size = size;
    st = llm_engine_plan(s->e, &x.p);
    CHECK((st == LLM_OK) == (s->e != NULL && size >= sizeof x.p && size < 65536));
    CHECK(st != LLM_OK || (x.p.fits == 1 && x.p.vocab_size == VOCAB && x.p.world_size == 1));
    CHECK(llm_engine_plan(s->e, NULL) == LLM_ERR_INVALID);
}

static void metrics(world_t *w)
{
    slot_t      *s = any_slot(w);
    size_t       cap = one_in(&w->d, 2) ? roll(&w->d, 200) : roll(&w->d, 30000), n = 7;
    char        *text = malloc(cap + 1);
    llm_status_t st;

    text[cap] = '#';
    st = llm_engine_metrics(s->e, one_in(&w->d, 5) ? NULL : text, cap, &n);
    CHECK(text[cap] == '#');
    CHECK(s->e != NULL || (st == LLM_ERR_INVALID && n == 0));
    CHECK(s->e == NULL || st == LLM_OK || (st == LLM_ERR_NO_SPACE && n > cap));
    CHECK(llm_engine_metrics(s->e, text, cap, NULL) == LLM_ERR_INVALID);
    free(text);
}

static void reset_prefix_cache(world_t *w)
{
    slot_t      *s = any_slot(w);
    llm_status_t st = llm_engine_reset_prefix_cache(s->e);

    CHECK(s->e == NULL ? st == LLM_ERR_INVALID : st == LLM_OK || st == LLM_ERR_BUSY);
    CHECK(s->e == NULL || st == LLM_OK || llm_engine_unfinished(s->e) > 0);
}

static void sampling_defaults(world_t *w)
{
    slot_t      *s = any_slot(w);
    struct { llm_sampling_params_t s; unsigned char tail[16]; } x = { .tail = { 1 } };
    uint32_t     size = random_size(&w->d, sizeof x.s, sizeof x);
    llm_status_t st;

    x.s.struct_size = size;
    st = llm_sampling_defaults(s->e, &x.s);
    CHECK((st == LLM_OK) == (size >= sizeof x.s && size < 65536));
    CHECK(st != LLM_OK || x.s.max_tokens == 16);
    CHECK(llm_sampling_defaults(s->e, NULL) == LLM_ERR_INVALID);
}

static void names(world_t *w)
{
    int32_t                  any = (int32_t)roll(&w->d, UINT32_MAX) * (one_in(&w->d, 2) ? -1 : 1);
    const llm_option_info_t *info = llm_option_info(roll(&w->d, 120));

    any = one_in(&w->d, 2) ? -(int32_t)roll(&w->d, 20) : any;
    CHECK(llm_strerror(any)[0] != '\0' && llm_status_name(any)[0] != '\0');
    CHECK(llm_finish_name(any) != NULL);
    CHECK(info == NULL || (info->name[0] != '\0' && info->type != NULL && info->help != NULL));
    CHECK(llm_option_info(SIZE_MAX - roll(&w->d, 9)) == NULL);
    CHECK(llm_version_number() == LLM_VERSION_NUMBER && llm_version_string()[0] != '\0');
}

static void nothing_there(world_t *w)
{
    llm_request_id_t id = 9;
    llm_batch_t     *b = (llm_batch_t *)&id;
    llm_error_t      err = no_error();

    CHECK(llm_engine_add_request(NULL, NULL, &id, &err) == LLM_ERR_INVALID && id == 0);
    CHECK(llm_generate_batch(NULL, NULL, SIZE_MAX, NULL, NULL, &b, &err) == LLM_ERR_INVALID);
    CHECK(b == NULL && llm_engine_unfinished(NULL) == 0 && llm_engine_tokenizer(NULL) == NULL);
    CHECK(llm_beam_search(any_slot(w)->e, NULL, SIZE_MAX, NULL, NULL, NULL, &b, &err) ==
          LLM_ERR_INVALID);
    random_check_error(&err, LLM_ERR_INVALID);
    llm_engine_notify(NULL);
    llm_engine_abort_all(NULL);
    llm_engine_destroy(NULL);
    llm_batch_destroy(NULL);
    llm_tokenizer_destroy(NULL);
}

/* ---- The run --------------------------------------------------------------------------------- */

static const struct { void (*make)(world_t *); const char *name; uint32_t weight; } calls[] = {
    { step, "step", 280 }, { next_output, "next_output", 160 }, { add, "add_request", 170 },
    { abort_one, "abort", 40 }, { abort_all, "abort_all", 3 }, { nap, "wait and notify", 30 },
    { pause_or_resume, "pause and resume", 25 }, { generate_batch, "generate_batch", 10 },
    { beam_search, "beam_search", 5 }, { look_at_batch, "batch_output", 30 },
    { stats, "stats", 30 }, { plan, "engine_plan", 20 }, { metrics, "metrics", 12 },
    { reset_prefix_cache, "reset_prefix_cache", 8 }, { sampling_defaults, "sampling_defaults", 15 },
    { names, "names", 15 }, { nothing_there, "NULLs", 8 }, { random_encode, "encode", 40 },
    { random_decode, "decode", 40 }, { random_chat, "chat", 10 },
    { random_vocabulary, "vocabulary", 25 },
    { random_tokenizer_comes_or_goes, "tokenizer_create and destroy", 3 },
    { come_or_go, "create and destroy", 12 }, { refuse_config, "a bad config", 3 },
};
enum { N_CALLS = sizeof calls / sizeof *calls };

static void make_call(world_t *w, uint32_t all)
{
    uint32_t at, i = 0;

    w->d.state = (w->seed << 32 | w->call) * 0xd1342543de82ef95u;
    for (at = roll(&w->d, all); at >= calls[i].weight; i++)
        at -= calls[i].weight;
    w->what = calls[i].name;
    calls[i].make(w);
}

static void run_seed(world_t *w, uint64_t n)
{
    uint32_t all = 0;

    for (int i = 0; i < N_CALLS; i++)
        all += calls[i].weight;
    for (w->call = 0; w->call < n; w->call++)
        make_call(w, all);
    w->what = "the end";
    for (int i = 0; i < N_ENGINES; i++)
        if (w->slots[i].e != NULL)
            destroy(w, &w->slots[i]);
    llm_tokenizer_destroy(w->tokenizer);
    w->tokenizer = NULL;
    CHECK(w->tokenizer_mem.live_bytes == 0);
}

static uint64_t n_calls = 100000, first_seed = 1;

static void random_calls(void **state)
{
    static world_t w;

    now_in = &w;
    for (uint64_t made = 0; made < n_calls; made += A_SEED) {
        w.seed = first_seed + made / A_SEED;
        fprintf(stderr, "seed %lu\r", (unsigned long)w.seed);       /* for who dies on the way */
        run_seed(&w, n_calls - made < A_SEED ? n_calls - made : A_SEED);
    }
    print_message("%lu calls: %lu requests, %lu refused, %lu of them busy, %lu records, %lu "
                  "tokens, %lu allocations failed, %lu engines\n", (unsigned long)n_calls,
                  (unsigned long)w.n_added, (unsigned long)w.n_refused, (unsigned long)w.n_busy,
                  (unsigned long)w.n_records, (unsigned long)w.n_tokens, (unsigned long)w.n_failed,
                  (unsigned long)w.n_created);
    assert_true(n_calls < A_SEED || (w.n_added > n_calls / 40 && w.n_records > w.n_added &&
                                     w.n_busy > 0 && w.n_failed > 0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_calls) };

    if (argc > 1)
        n_calls = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
