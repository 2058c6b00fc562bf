/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_engines MODEL [OTHER_MODEL] - two engines in one process, each with its thread, memory and
 * options; with equal models both give the same text.  Afterwards every byte is back.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

typedef struct side {
    const char      *model;
    uint32_t         n_threads;
    _Atomic uint64_t bytes, peak;
    char             text[4096];
    size_t           text_len;
    llm_status_t     status;
    llm_error_t      err;
} side_t;

static void *counted(void *user, void *ptr, size_t old_size, size_t new_size)
{
    side_t  *side = user;
    void    *moved = NULL;
    uint64_t bytes;

    if (new_size == 0)
        free(ptr);
    else if ((moved = realloc(ptr, new_size)) == NULL)
        return NULL;
    bytes = atomic_fetch_add(&side->bytes, new_size - old_size) + new_size - old_size;
    if (bytes > atomic_load(&side->peak))
        atomic_store(&side->peak, bytes);
    return moved;
}

static void take(side_t *side, const llm_output_t *out)
{
    size_t room = sizeof side->text - 1 - side->text_len;
    size_t n = out->text_len < room ? out->text_len : room;

    memcpy(side->text + side->text_len, out->text, n);
    side->text_len += n;
}

static llm_status_t generate(side_t *side, llm_engine_t *engine)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    llm_status_t          st;
    const llm_output_t   *out;

    params.max_tokens = 24;
    req.text = "The future of AI is";
    req.text_len = LLM_CSTR;
    req.sampling = &params;
    st = llm_engine_add_request(engine, &req, NULL, &side->err);
    while (st == LLM_OK && llm_engine_unfinished(engine) > 0) {
        st = llm_engine_step(engine, &side->err);
        while ((out = llm_engine_next_output(engine)) != NULL)
            take(side, out);
    }
    return st;
}

static void *run(void *arg)
{
    side_t             *side = arg;
    llm_allocator_t     allocator = { counted, side };
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine;

    cfg.model = side->model;
    cfg.n_threads = side->n_threads;
    cfg.max_model_len = 512;
    cfg.max_num_seqs = 4;
    cfg.allocator = &allocator;
    side->status = llm_engine_create(&cfg, &engine, &side->err);
    if (side->status == LLM_OK)
        side->status = generate(side, engine);
    llm_engine_destroy(engine);
    return NULL;
}

int main(int argc, char **argv)
{
    static side_t sides[2];
    pthread_t     threads[2];
    int           failed = 0;

    if (argc < 2)
        return fprintf(stderr, "usage: two_engines MODEL [OTHER_MODEL]\n"), 2;
    for (int i = 0; i < 2; i++) {
        sides[i].model = argv[i + 1 < argc ? i + 1 : 1];
        sides[i].n_threads = (uint32_t)i + 1;
        if (pthread_create(&threads[i], NULL, run, &sides[i]) != 0)
            return fprintf(stderr, "no thread\n"), 1;
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        if (sides[i].status != LLM_OK)
            fprintf(stderr, "%s\n", sides[i].err.message);
        printf("engine %d, %u threads:%s\n  %.1f MiB at most, %llu bytes left\n", i,
               sides[i].n_threads, sides[i].text, (double)sides[i].peak / (1 << 20),
               (unsigned long long)sides[i].bytes);
        failed |= sides[i].status != LLM_OK || sides[i].bytes != 0;
    }
    return failed || (argc < 3 && strcmp(sides[0].text, sides[1].text) != 0);
}
