/* SPDX-License-Identifier: Apache-2.0 */
/* tokenize, detokenize, render: a model's text without the model; only its tokenizer is read. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct content {
    char  *text;                    /* owned, with a NUL behind it */
    size_t len, cap;
} content_t;

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "llmserve: %s: %s\n", what, why);
    return CLI_FAILED;
}

static int read_all(FILE *f, const char *name, content_t *c)
{
    size_t n;

    do {
        if (c->cap - c->len < 2) {
            char *grown = realloc(c->text, c->cap + 65536);

            if (grown == NULL)
                return fail(name, strerror(ENOMEM));
            c->text = grown;
            c->cap += 65536;
        }
        n = fread(c->text + c->len, 1, c->cap - c->len - 1, f);
        c->len += n;
    } while (n > 0);
    c->text[c->len] = '\0';
    return ferror(f) ? fail(name, strerror(errno)) : CLI_OK;
}

static int read_file(const char *path, content_t *c)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    int   code;

    if (f == NULL)
        return fail(path, strerror(errno));
    code = read_all(f, path, c);
    if (f != stdin)
        fclose(f);
    return code;
}

static int print_ids(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i > 0 ? " " : "", (int)ids[i]);
    putchar('\n');
    return CLI_OK;
}

/* llm_tokenizer_encode() or _encode_chat(), twice: how many, then which. */
static llm_status_t encode(const cli_t *cli, const llm_tokenizer_t *t, const content_t *c,
                           int32_t *ids, size_t cap, size_t *n, llm_error_t *err)
{
    return strcmp(cli->command, "render") == 0
               ? llm_tokenizer_encode_chat(t, c->text, c->len, ids, cap, n, err)
               : llm_tokenizer_encode(t, c->text, c->len,
                                      cli->no_special ? LLM_ENCODE_NO_SPECIAL : 0, ids, cap, n,
                                      err);
}

static int write_ids(const cli_t *cli, const llm_tokenizer_t *t, const content_t *c,
                     llm_error_t *err)
{
    int32_t *ids = NULL;
    size_t   n;
    int      code = CLI_FAILED;

    if (encode(cli, t, c, NULL, 0, &n, err) != LLM_OK)
        return CLI_FAILED;
    ids = calloc(n + 1, sizeof *ids);
    if (ids != NULL && encode(cli, t, c, ids, n, &n, err) == LLM_OK)
        code = print_ids(ids, n);
    free(ids);
    return code;
}

static llm_status_t to_text(const cli_t *cli, const llm_tokenizer_t *t, const content_t *c,
                            const int32_t *ids, size_t n_ids, char *text, size_t cap, size_t *n,
                            llm_error_t *err)
{
    return strcmp(cli->command, "render") == 0
               ? llm_tokenizer_render_chat(t, c->text, c->len, text, cap, n, err)
               : llm_tokenizer_decode(t, ids, n_ids, cli->keep_special ? LLM_DECODE_KEEP_SPECIAL
                                                                       : 0, text, cap, n, err);
}

static int write_text(const cli_t *cli, const llm_tokenizer_t *t, const content_t *c,
                      const int32_t *ids, size_t n_ids, llm_error_t *err)
{
    char  *text;
    size_t n;
    int    code = CLI_FAILED;

    if (to_text(cli, t, c, ids, n_ids, NULL, 0, &n, err) != LLM_OK)
        return CLI_FAILED;
    text = malloc(n + 1);
    if (text != NULL && to_text(cli, t, c, ids, n_ids, text, n, &n, err) == LLM_OK)
        code = fwrite(text, 1, n, stdout) == n ? CLI_OK : CLI_FAILED;
    free(text);
    return code;
}

/* Numbers between anything that is none: "1 2 3", "[1, 2, 3]". */
static int detokenize(const cli_t *cli, const llm_tokenizer_t *t, const content_t *c,
                      llm_error_t *err)
{
    const char *separators = " \t\r\n,;[]";
    int32_t    *ids = calloc(c->len / 2 + 1, sizeof *ids);
    const char *at = c->text + strspn(c->text, separators);
    size_t      n = 0;
    int         code = ids == NULL ? fail("ids", strerror(ENOMEM)) : CLI_OK;

    while (code == CLI_OK && *at != '\0') {
        char *end;
        long  id = strtol(at, &end, 10);

        if (end == at || id < 0 || id > INT32_MAX)
            code = fail("not a token id", at);
        else
            ids[n++] = (int32_t)id;
        at = end + strspn(end, separators);
    }
    if (code == CLI_OK)
        code = write_text(cli, t, c, ids, n, err);
    free(ids);
    return code;
}

static int convert(const cli_t *cli, const llm_tokenizer_t *t, const char *path)
{
    content_t   c = { NULL, 0, 0 };
    llm_error_t err = { .message = "no memory" };
    int         code = read_file(path, &c);

    if (code == CLI_OK) {
        err.status = LLM_OK;
        if (strcmp(cli->command, "detokenize") == 0)
            code = detokenize(cli, t, &c, &err);
        else if (strcmp(cli->command, "render") == 0 && !cli->ids)
            code = write_text(cli, t, &c, NULL, 0, &err);
        else
            code = write_ids(cli, t, &c, &err);
        if (code != CLI_OK && err.status != LLM_OK)
            fail(path, err.message);
    }
    free(c.text);
    return code;
}

int lls_cli_text(const cli_t *cli)
{
    llm_tokenizer_t *t;
    llm_error_t      err;
    int              code = CLI_OK;

    if (llm_tokenizer_create(cli->model, NULL, &t, &err) != LLM_OK)
        return fail(cli->command, err.message);
    if (cli->n_words == 0)
        code = convert(cli, t, "-");
    for (size_t i = 0; code == CLI_OK && i < cli->n_words; i++)
        code = convert(cli, t, cli->words[i]);
    llm_tokenizer_destroy(t);
    return code;
}
