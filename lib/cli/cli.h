/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - the command llmserve, a client of llm.h: what its parts share.
 *
 * Options are those of llm_option_info(): each is --name value and goes by name to the engine or
 * to every request.  Exit codes: 0 fine, 1 the engine or a request failed, 2 wrong usage, 130
 * interrupted.  One thread; SIGINT sets a flag that the loops look at.
 */
#ifndef LLS_CLI_H
#define LLS_CLI_H

#include <stdio.h>

#include "llm.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef struct cli {
    const char   *command;          /* "run", "chat", "tokenize", "detokenize", "render" */
    const char   *model;
    const char   *file;             /* --file: a prompt a line; "-" is standard input */
    const char   *system;           /* --system; or NULL */
    int           chat;             /* run --chat: prompts go through the chat template */
    int           no_special, keep_special, ids;    /* tokenize, detokenize, render */
    int           help, version, quiet;
    llm_option_t *engine_options, *request_options;
    size_t        n_engine_options, n_request_options;
    char        **words;            /* what is no option, after the model */
    size_t        n_words;
} cli_t;

/* Takes argv apart; values stay borrowed from it.  CLI_OK, or CLI_USAGE after a message. */
int  lls_cli_parse(cli_t *cli, int argc, char **argv);
void lls_cli_deinit(cli_t *cli);
void lls_cli_help(FILE *to);

/* Loads the model, with progress on a terminal; NULL after a message. */
llm_engine_t *lls_cli_open(const cli_t *cli);
/* The model's sampling defaults with max_tokens, for requests of this command. */
void lls_cli_params(llm_engine_t *engine, uint32_t max_tokens, llm_sampling_params_t *params);

/* SIGINT from here on sets a flag.  lls_cli_interrupted() reads it, and clears it on request. */
void lls_cli_catch_interrupts(void);
int  lls_cli_interrupted(int clear);

typedef struct cli_answer {
    char    *text;                  /* yours to free; NULL if nothing came */
    size_t   len;
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
    double   seconds, first_token_seconds;
    int      interrupted;           /* SIGINT ended it */
} cli_answer_t;

/* Runs one request to its end and writes its text to standard output as it comes. */
int lls_cli_stream(llm_engine_t *engine, const llm_request_t *request, cli_answer_t *answer);

int lls_cli_run(const cli_t *cli);
int lls_cli_chat(const cli_t *cli);
/* The three commands that need a tokenizer only; words are files, none is standard input. */
int lls_cli_text(const cli_t *cli);

#endif
