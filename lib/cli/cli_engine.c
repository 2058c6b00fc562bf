/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Without SA_RESTART, so that a read of the terminal returns. */
void lls_cli_catch_interrupts(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int lls_cli_interrupted(int clear)
{
    int was = interrupted;

    if (clear)
        interrupted = 0;
    return was;
}

static void log_line(void *user, int32_t level, const char *module, const char *line)
{
    static const char *const names[] = { "", "error: ", "warning: ", "", "" };

    (void)user;
    fprintf(stderr, "%s%s: %s\n", level >= 0 && level < 5 ? names[level] : "", module, line);
}

static int32_t show_loading(void *user, const llm_progress_t *p)
{
    int *shown = user;

    if (p->stage == LLM_STAGE_WEIGHTS && p->total > 0) {
        fprintf(stderr, "\rloading %3u %%", (unsigned)(100.0 * (double)p->done / (double)p->total));
        *shown = 1;
    }
    return lls_cli_interrupted(0);
}

llm_engine_t *lls_cli_open(const cli_t *cli)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine = NULL;
    llm_error_t         err;
    int                 shown = 0;
    llm_status_t        st;

    cfg.model = cli->model;
    cfg.options = cli->engine_options;
    cfg.n_options = cli->n_engine_options;
    cfg.log = log_line;
    if (!cli->quiet && isatty(STDERR_FILENO)) {
        cfg.progress = show_loading;
        cfg.progress_user = &shown;
    }
    st = llm_engine_create(&cfg, &engine, &err);
    if (shown)
        fprintf(stderr, "\r             \r");
    if (st != LLM_OK)
        fprintf(stderr, "llmserve: %s\n", err.message);
    return engine;
}

void lls_cli_params(llm_engine_t *engine, uint32_t max_tokens, llm_sampling_params_t *params)
{
    memset(params, 0, sizeof *params);
    params->struct_size = sizeof *params;
    llm_sampling_defaults(engine, params);
    params->max_tokens = max_tokens;
}

/* ---- One streamed request --------------------------------------------------- */

static int take(const llm_output_t *out, cli_answer_t *answer)
{
    char *grown = realloc(answer->text, answer->len + out->text_len + 1);

    if (grown == NULL)
        return CLI_FAILED;
    answer->text = grown;
    memcpy(grown + answer->len, out->text, out->text_len);
    answer->len += out->text_len;
    grown[answer->len] = '\0';
    answer->prompt_tokens = out->prompt_tokens;
    answer->cached_tokens = out->cached_tokens;
    answer->completion_tokens = out->completion_tokens;
    answer->seconds = (double)out->elapsed_us * 1e-6;
    answer->first_token_seconds = (double)out->first_token_us * 1e-6;
    fwrite(out->text, 1, out->text_len, stdout);
    fflush(stdout);
    if (out->error == NULL)
        return CLI_OK;
    fprintf(stderr, "llmserve: %s\n", out->error->message);
    return CLI_FAILED;
}

int lls_cli_stream(llm_engine_t *engine, const llm_request_t *request, cli_answer_t *answer)
{
    llm_request_id_t    id;
    llm_error_t         err;
    const llm_output_t *out;
    llm_status_t        st = llm_engine_add_request(engine, request, &id, &err);
    int                 code = CLI_OK;

    memset(answer, 0, sizeof *answer);
    while (st == LLM_OK && llm_engine_unfinished(engine) > 0) {
        if (lls_cli_interrupted(0) && !answer->interrupted) {
            answer->interrupted = 1;
            llm_engine_abort(engine, id);
        }
        st = llm_engine_step(engine, &err);
        while ((out = llm_engine_next_output(engine)) != NULL)
            code |= take(out, answer);
    }
    if (st == LLM_OK)
        return code;
    fprintf(stderr, "llmserve: %s\n", err.message);
    return CLI_FAILED;
}
