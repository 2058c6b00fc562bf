/* SPDX-License-Identifier: Apache-2.0 */
/*
 * esim - the real engine over a simulated runner and clock, through llm.h.
 *
 *     engine_sim [--seed N] [--seeds N] [--steps N] [--spoil N] [-v]
 *
 * A seed fixes configuration, workload, faults and time.  Each token, text, log-probability, reason
 * and time is compared with what the request gives alone, each counter with what must be in it,
 * after each turn.  On failure it prints the seed and the command that finds it again.  --spoil
 * makes token number N of each seed wrong, to see that it is noticed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simengine/esim.h"

esim_totals_t esim_total;
uint64_t      esim_spoil;

static bool    verbose;
static esim_t *now;

void lls_panic(const char *file, int line, const char *what)
{
    const char *slash = strrchr(file, '/');

    printf("FAIL seed %llu turn %llu total %llu: %s:%d: %s\n", (unsigned long long)now->seed,
           (unsigned long long)now->turns, (unsigned long long)esim_total.steps,
           slash != NULL ? slash + 1 : file, line, what);
    printf("again: engine_sim --seed %llu", (unsigned long long)now->seed);
    if (esim_spoil > 0)
        printf(" --spoil %llu", (unsigned long long)esim_spoil);
    printf("\n");
    fflush(stdout);
    _Exit(1);
}

/* ---- The engine ------------------------------------------------------------------------------ */

static void *counting_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    esim_t *m = user;
    void   *p;

    if (new_size > 0 && m->fail_in > 0 && --m->fail_in == 0) {
        m->n_failed++;
        return NULL;
    }
    m->live_bytes += new_size - old_size;
    m->live_blocks += (ptr == NULL) - (new_size == 0 && ptr != NULL) - (ptr == NULL && !new_size);
    if (new_size > 0)
        p = realloc(ptr, new_size);
    else
        free(ptr), p = NULL;
    return p;
}

static uint64_t clock_us(void *user) { return ((esim_t *)user)->now; }

static int64_t clock_wall_us(void *user)
{
    const esim_t *m = user;

    return (int64_t)(m->now + m->wall_ahead);
}

static llm_status_t try_engine(esim_t *m)
{
    llm_allocator_t     hook = { counting_realloc, m };
    llm_option_t        options[16];
    llm_engine_config_t c = { .struct_size = sizeof c, .allocator = &hook, .options = options };
    lls_engine_parts_t  parts = esim_parts;
    llm_error_t         err;
    llm_status_t        st;

    esim_options(m, &c);
    parts.user = m;
    parts.clock = (lls_clock_t){ clock_us, clock_wall_us, m };
    st = lls_engine_assemble(&c, &parts, &m->e, &err);
    if (st != LLM_OK && m->n_failed == 0)
        lls_panic(__FILE__, __LINE__, err.message);
    return st;
}

/* With one failed allocation on the way, sometimes. */
static void make_engine(esim_t *m)
{
    llm_stats_t s = LLM_INIT(llm_stats_t);

    m->fail_in = m->oom > 0 ? between(m, 1, 150) : 0;
    while (try_engine(m) != LLM_OK)
        MUST(m->live_bytes == 0 && m->live_blocks == 0, "A2 a failed create keeps memory");
    m->fail_in = 0;
    m->failed_before = m->n_failed;
    m->n_engines++;
    m->steps = m->finished = m->prompt_tokens = m->cached_tokens = m->completion_tokens = 0;
    m->preemptions = m->pause_no = 0;
    m->pause_mode = -1;
    m->lost_counts = false;
    memset(m->by_finish, 0, sizeof m->by_finish);
    llm_engine_stats(m->e, &s);
    m->idle_host_bytes = s.host_bytes;
    esim_total.engines++;
}

static void drop_engine(esim_t *m)
{
    llm_engine_destroy(m->e);
    MUST(m->live_bytes == 0 && m->live_blocks == 0, "A2 memory is lost");
    m->e = NULL;
    m->n_live = m->n_unfinished = m->n_slots = 0;
}

/* ---- What comes from outside ----------------------------------------------------------------- */

static bool is_over(const esim_t *m, const es_req_t *q)
{
    return !q->accepted || q->engine != m->n_engines || q->n_ended == q->s.n;
}

static void abort_one(esim_t *m)
{
    es_req_t    *q = m->n_reqs == 0 ? NULL : m->reqs[chance(m, 80) && m->n_live > 0
                                                         ? m->live[rnd(m, m->n_live)]
                                                         : rnd(m, m->n_reqs)];
    bool         other = q == NULL || q->engine != m->n_engines || chance(m, 5);
    llm_status_t want = other || is_over(m, q) || q->abort_asked ? LLM_ERR_NOT_FOUND : LLM_OK;
    uint64_t     id = q == NULL || q->engine != m->n_engines ? 0 : other ? q->c[1].label : q->id;

    MUST(llm_engine_abort(m->e, id) == want, "I9 status of an abort");
    if (want == LLM_OK)
        q->abort_asked = true;
}

static void abort_all(esim_t *m)
{
    llm_engine_abort_all(m->e);
    for (uint32_t i = 0; i < m->n_live; i++)
        m->reqs[m->live[i]]->abort_asked = true;
}

static void resume(esim_t *m)
{
    MUST(llm_engine_resume(m->e, NULL) == LLM_OK, "status of a resume");
    m->pause_mode = -1;
}

static void pause_or_resume(esim_t *m)
{
    int32_t mode = (int32_t)rnd(m, 4);

    esim_total.pauses++;
    if (m->pause_mode >= 0 && chance(m, 70)) {
        resume(m);
        return;
    }
    MUST(llm_engine_pause(m->e, mode, NULL) == LLM_OK, "status of a pause");
    m->pause_no += m->pause_mode < 0;
    m->pause_mode = mode;
    for (uint32_t i = 0; mode == LLM_PAUSE_ABORT && i < m->n_live; i++)
        m->reqs[m->live[i]]->abort_asked |= m->reqs[m->live[i]]->pause_no != m->pause_no;
}

static void add_one(esim_t *m)
{
    uint32_t     failed = m->n_failed, fail_in = m->fail_in;
    uint64_t     tokens = esim_queued_tokens(m);
    bool         full, late;
    es_req_t    *q;
    llm_error_t  err;
    llm_status_t st;

    m->fail_in = 0;
    q = esim_new_request(m, false);
    full = m->n_slots + lls_max_u32(q->s.n, 1) > m->queued;
    late = m->queued_tokens > 0 && tokens > 0 &&
           tokens + (uint64_t)lls_max_u32(q->s.n, 1) * q->n_prompt > m->queued_tokens;
    m->fail_in = m->oom > 0 && chance(m, 2 * m->oom) ? between(m, 1, 25) : 0;
    st = llm_engine_add_request(m->e, &q->r, &q->id, &err);
    m->fail_in = fail_in;           /* of the call that this one interrupts */
    esim_total.busy += st == LLM_ERR_BUSY;
    esim_total.refused += st != LLM_OK && st != LLM_ERR_BUSY;
    MUST(st == LLM_OK || q->id == 0, "an id of what was refused");
    if (m->pause_mode == LLM_PAUSE_DRAIN)
        MUST(st == LLM_ERR_STATE, "added to an engine that drains");
    else if (m->n_failed > failed)
        MUST(st == LLM_ERR_NO_MEMORY, "an add that missed a failure");
    else
        MUST(st == (full ? LLM_ERR_BUSY : q->refusal != LLM_OK || !late ? q->refusal
                                                                       : LLM_ERR_BUSY),
             "status of an add");
    if (st != LLM_OK)
        return;
    esim_settle_request(m, q, m->e->n_added);
    esim_accept(m, q);
}

static void arrive(esim_t *m)
{
    if (m->n_reqs >= m->n_total || !chance(m, m->arrivals))
        return;
    for (uint32_t n = between(m, 1, m->burst); n > 0 && m->n_reqs < m->n_total; n--)
        add_one(m);
}

void esim_sneak(esim_t *m)
{
    uint32_t kind = rnd(m, 10);

    if (m->sneaks == 0 || !chance(m, m->sneaks))
        return;
    esim_total.sneaks++;
    if (kind < 5)
        abort_one(m);
    else if (kind < 6 && chance(m, 30))
        abort_all(m);
    else if (kind < 8 && m->n_reqs < m->n_total)
        add_one(m);
    else if (kind == 9 && m->pauses > 0 && chance(m, 10))
        pause_or_resume(m);
    MUST(llm_engine_unfinished(m->e) == m->n_unfinished, "unfinished in the middle");
    llm_engine_notify(m->e);
}

static void reset_cache(esim_t *m)
{
    bool         held = lls_kv_any_held(m->e->kv);
    llm_status_t st = llm_engine_reset_prefix_cache(m->e);

    MUST(st == (held ? LLM_ERR_BUSY : LLM_OK), "status of a reset");
    esim_total.resets++;
}

/* Exactly, or just before it. */
static void go_to_deadline(esim_t *m)
{
    const es_req_t *q = m->reqs[m->live[rnd(m, m->n_live)]];
    uint32_t        ms = chance(m, 50) ? q->r.timeout_ms : q->r.queue_timeout_ms;
    uint64_t        at = q->added_us + ms * 1000ull - chance(m, 30);

    if (ms > 0 && at > m->now)
        m->now = at;
}

/* Between two turns. */
static void outside(esim_t *m)
{
    m->now += chance(m, 20) ? rnd(m, 20000) : rnd(m, 300);
    arrive(m);
    if (m->aborts > 0 && chance(m, m->aborts))
        abort_one(m);
    if (m->pauses > 0 && chance(m, m->pause_mode >= 0 ? 10 : m->pauses))
        for (uint32_t i = between(m, 1, 3); i > 0; i--)
            pause_or_resume(m);
    if (m->aborts > 0 && rarely(m, 3))
        abort_all(m);
    if (m->deadlines > 0 && m->n_live > 0 && chance(m, 10))
        go_to_deadline(m);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static int32_t progress(void *user, const llm_progress_t *p)
{
    esim_t *m = user;

    esim_turn_end(m, LLM_OK);
    MUST(p->done <= p->total && p->stage == LLM_STAGE_BATCH, "progress");
    MUST(llm_engine_step(m->e, NULL) == LLM_ERR_STATE, "a step inside a step");
    outside(m);
    m->refusing |= m->pause_mode == LLM_PAUSE_ABORT;
    llm_engine_notify(m->e);        /* nobody sleeps for long on this clock */
    if (!rarely(m, 30))
        return 0;
    m->stopping = true;
    for (uint32_t i = 0; i < m->n_live; i++)
        m->reqs[m->live[i]]->abort_asked |= m->reqs[m->live[i]]->in_batch;
    return 1;
}

static bool any_of_batch_is_left(const esim_t *m)
{
    for (uint32_t i = 0; i < m->n_live; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        if (q->in_batch && q->n_ended < q->s.n)
            return true;
    }
    return false;
}

static void check_batch_status(esim_t *m, llm_status_t st, uint32_t failed, bool paused)
{
    llm_status_t want = paused ? LLM_ERR_STATE
                        : m->dying ? LLM_ERR_DEVICE
                        : m->stopping ? LLM_ERR_CANCELLED : LLM_OK;

    if (st == LLM_ERR_NO_MEMORY)
        MUST(m->n_failed > failed, "no memory for a batch");
    else
        MUST(st == want, "status of a batch");
    if (st == LLM_ERR_DEVICE || (m->stopping && (m->turn_open || any_of_batch_is_left(m))))
        esim_turn_end(m, st == LLM_ERR_DEVICE ? st : LLM_OK);
}

static void run_batch(esim_t *m)
{
    const llm_request_t *r[MAX_BATCH];
    es_req_t            *q[MAX_BATCH];
    uint32_t             n = between(m, 1, MAX_BATCH), failed = m->n_failed;
    bool                 paused = m->pause_mode >= 0;
    llm_batch_t         *b;
    llm_status_t         st;

    for (uint32_t i = 0; i < n; i++) {
        q[i] = esim_new_request(m, true);
        if (q[i]->refusal == LLM_OK)
            esim_settle_request(m, q[i], 0);
        r[i] = &q[i]->r;
    }
    esim_total.batches++;
    m->stopping = m->dying = m->refusing = false;
    m->fail_in = m->oom > 0 && chance(m, 50) ? between(m, 1, 300) : 0;
    st = llm_generate_batch(m->e, r, n, progress, m, &b, NULL);
    m->fail_in = 0;
    check_batch_status(m, st, failed, paused);
    if (b != NULL)
        esim_check_batch(m, b, q, n);
    llm_batch_destroy(b);
}

static void run_step(esim_t *m)
{
    llm_status_t st;

    if (m->oom > 0 && chance(m, m->oom))
        m->fail_in = between(m, 1, 4);
    st = llm_engine_step(m->e, NULL);
    m->fail_in = 0;
    esim_turn_end(m, st);
}

static void check_dead(esim_t *m)
{
    llm_request_id_t id;
    es_req_t        *q = esim_new_request(m, false);

    MUST(llm_engine_add_request(m->e, &q->r, &id, NULL) == LLM_ERR_DEVICE, "added to the dead");
    MUST(llm_engine_step(m->e, NULL) == LLM_ERR_DEVICE, "the dead steps");
    abort_one(m);
    esim_drain(m, UINT32_MAX);
}

static void turn(esim_t *m)
{
    outside(m);
    if (m->batches > 0 && rarely(m, m->batches) && m->n_reqs + MAX_BATCH < MAX_REQS - 8)
        run_batch(m);
    else
        run_step(m);
    if (m->dying && m->e != NULL) {
        check_dead(m);
        drop_engine(m);
        make_engine(m);
        m->dying = false;
    }
    if (m->resets > 0 && rarely(m, m->resets))
        reset_cache(m);
    if (chance(m, m->drains))
        esim_drain(m, chance(m, 80) ? UINT32_MAX : rnd(m, 3));
    if (rarely(m, 100)) {
        llm_status_t st = llm_engine_wait(m->e, 0);
        MUST(st == LLM_OK || (st == LLM_ERR_TIMEOUT && (m->n_unfinished == 0 ||
                                                        m->pause_no > 0)), "wait");
    }
}

/* ---- A seed ---------------------------------------------------------------------------------- */

static void describe(const esim_t *m)
{
    fprintf(stderr, "seed %llu: len %u rows %u tokens %u chunks %d long %u blocks %u of %u, groups "
            "%u (%u, %u) queue %u interval %u logprobs %d cache %d priority %d tokenizer %d\n"
            "    arrivals %u x %u aborts %u batches %u resets %u deadlines %u hooks %u drains %u "
            "rows %u deaths %u oom %u sneaks %u pauses %u total %u\n", (unsigned long long)m->seed,
            m->max_len, m->rows, m->max_tokens, m->chunks, m->long_prefill, m->blocks, m->block,
            m->traits.n_groups, m->traits.groups[0].window, m->traits.groups[1].window, m->queued,
            m->interval, m->max_logprobs, m->caching, m->by_priority, m->has_tokenizer,
            m->arrivals, m->burst, m->aborts, m->batches, m->resets, m->deadlines, m->hooks,
            m->drains, m->row_faults, m->deaths, m->oom, m->sneaks, m->pauses, m->n_total);
}

static void come_to_rest(esim_t *m)
{
    m->batches = m->resets = m->sneaks = m->pauses = 0;
    resume(m);
    while (m->n_unfinished > 0)
        turn(m);
    esim_drain(m, UINT32_MAX);
    run_step(m);                    /* frees what was lent */
    if (m->dying)
        return;
    esim_check_idle(m);
}

static uint64_t simulate(uint64_t seed)
{
    esim_t  *m = calloc(1, sizeof *m);
    uint64_t digest;

    now = m;
    m->seed = seed;
    m->rng = seed * 0x1234567u + 99;
    esim_choose(m);
    if (verbose)
        describe(m);
    make_engine(m);
    while (m->n_reqs < m->n_total)
        turn(m);
    if (!chance(m, 10))
        come_to_rest(m);            /* else destroy has work to do */
    drop_engine(m);
    digest = lls_mix64(m->digest, m->turns);
    esim_free_requests(m);
    free(m);
    return digest;
}

static void print_totals(void)
{
    const esim_totals_t *t = &esim_total;
#define N(x) (unsigned long long)t->x
    printf("turns %llu steps %llu tokens %llu requests %llu completions %llu records %llu\n"
           "batches %llu engines %llu cached %llu preempted %llu cancelled %llu aborted %llu\n"
           "expired %llu stop strings %llu callbacks %llu prompt logprobs %llu resets %llu\n"
           "busy %llu refused %llu failed rows %llu deaths %llu no memory %llu sneaks %llu\n"
           "pauses %llu\n",
           N(turns), N(steps), N(tokens), N(requests), N(completions), N(records), N(batches),
           N(engines), N(cached), N(preempted), N(cancelled), N(aborted), N(expired), N(stops),
           N(hooks), N(plps), N(resets), N(busy), N(refused), N(row_faults), N(deaths), N(oom),
           N(sneaks), N(pauses));
#undef N
}

static uint64_t number(char **argv, int argc, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return strtoull(argv[i + 1], NULL, 10);
    return otherwise;
}

int main(int argc, char **argv)
{
    uint64_t first = number(argv, argc, "--seed", 1), seed = first, d, all = 0;
    uint64_t n_seeds = number(argv, argc, "--seeds", 1);
    uint64_t n_steps = number(argv, argc, "--steps", 0);

    esim_spoil = number(argv, argc, "--spoil", 0);
    verbose = argc > 1 && strcmp(argv[argc - 1], "-v") == 0;
    for (; seed < first + n_seeds || esim_total.steps < n_steps; seed++) {
        d = simulate(seed);
        if (seed % 16 == 0 && simulate(seed) != d) {
            printf("FAIL seed %llu: S15 the same inputs, other records\n",
                   (unsigned long long)seed);
            return 1;
        }
        all = lls_mix64(all, d);
    }
    printf("ok seeds %llu..%llu digest %016llx\n", (unsigned long long)first,
           (unsigned long long)(seed - 1), (unsigned long long)all);
    print_totals();
    return 0;
}
