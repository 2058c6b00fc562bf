/* SPDX-License-Identifier: Apache-2.0 */
/* The same program for C99, C17 and C++17: it uses the header's conveniences and sees an error. */
#include <llm.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine = NULL;
    llm_error_t         err;

    cfg.model = "/nonexistent/model";
    if (llm_version_number() != LLM_VERSION_NUMBER || strlen(llm_version_string()) < 5)
        return 1;
    if (llm_engine_create(&cfg, &engine, &err) == LLM_OK || engine != NULL)
        return 2;
    printf("%s: %s\n", llm_version_string(), err.message);
    return 0;
}
