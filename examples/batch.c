/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch MODEL IN.jsonl OUT.jsonl [NAME=VALUE...] - answers the prompts of a JSONL file.
 *
 * A line of IN is {"id": "a", "prompt": "..."} or {"id": "b", "messages": [...]}, with max_tokens,
 * temperature, top_p, top_k and seed where wanted; without an id, the number of the line is one.
 * A line of OUT is written as soon as its answer is there.  Run again after an interruption it goes
 * on with what OUT does not have yet.  NAME=VALUE are options of the engine.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "llm.h"

#define MAX_IN_FLIGHT 512

typedef struct batch {
    llm_engine_t *engine;
    FILE         *in, *out;
    json_t       *done;         /* ids that OUT has; an object used as a set */
    size_t        line_number, n_lines, n_before, n_finished, n_failed;
    double        started, shown;
} batch_t;

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- What is there already ----------------------------------------------- */

/* Reads OUT of an earlier run and cuts off a line that was being written when that run ended. */
static int read_done(batch_t *b, const char *path)
{
    char  *line = NULL;
    size_t cap = 0;
    long   end = 0;
    int    failed;

    b->done = json_object();
    b->out = fopen(path, "a+");
    if (b->out == NULL)
        return -1;
    rewind(b->out);
    for (ssize_t n; (n = getline(&line, &cap, b->out)) > 0 && line[n - 1] == '\n';) {
        json_t     *record = json_loads(line, 0, NULL);
        const char *id = json_string_value(json_object_get(record, "id"));

        if (id != NULL)
            json_object_set_new(b->done, id, json_true());
        json_decref(record);
        end = ftell(b->out);
    }
    free(line);
    failed = fflush(b->out) != 0 || ftruncate(fileno(b->out), end) != 0 ||
             fseek(b->out, 0, SEEK_END) != 0;
    b->n_before = json_object_size(b->done);
    return failed ? -1 : 0;
}

static size_t count_lines(FILE *f)
{
    size_t n = 0;
    int    c, last = '\n';

    for (; (c = getc(f)) != EOF; last = c)
        n += c == '\n';
    rewind(f);
    return n + (last != '\n');
}

/* ---- Results -------------------------------------------------------------- */

static void write_record(batch_t *b, json_t *record)
{
    json_dumpf(record, b->out, JSON_COMPACT);
    fputc('\n', b->out);
    fflush(b->out);
    json_decref(record);
}

static void write_error(batch_t *b, const char *id, const char *message)
{
    write_record(b, json_pack("{s:s, s:s}", "id", id, "error", message));
    b->n_finished++;
    b->n_failed++;
}

static void write_output(batch_t *b, const llm_output_t *out)
{
    char *id = out->user_data;

    if (out->finish_reason == LLM_FINISH_ABORT && interrupted) {
        free(id);       /* not recorded, so the next run takes it up */
        return;
    }
    if (out->error != NULL)
        write_error(b, id, out->error->message);
    else {
        write_record(b, json_pack("{s:s, s:s%, s:s, s:i, s:i}", "id", id, "text", out->text,
                                  out->text_len, "finish_reason",
                                  llm_finish_name(out->finish_reason), "prompt_tokens",
                                  (int)out->prompt_tokens, "completion_tokens",
                                  (int)out->completion_tokens));
        b->n_finished++;
    }
    free(id);
}

static void show_progress(batch_t *b, int always)
{
    llm_stats_t stats = LLM_INIT(llm_stats_t);
    double      t = now();
    size_t      done = b->n_before + b->n_finished;
    int         bar = b->n_lines == 0 ? 30 : (int)(30 * done / b->n_lines);

    if (!always && t - b->shown < (isatty(2) ? 0.1 : 5.0))
        return;
    b->shown = t;
    llm_engine_stats(b->engine, &stats);
    fprintf(stderr, "%s[%.*s%.*s] %zu/%zu  %llu prompt + %llu new tokens  %.0f new tokens/s%s",
            isatty(2) ? "\r" : "", bar, "##############################", 30 - bar,
            "..............................", done, b->n_lines,
            (unsigned long long)stats.prompt_tokens, (unsigned long long)stats.completion_tokens,
            (double)stats.completion_tokens / (t - b->started + 1e-9),
            isatty(2) && !always ? "" : "\n");
}

/* ---- Requests ------------------------------------------------------------- */

static void read_params(const json_t *line, llm_sampling_params_t *params)
{
    json_t *seed = json_object_get(line, "seed");

    params->max_tokens = (uint32_t)json_integer_value(json_object_get(line, "max_tokens"));
    params->temperature = (float)json_number_value(json_object_get(line, "temperature"));
    params->top_p = (float)json_number_value(json_object_get(line, "top_p"));
    params->top_k = (uint32_t)json_integer_value(json_object_get(line, "top_k"));
    params->seed = (uint64_t)json_integer_value(seed);
    params->flags = seed != NULL ? LLM_SAMPLE_SEEDED : 0;
    if (params->max_tokens == 0)
        params->max_tokens = 256;
}

/* Queues one line; LLM_ERR_BUSY if the engine wants to be stepped first. */
static llm_status_t add_line(batch_t *b, const json_t *line, char *id)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    json_t               *prompt = json_object_get(line, "prompt");
    char                 *chat = NULL;
    llm_status_t          st;
    llm_error_t           err;

    read_params(line, &params);
    if (prompt != NULL) {
        req.text = json_string_value(prompt);
        req.text_len = json_string_length(prompt);
    } else {
        chat = json_dumps(line, JSON_COMPACT);
        req.chat = chat;
        req.chat_len = LLM_CSTR;
    }
    req.sampling = &params;
    req.output_kind = LLM_OUTPUT_FINAL;
    req.user_data = id;
    st = llm_engine_add_request(b->engine, &req, NULL, &err);
    free(chat);
    if (st != LLM_OK && st != LLM_ERR_BUSY) {
        write_error(b, id, err.message);
        free(id);
    }
    return st;
}

static llm_status_t step(batch_t *b, llm_error_t *err)
{
    llm_status_t        st = llm_engine_step(b->engine, err);
    const llm_output_t *out;

    while ((out = llm_engine_next_output(b->engine)) != NULL)
        write_output(b, out);
    show_progress(b, 0);
    return st;
}

static char *id_of(const json_t *line, size_t number)
{
    const json_t *given = json_object_get(line, "id");
    char          text[64];

    if (json_is_string(given))
        return strdup(json_string_value(given));
    snprintf(text, sizeof text, "%lld",
             json_is_integer(given) ? (long long)json_integer_value(given) : (long long)number);
    return strdup(text);
}

static llm_status_t feed_line(batch_t *b, const char *text, llm_error_t *err)
{
    llm_status_t st = LLM_OK;
    json_error_t where;
    json_t      *line = json_loads(text, 0, &where);
    char        *id = id_of(line, b->line_number);

    if (json_object_get(b->done, id) != NULL)
        free(id);
    else if (!json_is_object(line)) {
        write_error(b, id, where.text);
        free(id);
    } else {
        while (st == LLM_OK && llm_engine_unfinished(b->engine) >= MAX_IN_FLIGHT && !interrupted)
            st = step(b, err);
        while (st == LLM_OK && add_line(b, line, id) == LLM_ERR_BUSY)
            st = step(b, err);
    }
    json_decref(line);
    return st;
}

static llm_status_t run(batch_t *b, llm_error_t *err)
{
    llm_status_t st = LLM_OK;
    char        *line = NULL;
    size_t       cap = 0;

    while (st == LLM_OK && !interrupted && getline(&line, &cap, b->in) > 0) {
        b->line_number++;
        if (line[strspn(line, " \t\r\n")] != '\0')
            st = feed_line(b, line, err);
    }
    free(line);
    while (st == LLM_OK && llm_engine_unfinished(b->engine) > 0) {
        if (interrupted)
            llm_engine_abort_all(b->engine);
        st = step(b, err);
    }
    show_progress(b, 1);
    return st;
}

/* ---- main ------------------------------------------------------------------ */

static llm_status_t create(batch_t *b, const char *model, int n, char **pairs, llm_error_t *err)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_option_t       *options = calloc((size_t)n + 1, sizeof *options);
    llm_status_t        st;

    for (int i = 0; i < n; i++) {
        char *equals = strchr(pairs[i], '=');

        if (equals != NULL)
            *equals = '\0';
        options[i].name = pairs[i];
        options[i].value = equals != NULL ? equals + 1 : "true";
    }
    cfg.model = model;
    cfg.options = options;
    cfg.n_options = (size_t)n;
    st = llm_engine_create(&cfg, &b->engine, err);
    free(options);
    return st;
}

static void close_batch(batch_t *b)
{
    llm_engine_destroy(b->engine);
    json_decref(b->done);
    if (b->out != NULL)
        fclose(b->out);
    if (b->in != NULL)
        fclose(b->in);
}

int main(int argc, char **argv)
{
    batch_t      b = { 0 };
    llm_error_t  err;
    llm_status_t st;

    if (argc < 4)
        return fprintf(stderr, "usage: batch MODEL IN.jsonl OUT.jsonl [NAME=VALUE...]\n"), 2;
    b.in = fopen(argv[2], "r");
    if (b.in == NULL || read_done(&b, argv[3]) != 0) {
        perror(b.in == NULL ? argv[2] : argv[3]);
        close_batch(&b);
        return 1;
    }
    b.n_lines = count_lines(b.in);
    signal(SIGINT, on_signal);
    st = create(&b, argv[1], argc - 4, argv + 4, &err);
    b.started = now();
    if (st == LLM_OK)
        st = run(&b, &err);
    if (st != LLM_OK)
        fprintf(stderr, "%s\n", err.message);
    if (b.n_failed > 0)
        fprintf(stderr, "%zu of %zu failed; see \"error\" in %s\n", b.n_failed, b.n_lines, argv[3]);
    close_batch(&b);
    return interrupted ? 130 : st != LLM_OK || b.n_failed > 0;
}
