/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score MODEL FILE [WINDOW] - the perplexity of a text file: how surprised the model is by it.
 *
 * A text longer than WINDOW tokens (0 or nothing: the model's context) is scored in windows that
 * overlap by half, so that every token but the first ones has at least WINDOW / 2 tokens before it
 * and is counted once.  Nothing is generated: LLM_REQUEST_PREFILL_ONLY with the log-probabilities
 * of the prompt.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

typedef struct text {
    int32_t *tokens;
    size_t   n;
} text_t;

typedef struct window {
    size_t first, n, seen;      /* its first `seen` tokens are another window's */
} window_t;

static int complain(const llm_error_t *err)
{
    fprintf(stderr, "score: %s\n", err->message);
    return 1;
}

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    long  size;

    if (f != NULL && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0) {
        rewind(f);
        data = malloc((size_t)size + 1);
        *len = data == NULL ? 0 : fread(data, 1, (size_t)size, f);
    }
    if (f != NULL)
        fclose(f);
    if (data == NULL)
        fprintf(stderr, "score: %s cannot be read\n", path);
    return data;
}

static int tokenise(const llm_engine_t *engine, const char *path, text_t *text)
{
    const llm_tokenizer_t *t = llm_engine_tokenizer(engine);
    size_t                 len;
    char                  *data = read_file(path, &len);
    llm_error_t            err = { .message = "out of memory" };
    int                    failed = data == NULL;

    if (!failed && llm_tokenizer_encode(t, data, len, 0, NULL, 0, &text->n, &err) == LLM_OK)
        text->tokens = malloc((text->n + 1) * sizeof *text->tokens);
    if (!failed && (text->tokens == NULL ||
                    llm_tokenizer_encode(t, data, len, 0, text->tokens, text->n, &text->n,
                                         &err) != LLM_OK))
        failed = complain(&err);
    free(data);
    if (!failed && text->n < 2) {
        fprintf(stderr, "score: %s has %zu tokens; two are needed\n", path, text->n);
        failed = 1;
    }
    return failed;
}

/* The windows of a text; returns how many. */
static size_t cut(const text_t *text, size_t size, window_t **windows)
{
    size_t step = size / 2, n = text->n <= size ? 1 : 1 + (text->n - size + step - 1) / step;

    *windows = calloc(n, sizeof **windows);
    for (size_t i = 0; *windows != NULL && i < n; i++) {
        size_t end = i + 1 < n ? i * step + size : text->n;
        (*windows)[i] = (window_t){ i * step, end - i * step, i == 0 ? 1 : size - step };
    }
    return n;
}

/* Adds -log p of what the window counts. */
static int add_up(const window_t *w, const llm_output_t *o, double *sum, size_t *n)
{
    if (o->error != NULL)
        return complain(o->error);
    for (size_t i = w->seen; i < w->n; i++)
        *sum -= (double)o->prompt_logprobs[i * o->n_prompt_logprobs].logprob;
    *n += w->n - w->seen;
    return 0;
}

static int score(llm_engine_t *engine, const text_t *text, const window_t *windows, size_t n)
{
    llm_sampling_params_t  sampling = LLM_INIT(llm_sampling_params_t);
    llm_request_t         *requests = calloc(n, sizeof *requests);
    const llm_request_t  **list = calloc(n, sizeof *list);
    llm_batch_t           *batch = NULL;
    llm_error_t            err = { .message = "out of memory" };
    double                 sum = 0;
    size_t                 n_counted = 0;
    int                    failed = 0;

    sampling.n_prompt_logprobs = 1;     /* the one of the token that is there */
    for (size_t i = 0; requests != NULL && list != NULL && i < n; i++) {
        requests[i] = (llm_request_t)LLM_INIT(llm_request_t);
        requests[i].flags = LLM_REQUEST_PREFILL_ONLY;
        requests[i].tokens = text->tokens + windows[i].first;
        requests[i].n_tokens = windows[i].n;
        requests[i].sampling = &sampling;
        list[i] = &requests[i];
    }
    if (requests == NULL || list == NULL ||
        llm_generate_batch(engine, list, n, NULL, NULL, &batch, &err) != LLM_OK)
        failed = complain(&err);
    for (size_t i = 0; !failed && i < n; i++)
        failed = add_up(&windows[i], llm_batch_output(batch, i, 0), &sum, &n_counted);
    if (!failed)
        printf("%zu tokens in %zu windows: %.4f nats a token, perplexity %.3f\n", text->n, n,
               sum / (double)n_counted, exp(sum / (double)n_counted));
    llm_batch_destroy(batch);
    free(list);
    free(requests);
    return failed;
}

static int run(llm_engine_t *engine, const char *path, size_t size)
{
    llm_plan_t plan = LLM_INIT(llm_plan_t);
    text_t     text = { NULL, 0 };
    window_t  *windows = NULL;
    size_t     n;
    int        failed = llm_engine_plan(engine, &plan) != LLM_OK || tokenise(engine, path, &text);

    if (size == 0 || size > plan.max_model_len)
        size = plan.max_model_len;
    if (!failed) {
        n = cut(&text, size, &windows);
        failed = windows == NULL || score(engine, &text, windows, n);
    }
    free(windows);
    free(text.tokens);
    return failed;
}

int main(int argc, char **argv)
{
    llm_engine_config_t config = LLM_INIT(llm_engine_config_t);
    size_t              size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    llm_engine_t       *engine;
    llm_error_t         err;
    int                 failed;

    if (argc < 3 || argc > 4 || (size > 0 && size < 4)) {
        fprintf(stderr, "usage: score MODEL FILE [WINDOW]    a window has 4 tokens or more\n");
        return 2;
    }
    config.model = argv[1];
    if (llm_engine_create(&config, &engine, &err) != LLM_OK)
        return complain(&err);
    failed = run(engine, argv[2], size);
    llm_engine_destroy(engine);
    return failed;
}
