/* SPDX-License-Identifier: Apache-2.0 */
/* Engines side by side: several in a process, each stepped by a thread of its own, and in several
 * processes.  Each gives what it gives alone, has the threads that it was given, and uses no CPU
 * between steps; a process forked off has none of its parent's engines, and may make its own. */
#include "engine/support.h"

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_ENGINES  3
#define N_REQUESTS 8
#define N_TOKENS   12
#define WIDTH      2
#define PATIENCE_S 120              /* for a child that hangs */

/* ---- What an engine answers ------------------------------------------------------------------ */

typedef struct answers {
    int32_t       tokens[N_REQUESTS][N_TOKENS];
    llm_logprob_t logprobs[N_REQUESTS][N_TOKENS * WIDTH];
} answers_t;

typedef struct worker {
    llm_engine_t *e;
    answers_t     got;
    bool          failed;
} worker_t;

static const struct { const char *model, *threads; } kinds[N_ENGINES] = {
    { "llama", "2" }, { "gemma3", "3" }, { "opt", "1" } };

static llm_engine_t *engine_of(uint32_t kind)
{
    char path[256];

    snprintf(path, sizeof path, "%s/golden/%s", TEST_DIR, kinds[kind].model);
    return make_engine(path, "bfloat16",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "160", "cpu-threads",
                               kinds[kind].threads, "num-gpu-blocks-override", "100"),
                       NULL);
}

/* Asserts nothing: it runs in other threads and processes too. */
static void *generate(void *arg)
{
    worker_t            *w = arg;
    const llm_request_t *list[N_REQUESTS];
    llm_batch_t         *b = NULL;
    ask_t                a[N_REQUESTS];

    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        make_ask(&a[i], 96, 10 + 9 * i, i, N_TOKENS);
        a[i].sp.temperature = i % 2 ? 1.0f : 0.0f;
        a[i].sp.flags |= LLM_SAMPLE_SEEDED;
        a[i].sp.seed = i;
        a[i].sp.n_logprobs = WIDTH;
        list[i] = &a[i].r;
    }
    memset(&w->got, 0, sizeof w->got);
    w->failed = llm_generate_batch(w->e, list, N_REQUESTS, NULL, NULL, &b, NULL) != LLM_OK;
    for (uint32_t i = 0; !w->failed && i < N_REQUESTS; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        w->failed = o->error != NULL || o->n_tokens != N_TOKENS || o->n_logprobs != WIDTH;
        if (w->failed)
            break;
        memcpy(w->got.tokens[i], o->tokens, sizeof w->got.tokens[i]);
        memcpy(w->got.logprobs[i], o->logprobs, sizeof w->got.logprobs[i]);
    }
    llm_batch_destroy(b);
    return NULL;
}

static answers_t alone[N_ENGINES];

static int find_what_each_gives_alone(void **state)
{
    static worker_t w;

    for (uint32_t i = 0; i < N_ENGINES; i++) {
        w.e = engine_of(i);
        generate(&w);
        assert_false(w.failed);
        alone[i] = w.got;
        llm_engine_destroy(w.e);
    }
    assert_memory_not_equal(&alone[0], &alone[1], sizeof alone[0]);
    return 0;
}

static void same_as_alone(const worker_t *w, uint32_t kind)
{
    assert_false(w->failed);
    assert_memory_equal(&w->got, &alone[kind], sizeof alone[kind]);
}

/* ---- In one process -------------------------------------------------------------------------- */

static uint32_t count_threads(void)
{
    DIR     *dir = opendir("/proc/self/task");
    uint32_t n = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Six threads of three engines, of which three would spin if they did not sleep. */
static void nobody_uses_cpu_between_steps(void)
{
    struct rusage before, after;
    double        cpu;

    usleep(100000);
    cpu = cpu_seconds();
    getrusage(RUSAGE_SELF, &before);
    usleep(400000);
    getrusage(RUSAGE_SELF, &after);
    cpu = cpu_seconds() - cpu;
    assert_true(cpu < 0.1);
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 40);
}

static void engines_of_one_process_keep_their_bits(void **state)
{
    static worker_t w[N_ENGINES];
    pthread_t       threads[N_ENGINES];
    uint32_t        before = count_threads();

    for (uint32_t i = 0; i < N_ENGINES; i++)
        w[i].e = engine_of(i);
    if (!SANITIZED && !EMULATED)    /* which have threads of their own */
        assert_int_equal(count_threads() - before, (2 - 1) + (3 - 1) + (1 - 1));
    for (uint32_t again = 0; again < 4; again++) {
        for (uint32_t i = 0; i < N_ENGINES; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, generate, &w[i]), 0);
        for (uint32_t i = 0; i < N_ENGINES; i++)
            pthread_join(threads[i], NULL);
        for (uint32_t i = 0; i < N_ENGINES; i++)
            same_as_alone(&w[i], i);
    }
    if (!SANITIZED && !EMULATED)
        nobody_uses_cpu_between_steps();
    for (uint32_t i = 0; i < N_ENGINES; i++)
        llm_engine_destroy(w[i].e);
}

/* ---- In several processes -------------------------------------------------------------------- */

/* In the child: makes an engine and serves.  0 = it gave what it gives alone. */
static int serve(uint32_t kind)
{
    static worker_t w;

    w.e = engine_of(kind);
    generate(&w);
    llm_engine_destroy(w.e);
    return w.failed || memcmp(&w.got, &alone[kind], sizeof w.got) != 0;
}

static pid_t fork_child(int (*what)(uint32_t), uint32_t arg)
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(PATIENCE_S);
        _exit(what(arg));
    }
    assert_true(pid > 0);
    return pid;
}

static void expect_success(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with status %#x", (unsigned)status);
}

static void engines_of_several_processes_keep_their_bits(void **state)
{
    static worker_t w;
    pid_t           child[2];

    for (uint32_t i = 0; i < 2; i++)
        child[i] = fork_child(serve, i);
    w.e = engine_of(2);
    generate(&w);
    same_as_alone(&w, 2);
    llm_engine_destroy(w.e);
    for (uint32_t i = 0; i < 2; i++)
        expect_success(child[i]);
}

static llm_engine_t *inherited;

static bool refuses(llm_status_t st, const llm_error_t *err)
{
    return st == LLM_ERR_STATE && err->status == st && strstr(err->message, "fork()") != NULL &&
           strchr(err->message, '\n') == NULL;
}

/* All functions that may take long, wait or say why; the number of the one that did not refuse. */
static int call_all(uint32_t kind)
{
    llm_beam_params_t    beam = LLM_INIT(llm_beam_params_t);
    llm_stats_t          stats = LLM_INIT(llm_stats_t);
    const llm_request_t *list[1];
    llm_request_id_t     id = 1;
    llm_batch_t         *b = NULL;
    llm_error_t          err;
    ask_t                a;
    char                 text[100];
    size_t               n;

    make_ask(&a, 96, 10, 1, 4);
    list[0] = &a.r;
    beam.beam_width = 2;
    beam.max_tokens = 2;
    if (!refuses(llm_engine_step(inherited, &err), &err))
        return 1;
    if (!refuses(llm_engine_add_request(inherited, &a.r, &id, &err), &err) || id != 0)
        return 2;
    if (!refuses(llm_generate_batch(inherited, list, 1, NULL, NULL, &b, &err), &err) || b != NULL)
        return 3;
    if (!refuses(llm_beam_search(inherited, list, 1, &beam, NULL, NULL, &b, &err), &err))
        return 4;
    if (!refuses(llm_engine_pause(inherited, LLM_PAUSE_WAIT, &err), &err) ||
        !refuses(llm_engine_resume(inherited, &err), &err))
        return 5;
    if (llm_engine_wait(inherited, -1) != LLM_ERR_STATE ||
        llm_engine_abort(inherited, 1) != LLM_ERR_STATE ||
        llm_engine_reset_prefix_cache(inherited) != LLM_ERR_STATE ||
        llm_engine_stats(inherited, &stats) != LLM_ERR_STATE ||
        llm_engine_metrics(inherited, text, sizeof text, &n) != LLM_ERR_STATE)
        return 6;
    if (llm_engine_unfinished(inherited) != 0 || llm_engine_next_output(inherited) != NULL)
        return 7;
    llm_engine_abort_all(inherited);
    llm_engine_notify(inherited);
    llm_engine_destroy(inherited);
    return serve(kind) == 0 ? 0 : 8;    /* one of its own it may have */
}

/* Forked off while the parent's engine has work to do, which goes on. */
static void a_child_is_refused_and_makes_its_own(void **state)
{
    static worker_t w;
    ask_t           a;
    pid_t           child;

    if (EMULATED) {
        print_message("qemu promises MADV_WIPEONFORK and does not keep it\n");
        skip();
    }
    w.e = inherited = engine_of(0);
    make_ask(&a, 96, 20, 3, 30);
    add_ask(w.e, &a);
    step_engine(w.e);
    child = fork_child(call_all, SANITIZED ? 2 : 1);    /* TSan allows no threads after this */
    run_dry(w.e);
    generate(&w);
    same_as_alone(&w, 0);
    expect_success(child);
    llm_engine_destroy(w.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_of_one_process_keep_their_bits),
        cmocka_unit_test(engines_of_several_processes_keep_their_bits),
        cmocka_unit_test(a_child_is_refused_and_makes_its_own),
    };

    return cmocka_run_group_tests(tests, find_what_each_gives_alone, NULL);
}
