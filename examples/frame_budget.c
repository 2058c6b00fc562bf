/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_budget MODEL [BUDGET_MS] - a game loop that gives what is left of each frame to the model.
 *
 * Each frame of 1/30 s does its own work, then steps the engine while the budget lasts.  A step is
 * kept short by few tokens a step; one is begun only if the longest of late fits into what is left,
 * or if the frame has had none.  A second thread takes one of the two requests back while it runs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "llm.h"

#define FRAME_US 33333u
#define N_FRAMES 600u

typedef struct host {
    llm_engine_t    *engine;
    llm_request_id_t unwanted;
    atomic_uint      n_tokens;      /* of the unwanted request, for the other thread */
    llm_status_t     cancel_status;
} host_t;

typedef struct frames {
    uint32_t n, over;
    uint64_t steps, longest_step_us;
} frames_t;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = { (time_t)(us / 1000000u), (long)(us % 1000000u) * 1000 };

    nanosleep(&t, NULL);
}

/* The player has turned away: the line is no longer wanted. */
static void *cancel(void *arg)
{
    host_t *host = arg;

    while (atomic_load(&host->n_tokens) < 8)
        sleep_us(1000);
    host->cancel_status = llm_engine_abort(host->engine, host->unwanted);
    return NULL;
}

static void take(host_t *host, const llm_output_t *out)
{
    if (out->id == host->unwanted)
        atomic_store(&host->n_tokens, out->last ? UINT32_MAX : out->completion_tokens);
    if (out->last)
        printf("request %llu: %s after %u tokens\n", (unsigned long long)out->id,
               llm_finish_name(out->finish_reason), out->completion_tokens);
}

static llm_status_t one_frame(host_t *host, frames_t *f, uint64_t budget_us, llm_error_t *err)
{
    uint64_t            start = now_us(), recent_us = 0, end = start + budget_us;
    llm_status_t        st = LLM_OK;
    const llm_output_t *out;

    while (st == LLM_OK && llm_engine_unfinished(host->engine) > 0) {
        uint64_t before = now_us(), took;

        if (recent_us != 0 && before + recent_us > end)
            break;
        st = llm_engine_step(host->engine, err);
        while ((out = llm_engine_next_output(host->engine)) != NULL)
            take(host, out);
        took = now_us() - before;
        recent_us = took > recent_us ? took : recent_us;
        f->longest_step_us = took > f->longest_step_us ? took : f->longest_step_us;
        f->steps++;
    }
    f->over += now_us() > end;
    f->n++;
    if (now_us() < start + FRAME_US)
        sleep_us(start + FRAME_US - now_us());      /* stands for drawing */
    return st;
}

static llm_status_t add_both(host_t *host, llm_error_t *err)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    llm_status_t          st;

    params.max_tokens = 48;
    params.flags = LLM_SAMPLE_IGNORE_EOS;
    req.text = "The old blacksmith looked up from his anvil and said:";
    req.text_len = LLM_CSTR;
    req.sampling = &params;
    st = llm_engine_add_request(host->engine, &req, NULL, err);
    params.max_tokens = 400;
    req.text = "The tale of the seven kings is long. It begins";
    return st != LLM_OK ? st : llm_engine_add_request(host->engine, &req, &host->unwanted, err);
}

int main(int argc, char **argv)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    uint64_t            budget_us = argc > 2 ? strtoull(argv[2], NULL, 10) * 1000u : 20000u;
    frames_t            f = { 0 };
    host_t              host = { 0 };
    llm_error_t         err;
    llm_status_t        st;
    pthread_t           thread;

    if (argc < 2)
        return fprintf(stderr, "usage: frame_budget MODEL [BUDGET_MS]\n"), 2;
    cfg.model = argv[1];
    cfg.max_num_seqs = 2;
    cfg.max_model_len = 512;
    cfg.max_num_batched_tokens = 16;        /* a short step even while a prompt is read */
    if (llm_engine_create(&cfg, &host.engine, &err) != LLM_OK)
        return fprintf(stderr, "%s\n", err.message), 1;
    st = add_both(&host, &err);
    if (st == LLM_OK && pthread_create(&thread, NULL, cancel, &host) == 0) {
        while (st == LLM_OK && llm_engine_unfinished(host.engine) > 0 && f.n < N_FRAMES)
            st = one_frame(&host, &f, budget_us, &err);
        atomic_store(&host.n_tokens, UINT32_MAX);
        pthread_join(thread, NULL);
    }
    if (st != LLM_OK)
        fprintf(stderr, "%s\n", err.message);
    printf("%u frames, %u over the budget of %.0f ms, %llu steps, longest %.1f ms, cancel: %s\n",
           f.n, f.over, (double)budget_us / 1000, (unsigned long long)f.steps,
           (double)f.longest_step_us / 1000, llm_status_name(host.cancel_status));
    llm_engine_destroy(host.engine);
    return st != LLM_OK;
}
