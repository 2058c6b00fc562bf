/* SPDX-License-Identifier: Apache-2.0 */
/* memory_plan MODEL [NAME=VALUE...] - what an engine with these options takes, without loading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

static void row(const char *what, uint64_t bytes)
{
    printf("  %-22s %12.1f MiB\n", what, (double)bytes / (1 << 20));
}

static void print_plan(const llm_plan_t *p)
{
    row("weights", p->weight_bytes);
    row("workspace", p->workspace_bytes);
    row("KV cache", p->kv_cache_bytes);
    row("host, all else", p->host_bytes);
    row("free on the device", p->device_free_bytes);
    printf("  %u blocks of %u tokens, %.1f KiB a token; %u requests of %u tokens at once\n",
           p->kv_blocks, p->block_size, (double)p->kv_bytes_per_token / 1024, p->max_concurrency,
           p->max_model_len);
    printf("  steps of at most %u sequences and %u tokens; KV cache limited by %s\n",
           p->max_num_seqs, p->max_num_batched_tokens, p->limit != NULL ? p->limit : "-");
    printf("%s\n", p->fits ? "fits" : "does not fit");
}

int main(int argc, char **argv)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_plan_t          plan = LLM_INIT(llm_plan_t);
    llm_option_t       *options;
    llm_error_t         err;
    llm_status_t        st;

    if (argc < 2)
        return fprintf(stderr, "usage: memory_plan MODEL [NAME=VALUE...]\n"), 2;
    options = calloc((size_t)argc, sizeof *options);
    if (options == NULL)
        return 1;
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');

        options[i - 2].name = argv[i];
        options[i - 2].value = equals != NULL ? equals + 1 : "true";
        if (equals != NULL)
            *equals = '\0';
    }
    cfg.model = argv[1];
    cfg.options = options;
    cfg.n_options = (size_t)argc - 2;
    st = llm_plan(&cfg, &plan, &err);
    free(options);
    if (st != LLM_OK)
        return fprintf(stderr, "%s\n", err.message), 1;
    print_plan(&plan);
    return plan.fits ? 0 : 3;
}
