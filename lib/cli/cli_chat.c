/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <histedit.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define LOOK_MS 100

/* libedit on a terminal; plain lines, without a prompt, from anything else. */
typedef struct input {
    EditLine *edit;
    History  *history;
    char     *line;             /* of getline */
    size_t    cap;
} input_t;

typedef struct session {
    const cli_t  *cli;
    llm_engine_t *engine;
    json_t       *messages;
} session_t;

/* ---- Lines ------------------------------------------------------------------ */

static char *prompt_text(EditLine *edit)
{
    static char text[] = "> ";

    (void)edit;
    return text;
}

/* libedit's own reader retries after a signal; this one ends the line, so Ctrl-C drops it.  It
 * looks for one now and then, because it may come just before the wait. */
static int read_char(EditLine *edit, wchar_t *out)
{
    mbstate_t     state = { 0 };
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    char          byte;
    ssize_t       n;

    (void)edit;
    for (;;) {
        if (lls_cli_interrupted(0))
            return -1;
        if (poll(&p, 1, LOOK_MS) <= 0)
            continue;
        n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        if (byte == '\0')           /* Ctrl-D typed before the terminal gave single characters */
            return 0;
        switch (mbrtowc(out, &byte, 1, &state)) {
        case (size_t)-2: break;     /* the character goes on */
        case (size_t)-1: memset(&state, 0, sizeof state); break;
        default: return 1;
        }
    }
}

static void open_input(input_t *in)
{
    HistEvent event;

    memset(in, 0, sizeof *in);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return;
    in->edit = el_init("llmserve", stdin, stdout, stderr);
    in->history = history_init();
    if (in->edit == NULL || in->history == NULL)
        return;
    history(in->history, &event, H_SETSIZE, 1000);
    el_set(in->edit, EL_PROMPT, prompt_text);
    el_set(in->edit, EL_EDITOR, "emacs");
    el_set(in->edit, EL_HIST, history, in->history);
    el_set(in->edit, EL_GETCFN, read_char);
}

static void close_input(input_t *in)
{
    if (in->history != NULL)
        history_end(in->history);
    if (in->edit != NULL)
        el_end(in->edit);
    free(in->line);
}

/* The next line without its end, valid until the next call; NULL at the end of input. */
static char *next_line(input_t *in)
{
    HistEvent event;
    ssize_t   n;

    if (in->edit == NULL) {
        n = getline(&in->line, &in->cap, stdin);
    } else {
        int         count = 0;
        const char *got = el_gets(in->edit, &count);

        while (got == NULL && lls_cli_interrupted(1)) {     /* Ctrl-C: a new line */
            printf("\n");
            el_reset(in->edit);
            got = el_gets(in->edit, &count);
        }
        n = got != NULL && count > 0 ? count : -1;
        if (n > 1)
            history(in->history, &event, H_ENTER, got);
        free(in->line);
        in->line = got != NULL ? strdup(got) : NULL;
    }
    if (n <= 0 || in->line == NULL)
        return NULL;
    in->line[strcspn(in->line, "\r\n")] = '\0';
    return in->line;
}

/* ---- Conversation ----------------------------------------------------------- */

static int append(session_t *s, const char *role, const char *text)
{
    return json_array_append_new(s->messages,
                                 json_pack("{s:s, s:s}", "role", role, "content", text));
}

/* Begins anew; system NULL means none. */
static void reset(session_t *s, const char *system)
{
    json_array_clear(s->messages);
    if (system != NULL && system[0] != '\0')
        append(s, "system", system);
}

static const char *system_of(const session_t *s)
{
    const json_t *first = json_array_get(s->messages, 0);
    const char   *role = json_string_value(json_object_get(first, "role"));

    return role != NULL && strcmp(role, "system") == 0
               ? json_string_value(json_object_get(first, "content"))
               : NULL;
}

static int ask(session_t *s, const char *line)
{
    llm_sampling_params_t params;
    llm_request_t         req = LLM_INIT(llm_request_t);
    cli_answer_t          answer;
    json_t               *body;
    char                 *chat;
    int                   code;

    if (append(s, "user", line) != 0) {
        fprintf(stderr, "llmserve: that is not UTF-8\n");
        return CLI_OK;
    }
    body = json_pack("{s:O}", "messages", s->messages);
    chat = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    lls_cli_params(s->engine, UINT32_MAX, &params);
    req.chat = chat;
    req.chat_len = LLM_CSTR;
    req.sampling = &params;
    req.options = s->cli->request_options;
    req.n_options = s->cli->n_request_options;
    code = lls_cli_stream(s->engine, &req, &answer);
    lls_cli_interrupted(1);
    free(chat);
    printf("%s\n", answer.interrupted ? " [stopped]" : "");
    if (answer.text != NULL)
        append(s, "assistant", answer.text);
    else
        json_array_remove(s->messages, json_array_size(s->messages) - 1);
    if (!s->cli->quiet && code == CLI_OK)
        fprintf(stderr, "[%u prompt tokens, %u of them cached; %u new; first in %.2f s, %.1f/s]\n",
                answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens,
                answer.first_token_seconds, answer.completion_tokens / (answer.seconds + 1e-9));
    free(answer.text);
    return code;
}

/* Non-zero: leave. */
static int obey(session_t *s, const char *line)
{
    if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
        return 1;
    if (strcmp(line, "/reset") == 0) {
        char *system = system_of(s) != NULL ? strdup(system_of(s)) : NULL;

        reset(s, system);
        free(system);
        fprintf(stderr, "[forgotten]\n");
    } else if (strncmp(line, "/system", 7) == 0 && (line[7] == ' ' || line[7] == '\0')) {
        reset(s, line + 7 + strspn(line + 7, " "));
        fprintf(stderr, "[system message %s; begun anew]\n", system_of(s) ? "set" : "removed");
    } else
        fprintf(stderr, "/reset       forget the conversation\n"
                        "/system TEXT begin anew with a system message, or with none\n"
                        "/quit        leave, as does the end of input\n"
                        "Ctrl-C       stop the answer\n");
    return 0;
}

static int converse(session_t *s, input_t *in)
{
    int   code = CLI_OK;
    char *line;

    while ((line = next_line(in)) != NULL) {
        if (line[0] == '/') {
            if (obey(s, line))
                break;
        } else if (line[0] != '\0' && ask(s, line) != CLI_OK)
            code = CLI_FAILED;
    }
    return code;
}

int lls_cli_chat(const cli_t *cli)
{
    session_t s = { .cli = cli };
    input_t   in;
    int       code = CLI_FAILED;

    if (cli->n_words > 0 || cli->file != NULL) {
        fprintf(stderr, "llmserve chat: takes a model and options only\n");
        return CLI_USAGE;
    }
    lls_cli_catch_interrupts();
    s.engine = lls_cli_open(cli);
    if (s.engine == NULL)
        return CLI_FAILED;
    s.messages = json_array();
    if (s.messages != NULL) {
        reset(&s, cli->system);
        open_input(&in);
        code = converse(&s, &in);
        close_input(&in);
    }
    json_decref(s.messages);
    llm_engine_destroy(s.engine);
    return code;
}
