/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_MAX_TOKENS 256u

/* The prompts, owned. */
typedef struct prompts {
    char **text;
    size_t n, cap;
} prompts_t;

static int push(prompts_t *p, const char *text, size_t len)
{
    if (p->n == p->cap) {
        size_t cap = p->cap != 0 ? 2 * p->cap : 64;
        char **grown = realloc(p->text, cap * sizeof *grown);

        if (grown == NULL)
            return CLI_FAILED;
        p->text = grown;
        p->cap = cap;
    }
    p->text[p->n] = strndup(text, len);
    return p->text[p->n++] != NULL ? CLI_OK : CLI_FAILED;
}

static int read_lines(prompts_t *p, const char *path)
{
    FILE  *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char  *line = NULL;
    size_t cap = 0;
    int    code = CLI_OK;

    if (f == NULL) {
        fprintf(stderr, "llmserve: %s: %s\n", path, strerror(errno));
        return CLI_FAILED;
    }
    for (ssize_t n; code == CLI_OK && (n = getline(&line, &cap, f)) > 0;) {
        size_t len = (size_t)n;

        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len > 0)
            code = push(p, line, len);
    }
    free(line);
    if (f != stdin)
        fclose(f);
    return code;
}

static int gather(const cli_t *cli, prompts_t *p)
{
    int code = CLI_OK;

    for (size_t i = 0; i < cli->n_words && code == CLI_OK; i++)
        code = push(p, cli->words[i], strlen(cli->words[i]));
    if (code == CLI_OK && (cli->file != NULL || cli->n_words == 0))
        code = read_lines(p, cli->file != NULL ? cli->file : "-");
    if (code == CLI_OK && p->n == 0) {
        fprintf(stderr, "llmserve run: no prompt\n");
        code = CLI_USAGE;
    }
    return code;
}

/* The prompt itself, or with --chat a chat request in JSON; owned. */
static char *body_of(const cli_t *cli, const char *prompt)
{
    json_t *messages, *body;
    char   *text;

    if (!cli->chat)
        return strdup(prompt);
    messages = json_array();
    if (cli->system != NULL)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s}", "role", "system", "content", cli->system));
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", prompt));
    body = json_pack("{s:o}", "messages", messages);
    text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;    /* NULL: not UTF-8 */
    json_decref(body);
    return text;
}

static void fill(const cli_t *cli, const llm_sampling_params_t *params, const char *body,
                 llm_request_t *req)
{
    *req = (llm_request_t){ .struct_size = sizeof *req };
    if (cli->chat) {
        req->chat = body;
        req->chat_len = LLM_CSTR;
    } else {
        req->text = body;
        req->text_len = LLM_CSTR;
    }
    req->sampling = params;
    req->options = cli->request_options;
    req->n_options = cli->n_request_options;
}

static void report(const cli_t *cli, uint64_t prompt_tokens, uint64_t new_tokens, double seconds)
{
    if (!cli->quiet && prompt_tokens > 0)
        fprintf(stderr, "%llu prompt and %llu new tokens in %.2f s, %.1f new tokens/s\n",
                (unsigned long long)prompt_tokens, (unsigned long long)new_tokens, seconds,
                (double)new_tokens / (seconds + 1e-9));
}

static int run_one(const cli_t *cli, llm_engine_t *engine, const llm_request_t *req)
{
    cli_answer_t answer;
    int          code = lls_cli_stream(engine, req, &answer);

    printf("\n");
    report(cli, answer.prompt_tokens, answer.completion_tokens, answer.seconds);
    free(answer.text);
    return answer.interrupted ? CLI_INTERRUPTED : code;
}

/* ---- Several prompts -------------------------------------------------------- */

typedef struct meter {
    int      show;
    double   seconds;
    uint64_t prompt_tokens, completion_tokens;
} meter_t;

static int32_t on_progress(void *user, const llm_progress_t *p)
{
    meter_t *m = user;

    m->seconds = (double)p->elapsed_us * 1e-6;
    m->prompt_tokens = p->prompt_tokens;
    m->completion_tokens = p->completion_tokens;
    if (m->show)
        fprintf(stderr, "\r%llu/%llu  %.0f new tokens/s ", (unsigned long long)p->done,
                (unsigned long long)p->total, (double)p->completion_tokens / (m->seconds + 1e-9));
    return lls_cli_interrupted(0);
}

static int print_batch(const llm_batch_t *batch, const prompts_t *prompts)
{
    int code = CLI_OK;

    for (size_t i = 0; i < prompts->n; i++) {
        const llm_output_t *out;

        printf("%s> %s\n", i > 0 ? "\n" : "", prompts->text[i]);
        for (size_t k = 0; (out = llm_batch_output(batch, i, k)) != NULL; k++) {
            fwrite(out->text, 1, out->text_len, stdout);
            printf("\n");
            if (out->error != NULL) {
                fprintf(stderr, "llmserve: prompt %zu: %s\n", i + 1, out->error->message);
                code = CLI_FAILED;
            }
        }
    }
    return code;
}

static int run_batch(const cli_t *cli, llm_engine_t *engine, const llm_request_t *requests,
                     const prompts_t *prompts)
{
    const llm_request_t **pointers = calloc(prompts->n, sizeof(const llm_request_t *));
    meter_t               meter = { .show = !cli->quiet && isatty(STDERR_FILENO) };
    llm_batch_t          *batch = NULL;
    llm_error_t           err = { 0 };
    llm_status_t          st = LLM_ERR_NO_MEMORY;
    int                   code = CLI_OK;

    for (size_t i = 0; pointers != NULL && i < prompts->n; i++)
        pointers[i] = &requests[i];
    if (pointers != NULL)
        st = llm_generate_batch(engine, pointers, prompts->n, on_progress, &meter, &batch, &err);
    if (meter.show)
        fprintf(stderr, "\r%40s\r", "");
    if (batch != NULL)
        code = print_batch(batch, prompts);
    if (st != LLM_OK && st != LLM_ERR_CANCELLED) {
        fprintf(stderr, "llmserve: %s\n", err.message);
        code = CLI_FAILED;
    }
    report(cli, meter.prompt_tokens, meter.completion_tokens, meter.seconds);
    llm_batch_destroy(batch);
    free(pointers);
    return st == LLM_ERR_CANCELLED ? CLI_INTERRUPTED : code;
}

static int run_prompts(const cli_t *cli, llm_engine_t *engine, const prompts_t *prompts)
{
    llm_sampling_params_t params;
    llm_request_t        *requests = calloc(prompts->n, sizeof *requests);
    char                **bodies = calloc(prompts->n, sizeof *bodies);
    int                   code = requests != NULL && bodies != NULL ? CLI_OK : CLI_FAILED;

    lls_cli_params(engine, RUN_MAX_TOKENS, &params);
    for (size_t i = 0; i < prompts->n && code == CLI_OK; i++) {
        bodies[i] = body_of(cli, prompts->text[i]);
        if (bodies[i] == NULL) {
            fprintf(stderr, "llmserve: prompt %zu is not UTF-8\n", i + 1);
            code = CLI_FAILED;
        } else
            fill(cli, &params, bodies[i], &requests[i]);
    }
    if (code == CLI_OK)
        code = prompts->n == 1 ? run_one(cli, engine, requests)
                               : run_batch(cli, engine, requests, prompts);
    for (size_t i = 0; bodies != NULL && i < prompts->n; i++)
        free(bodies[i]);
    free(bodies);
    free(requests);
    return code;
}

int lls_cli_run(const cli_t *cli)
{
    prompts_t     prompts = { 0 };
    llm_engine_t *engine;
    int           code = gather(cli, &prompts);

    if (code == CLI_OK) {
        lls_cli_catch_interrupts();
        engine = lls_cli_open(cli);
        code = engine != NULL ? run_prompts(cli, engine, &prompts) : CLI_FAILED;
        llm_engine_destroy(engine);
    }
    for (size_t i = 0; i < prompts.n; i++)
        free(prompts.text[i]);
    free(prompts.text);
    return code;
}
