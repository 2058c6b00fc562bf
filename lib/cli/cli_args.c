/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* Arguments of the command itself; all others come from llm_option_info(). */
static const struct own {
    const char *name, *value, *help;
} own_options[] = {
    { "model", "PATH", "the model, where it is not the first word" },
    { "file", "FILE", "run: prompts from FILE, one a line; - is standard input" },
    { "chat", NULL, "run: send each prompt through the model's chat template" },
    { "system", "TEXT", "chat, run --chat: the system message" },
    { "no-special", NULL, "tokenize: add no BOS, EOS and the like" },
    { "keep-special", NULL, "detokenize: leave special tokens in the text" },
    { "ids", NULL, "render: print token ids and not text" },
    { "quiet", NULL, "no progress and no statistics on standard error" },
    { "version", NULL, "print the version" },
    { "help", NULL, "print this" },
};

/* '-' and '_' are equal in names. */
static int same_name(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i]))
            return 0;
    return b[len] == '\0';
}

/* ---- Help ------------------------------------------------------------------ */

static void wrap(FILE *to, const char *text, int indent, int column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        if (column + 1 + (int)word > 98) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(to, " %.*s", (int)word, text);
        text += word + strspn(text + word, " ");
    }
}

static void entry(FILE *to, const char *name, const char *value, const char *help)
{
    int column = fprintf(to, "  --%s%s%s", name, value != NULL ? " " : "",
                         value != NULL ? value : "");

    if (column > 36)
        column = fprintf(to, "\n") - 1;
    column += fprintf(to, "%*s", 37 - column, "");
    wrap(to, help, 37, column);
    fprintf(to, "\n");
}

static void table(FILE *to, int32_t scope)
{
    const llm_option_info_t *info;

    for (size_t i = 0; (info = llm_option_info(i)) != NULL; i++) {
        char text[1024];

        if (info->scope != scope || strcmp(info->name, "model") == 0)
            continue;
        snprintf(text, sizeof text, "%s%s%s%s%s%s", info->help,
                 info->range != NULL ? "; " : "", info->range != NULL ? info->range : "",
                 info->default_value != NULL ? " (default " : "",
                 info->default_value != NULL ? info->default_value : "",
                 info->default_value != NULL ? ")" : "");
        entry(to, info->name, info->type, text);
    }
}

void lls_cli_help(FILE *to)
{
    fprintf(to, "usage: llmserve run MODEL [options] [PROMPT...]   complete prompts; without any,\n"
                "                                                  lines of standard input\n"
                "       llmserve chat MODEL [options]              talk; /help names its commands\n"
                "       llmserve tokenize MODEL [FILE...]          text to token ids\n"
                "       llmserve detokenize MODEL [FILE...]        token ids to text\n"
                "       llmserve render MODEL [FILE...]            a chat in JSON to its prompt\n"
                "\nMODEL is a directory or a .gguf file.  Options are --name value or "
                "--name=value; for a\nbool --name and --no-name do as well.\n\n");
    for (size_t i = 0; i < sizeof own_options / sizeof *own_options; i++)
        entry(to, own_options[i].name, own_options[i].value, own_options[i].help);
    fprintf(to, "\nOf the engine:\n");
    table(to, LLM_SCOPE_ENGINE);
    fprintf(to, "\nOf each request:\n");
    table(to, LLM_SCOPE_REQUEST);
}

/* ---- Parsing --------------------------------------------------------------- */

/* One --name with its value, wherever that stands. */
typedef struct argument {
    const char *name;
    size_t      len;
    const char *value;      /* after '=', else NULL */
} argument_t;

static argument_t split(const char *word)
{
    const char *name = word + 2, *equals = strchr(name, '=');

    return (argument_t){ name, equals != NULL ? (size_t)(equals - name) : strlen(name),
                         equals != NULL ? equals + 1 : NULL };
}

static const llm_option_info_t *find(const char *name, size_t len)
{
    const llm_option_info_t *info;

    for (size_t i = 0; (info = llm_option_info(i)) != NULL; i++)
        if (same_name(name, info->name, len))
            return info;
    return NULL;
}

static void set_own(cli_t *cli, size_t which, const char *value)
{
    switch (which) {
    case 0: cli->model = value; break;
    case 1: cli->file = value; break;
    case 2: cli->chat = 1; break;
    case 3: cli->system = value; break;
    case 4: cli->no_special = 1; break;
    case 5: cli->keep_special = 1; break;
    case 6: cli->ids = 1; break;
    case 7: cli->quiet = 1; break;
    case 8: cli->version = 1; break;
    case 9: cli->help = 1; break;
    }
}

static void add_option(cli_t *cli, const llm_option_info_t *info, const char *value)
{
    llm_option_t option = { info->name, value };

    if (info->scope == LLM_SCOPE_ENGINE)
        cli->engine_options[cli->n_engine_options++] = option;
    else
        cli->request_options[cli->n_request_options++] = option;
}

static int usage(const char *what, const char *word)
{
    fprintf(stderr, "llmserve: %s %s; see llmserve --help\n", what, word);
    return CLI_USAGE;
}

/* Takes argv[*i], which begins with "--", and its value. */
static int take_own(cli_t *cli, int argc, char **argv, int *i, const argument_t *a, int *taken)
{
    for (size_t k = 0; k < sizeof own_options / sizeof *own_options; k++) {
        const char *value = a->value;

        if (!same_name(a->name, own_options[k].name, a->len))
            continue;
        *taken = 1;
        if (own_options[k].value != NULL && value == NULL && ++*i < argc)
            value = argv[*i];
        if ((own_options[k].value == NULL) != (value == NULL))
            return usage(value == NULL ? "a value is wanted after" : "no value is wanted in",
                         argv[*i < argc ? *i : argc - 1]);
        set_own(cli, k, value);
        return CLI_OK;
    }
    return CLI_OK;
}

static int is_bool_word(const char *word)
{
    return word != NULL && (strcmp(word, "true") == 0 || strcmp(word, "false") == 0);
}

static int take_listed(cli_t *cli, int argc, char **argv, int *i, const argument_t *a)
{
    const llm_option_info_t *info = find(a->name, a->len);
    const char              *value = a->value;

    if (info == NULL && a->value == NULL && a->len > 3 && strncmp(a->name, "no-", 3) == 0) {
        info = find(a->name + 3, a->len - 3);
        value = "false";
        if (info != NULL && strcmp(info->type, "bool") != 0)
            info = NULL;
    }
    if (info == NULL)
        return usage("unknown option", argv[*i]);
    if (value == NULL && strcmp(info->type, "bool") == 0)
        value = *i + 1 < argc && is_bool_word(argv[*i + 1]) ? argv[++*i] : "true";
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL)
        return usage("a value is wanted after", argv[*i]);
    add_option(cli, info, value);
    return CLI_OK;
}

static int take(cli_t *cli, int argc, char **argv, int *i)
{
    argument_t a = split(argv[*i]);
    int        taken = 0, code = take_own(cli, argc, argv, i, &a, &taken);

    return taken ? code : take_listed(cli, argc, argv, i, &a);
}

/* The first word is the model unless --model named it, wherever that stood. */
static void settle(cli_t *cli)
{
    if (cli->model != NULL || cli->n_words == 0)
        return;
    cli->model = *cli->words++;
    cli->n_words--;
}

static int is_command(const char *word)
{
    const char *commands[] = { "run", "chat", "tokenize", "detokenize", "render" };

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(word, commands[i]) == 0)
            return 1;
    return 0;
}

int lls_cli_parse(cli_t *cli, int argc, char **argv)
{
    int code = CLI_OK, only_words = 0;

    cli->engine_options = calloc((size_t)argc, sizeof *cli->engine_options);
    cli->request_options = calloc((size_t)argc, sizeof *cli->request_options);
    if (cli->engine_options == NULL || cli->request_options == NULL)
        return CLI_FAILED;
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli->help = argc >= 2;
        if (argc < 2)
            lls_cli_help(stderr);
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    cli->command = argv[1];
    cli->words = argv;      /* words move to the front of argv, behind those already read */
    for (int i = strncmp(argv[1], "--", 2) == 0 ? 1 : 2; i < argc && code == CLI_OK; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = 1;
        else if (!only_words && strncmp(argv[i], "--", 2) == 0)
            code = take(cli, argc, argv, &i);
        else
            cli->words[cli->n_words++] = argv[i];
    }
    settle(cli);
    if (code == CLI_OK && !cli->help && !cli->version && !is_command(cli->command))
        return usage("unknown command", cli->command);
    return code;
}

void lls_cli_deinit(cli_t *cli)
{
    free(cli->engine_options);
    free(cli->request_options);
}
