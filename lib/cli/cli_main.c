/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <locale.h>
#include <string.h>

static int dispatch(const cli_t *cli)
{
    if (cli->version)
        return printf("llmserve %s\n", llm_version_string()) < 0;
    if (cli->help) {
        lls_cli_help(stdout);
        return CLI_OK;
    }
    if (cli->model == NULL) {
        fprintf(stderr, "llmserve %s: name a model, a directory or a .gguf file\n", cli->command);
        return CLI_USAGE;
    }
    if (strcmp(cli->command, "chat") == 0)
        return lls_cli_chat(cli);
    return strcmp(cli->command, "run") == 0 ? lls_cli_run(cli) : lls_cli_text(cli);
}

int main(int argc, char **argv)
{
    cli_t cli = { 0 };
    int   code;

    setlocale(LC_CTYPE, "");
    code = lls_cli_parse(&cli, argc, argv);
    if (code == CLI_OK)
        code = dispatch(&cli);
    lls_cli_deinit(&cli);
    if (fflush(stdout) != 0 && code == CLI_OK)
        code = CLI_FAILED;
    return code;
}
