/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storms: requests of one to many completions and beam searches on engines with next to no room,
 * added, aborted and preempted at random; each answer is the one that it has alone with all the
 * room there is.  The memory of the small engines is full of bytes that are no numbers, so whoever
 * reads what nobody wrote shows it.
 *
 * usage: engine_storm_test [STORMS [SEED]]
 *   Storm number i is drawn from SEED + i; the clock has a say in which step another thread's
 *   aborts meet.
 */
#include "engine/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define N_QUESTIONS 12
#define N_ASKED     32              /* in a storm */
#define N_SEARCHES  4
#define MAX_LEN     72
#define MAX_STEPS   20000           /* without an end; a storm takes some hundred */

static uint32_t n_storms = SANITIZED ? 6 : 24, first_seed = 1;

/* ---- Chance ---------------------------------------------------------------------------------- */

typedef struct dice { uint32_t x; } dice_t;

static uint32_t roll(dice_t *d, uint32_t n)
{
    d->x ^= d->x << 13;
    d->x ^= d->x >> 17;
    d->x ^= d->x << 5;
    return d->x % n;
}

static const char *pick(dice_t *d, const char *const *of)
{
    uint32_t n = 0;

    while (of[n] != NULL)
        n++;
    return of[roll(d, n)];
}

#define PICK(d, ...) pick(d, (const char *const[]){ __VA_ARGS__, NULL })

/* ---- Memory that holds no numbers ------------------------------------------------------------ */

static void *poisoned_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    char *p = NULL;

    if (new_size == 0)
        free(ptr);
    else if ((p = realloc(ptr, new_size)) != NULL && new_size > old_size)
        memset(p + old_size, 0xff, new_size - old_size);
    return p;
}

/* ---- What is asked, and its answers ---------------------------------------------------------- */

/* Of a model and a block size, which has a say in the order of sums: the same in every storm. */
typedef struct world {
    const char       *name, *block;
    char              path[256];
    ask_t             ask[N_QUESTIONS];
    llm_batch_t      *alone[N_QUESTIONS], *beams[N_SEARCHES];
    llm_beam_params_t beam[N_SEARCHES];
    llm_request_t     searched[N_SEARCHES];
} world_t;

/* Some share the beginnings of their prompts. */
static void make_question(ask_t *a, uint32_t i)
{
    static const uint32_t n[N_QUESTIONS] = { 1, 1, 2, 3, 1, 5, 1, 8, 2, 1, 20, 64 };

    make_ask(a, 100, 1 + (i * 23) % 44, i % 3, 1 + (i * 5) % 17);
    a->sp.n = n[i];
    a->sp.temperature = n[i] > 1 || i % 4 == 1 ? 1 : 0;
    a->sp.flags |= LLM_SAMPLE_SEEDED;
    a->sp.seed = i + 1;
    a->sp.n_logprobs = 2;
    a->sp.n_prompt_logprobs = i == 4 || i == 7 ? 2 : 0;
    a->sp.repetition_penalty = i % 5 == 0 ? 1.3f : 0;
    a->r.output_kind = LLM_OUTPUT_FINAL;
}

static void make_search(world_t *w, uint32_t i)
{
    static const uint32_t widths[N_SEARCHES] = { 2, 4, 7, 64 };

    w->beam[i] = (llm_beam_params_t)LLM_INIT(llm_beam_params_t);
    w->beam[i].beam_width = widths[i];
    w->beam[i].max_tokens = widths[i] == 64 ? 3 : 9;
    w->searched[i] = (llm_request_t)LLM_INIT(llm_request_t);
    w->searched[i].tokens = w->ask[2 * i].tokens;
    w->searched[i].n_tokens = w->ask[2 * i].r.n_tokens;
}

static llm_batch_t *search(llm_engine_t *e, const world_t *w, uint32_t i, llm_progress_fn progress,
                           void *user)
{
    const llm_request_t *list[1] = { &w->searched[i] };
    llm_batch_t         *b;
    llm_error_t          err;

    if (llm_beam_search(e, list, 1, &w->beam[i], progress, user, &b, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return b;
}

static void make_world(world_t *w, const char *name, const char *block)
{
    llm_engine_t *e;
    llm_error_t   err;

    w->name = name;
    w->block = block;
    snprintf(w->path, sizeof w->path, "%s/golden/%s", TEST_DIR, name);
    e = make_engine(w->path, "float32",
                    OPTIONS("skip-tokenizer-init", "true", "max-model-len", "72", "cpu-threads",
                            "1", "enable-prefix-caching", "false", "max-num-seqs", "64",
                            "max-logprobs", "-1", "block-size", block, "num-gpu-blocks-override",
                            "12000"), NULL);
    for (uint32_t i = 0; i < N_QUESTIONS; i++) {
        const llm_request_t *list[1] = { &w->ask[i].r };
        make_question(&w->ask[i], i);
        if (llm_generate_batch(e, list, 1, NULL, NULL, &w->alone[i], &err) != LLM_OK)
            fail_msg("%s", err.message);
        assert_int_equal(llm_batch_output(w->alone[i], 0, 0)->finish_reason, LLM_FINISH_LENGTH);
    }
    for (uint32_t i = 0; i < N_SEARCHES; i++) {
        make_search(w, i);
        w->beams[i] = search(e, w, i, NULL, NULL);
    }
    llm_engine_destroy(e);
}

static void free_world(world_t *w)
{
    for (uint32_t i = 0; i < N_QUESTIONS; i++)
        llm_batch_destroy(w->alone[i]);
    for (uint32_t i = 0; i < N_SEARCHES; i++)
        llm_batch_destroy(w->beams[i]);
}

/* ---- A storm --------------------------------------------------------------------------------- */

typedef struct asked {
    uint32_t         question, n_last;
    llm_request_id_t id;
    _Atomic bool     aborted;
} asked_t;

typedef struct storm {
    const world_t   *w;
    llm_engine_t    *e;
    uint32_t         seed, n_steps;
    _Atomic uint32_t n_asked;
    _Atomic bool     is_over;
    dice_t           d;
    asked_t          asked[N_ASKED];
    bool             all_aborted;   /* the search too */
    char             what[200];
} storm_t;

static bool differ(const void *a, const void *b, size_t n)
{
    return n > 0 && memcmp(a, b, n) != 0;
}

/* What was aborted has the beginning. */
static void same_output(const storm_t *s, const char *kind, uint32_t i, const llm_output_t *o,
                        const llm_output_t *alone)
{
    bool cut = o->finish_reason == LLM_FINISH_ABORT;

    if (o->error != NULL)
        fail_msg("%s, %s %u: %s", s->what, kind, i, o->error->message);
    if ((cut ? o->n_tokens > alone->n_tokens
             : o->n_tokens != alone->n_tokens || o->finish_reason != alone->finish_reason) ||
        differ(o->tokens, alone->tokens, o->n_tokens * sizeof *o->tokens))
        fail_msg("%s, %s %u, completion %u: %zu tokens, finish %d; alone %zu, %d, or others",
                 s->what, kind, i, o->index, o->n_tokens, o->finish_reason, alone->n_tokens,
                 alone->finish_reason);
    if (differ(o->logprobs, alone->logprobs,
               o->n_tokens * o->n_logprobs * sizeof *o->logprobs) ||
        (o->prompt_logprobs != NULL &&
         differ(o->prompt_logprobs, alone->prompt_logprobs,
                (size_t)o->prompt_tokens * o->n_prompt_logprobs * sizeof *o->logprobs)))
        fail_msg("%s, %s %u, completion %u: other log-probabilities than alone", s->what, kind, i,
                 o->index);
}

static void drain(storm_t *s)
{
    const llm_output_t *o;

    while ((o = llm_engine_next_output(s->e)) != NULL) {
        asked_t *a = o->user_data;
        if (o->finish_reason == LLM_FINISH_ABORT && !a->aborted)
            fail_msg("%s: question %u ended as if aborted", s->what, a->question);
        same_output(s, "question", a->question, o,
                    llm_batch_output(s->w->alone[a->question], 0, o->index));
        a->n_last += o->last;
    }
}

static void add_one(storm_t *s)
{
    asked_t      *a = &s->asked[s->n_asked];
    llm_request_t r;
    llm_error_t   err;

    if (s->n_asked == N_ASKED)
        return;
    a->question = roll(&s->d, roll(&s->d, 6) == 0 ? N_QUESTIONS : 10);
    r = s->w->ask[a->question].r;
    r.user_data = a;
    r.priority = (int32_t)roll(&s->d, 3) - 1;
    if (llm_engine_add_request(s->e, &r, &a->id, &err) != LLM_OK)
        fail_msg("%s: %s", s->what, err.message);
    s->n_asked++;
}

static void abort_one(storm_t *s, dice_t *d)
{
    uint32_t i = roll(d, N_ASKED);

    if (i >= s->n_asked)
        return;
    s->asked[i].aborted = true;     /* or has ended before, and is compared whole */
    llm_engine_abort(s->e, s->asked[i].id);
}

/* In the middle of steps too: a step that is for nobody any more is given up. */
static void *abort_at_any_time(void *arg)
{
    storm_t *s = arg;
    dice_t   d = { s->seed | 1 };

    while (!s->is_over) {
        abort_one(s, &d);
        usleep(roll(&d, 1000));
    }
    return NULL;
}

static void abort_all(storm_t *s)
{
    llm_engine_abort_all(s->e);
    for (uint32_t i = 0; i < s->n_asked; i++)
        s->asked[i].aborted = true;
    s->all_aborted = true;
}

static int32_t disturb(void *user, const llm_progress_t *progress)
{
    storm_t *s = user;

    if (++s->n_steps > MAX_STEPS)
        fail_msg("%s: no end of a search", s->what);
    if (roll(&s->d, 12) == 0)
        add_one(s);
    if (roll(&s->d, 30) == 0)
        abort_one(s, &s->d);
    if (roll(&s->d, 200) == 0)
        abort_all(s);
    return 0;
}

static void search_amid(storm_t *s)
{
    uint32_t            i = roll(&s->d, roll(&s->d, 4) == 0 ? N_SEARCHES : N_SEARCHES - 1);
    llm_batch_t        *b;
    const llm_output_t *o;

    s->all_aborted = false;
    b = search(s->e, s->w, i, disturb, s);
    for (size_t k = 0; !s->all_aborted && (o = llm_batch_output(s->w->beams[i], 0, k)) != NULL; k++) {
        if (llm_batch_output(b, 0, k) == NULL)
            fail_msg("%s, search %u: beam %zu is missing", s->what, i, k);
        same_output(s, "search", i, llm_batch_output(b, 0, k), o);
    }
    llm_batch_destroy(b);
}

static void step_once(storm_t *s)
{
    bool paused = roll(&s->d, 16) == 0;

    if (paused)
        assert_int_equal(llm_engine_pause(s->e, LLM_PAUSE_KEEP, NULL), LLM_OK);
    step_engine(s->e);
    if (paused)
        assert_int_equal(llm_engine_resume(s->e, NULL), LLM_OK);
    if (++s->n_steps > MAX_STEPS)
        fail_msg("%s: no end after %u steps", s->what, s->n_steps);
    if (roll(&s->d, 3) > 0)
        drain(s);
}

/* The least number of blocks that the engine accepts, and a few. */
static void make_small_engine(storm_t *s)
{
    const llm_allocator_t poison = { poisoned_realloc, NULL };
    dice_t               *d = &s->d;
    const char           *seqs = PICK(d, "1", "2", "3", "4"), *budget = PICK(d, "4", "7", "64"),
                         *caching = PICK(d, "true", "false"),
                         *policy = PICK(d, "fcfs", "priority"), *threads = PICK(d, "1", "2"),
                         *chunks = PICK(d, "true", "true", "false"), *most = PICK(d, "0", "3");
    uint32_t              n = MAX_LEN / (uint32_t)atoi(s->w->block), more = roll(d, 7);
    llm_error_t           err;

    if (strcmp(chunks, "false") == 0)
        budget = "72";
    for (s->e = NULL; s->e == NULL; n++) {
        char blocks[16];
        snprintf(blocks, sizeof blocks, "%u", n + more);
        snprintf(s->what, sizeof s->what, "%s, storm %u, %s blocks of %s, %s seqs, %s tokens, "
                 "caching %s, %s, chunks %s of %s", s->w->name, s->seed, blocks, s->w->block, seqs, budget, caching,
                 policy, chunks, most);
        if (try_engine(s->w->path, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "72", "block-size",
                               s->w->block, "max-num-seqs", seqs, "max-num-batched-tokens", budget,
                               "enable-prefix-caching", caching, "scheduling-policy", policy,
                               "cpu-threads", threads, "max-logprobs", "-1",
                               "enable-chunked-prefill", chunks, "long-prefill-token-threshold",
                               most,
                               "num-gpu-blocks-override", blocks),
                       &poison, &s->e, &err) != LLM_OK &&
            n > 4 * MAX_LEN)
            fail_msg("%s: %s", s->what, err.message);
    }
}

static uint64_t storm(const world_t *w, uint32_t seed)
{
    storm_t     s = { .w = w, .seed = seed, .d = { seed * 2654435761u | 1 } };
    llm_stats_t stats = LLM_INIT(llm_stats_t);
    bool        hostile = roll(&s.d, 3) == 0;
    pthread_t   thread;

    make_small_engine(&s);
    if (hostile)
        assert_int_equal(pthread_create(&thread, NULL, abort_at_any_time, &s), 0);
    while (s.n_asked < N_ASKED) {
        for (uint32_t n = 1 + roll(&s.d, 8); n > 0; n--)
            add_one(&s);
        if (roll(&s.d, 3) == 0)
            search_amid(&s);
        for (uint32_t n = roll(&s.d, 20); n > 0; n--)
            step_once(&s);
        if (roll(&s.d, 2) == 0)
            abort_one(&s, &s.d);
        if (roll(&s.d, 8) == 0)
            llm_engine_reset_prefix_cache(s.e);
    }
    while (llm_engine_unfinished(s.e) > 0)
        step_once(&s);
    s.is_over = true;
    if (hostile)
        pthread_join(thread, NULL);
    drain(&s);
    step_once(&s);                  /* gives the last blocks back */
    for (uint32_t i = 0; i < N_ASKED; i++)
        if (s.asked[i].n_last != 1)
            fail_msg("%s: question %u ended %u times", s.what, s.asked[i].question,
                     s.asked[i].n_last);
    assert_int_equal(llm_engine_stats(s.e, &stats), LLM_OK);
    assert_int_equal(stats.kv_blocks_used, 0);
    llm_engine_destroy(s.e);
    return stats.preemptions;
}

static void answers_are_those_of_calm(void **state)
{
    static const char *const names[] = { "llama", "mistral", "gemma3", "opt" };
    static const char *const blocks[] = { "2", "8", "16" };
    static world_t           worlds[12];
    uint64_t                 n_preempted = 0;

    for (uint32_t i = 0; i < n_storms; i++) {
        uint32_t k = (first_seed + i) % 12;
        if (worlds[k].name == NULL)
            make_world(&worlds[k], names[k % 4], blocks[k % 3]);
        n_preempted += storm(&worlds[k], first_seed + i);
    }
    assert_true(n_preempted > 0);
    for (uint32_t i = 0; i < 12; i++)
        free_world(&worlds[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_calm),
    };

    if (argc > 1)
        n_storms = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = (uint32_t)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
