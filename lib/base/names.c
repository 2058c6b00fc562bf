/* SPDX-License-Identifier: Apache-2.0 */
#include "llm.h"

#include "base/num.h"

/* ORDER status */
static const struct {
    const char *name, *text;
} statuses[] = {
    { "LLM_OK", "no error" },
    { "LLM_ERR_INVALID", "an argument, field or option is not valid" },
    { "LLM_ERR_NO_MEMORY", "no host memory" },
    { "LLM_ERR_NO_DEVMEM", "no device memory; see llm_plan()" },
    { "LLM_ERR_NOT_FOUND", "no such request or name" },
    { "LLM_ERR_EXISTS", "the name is in use" },
    { "LLM_ERR_UNSUPPORTED", "not supported by this build, version or model" },
    { "LLM_ERR_IO", "a file could not be read" },
    { "LLM_ERR_FORMAT", "malformed model, template, grammar or JSON" },
    { "LLM_ERR_TOO_LONG", "the prompt does not fit the context" },
    { "LLM_ERR_BUSY", "queue is full; try again later" },
    { "LLM_ERR_CANCELLED", "stopped by the caller" },
    { "LLM_ERR_NO_SPACE", "buffer too small; the size needed was returned" },
    { "LLM_ERR_STATE", "not allowed on this thread, rank or at this moment" },
    { "LLM_ERR_DEVICE", "the device or a rank failed; the engine is dead" },
    { "LLM_ERR_INTERNAL", "a bug in libllmserve" },
    { "LLM_ERR_TIMEOUT", "the time given has passed" },
    { "LLM_ERR_CLOSED", "rank 0 has destroyed its engine" },
};

/* ORDER finish */
static const char *const finishes[] = { "none", "stop", "length", "abort", "error", "repetition",
                                        "deadline" };

/* -status as an index; past the end for what we do not know. */
static uint32_t index_of(llm_status_t status) { return 0u - (uint32_t)status; }

const char *llm_strerror(llm_status_t status)
{
    uint32_t i = index_of(status);

    return i < LLS_ARRAY_LEN(statuses) ? statuses[i].text : "unknown status";
}

const char *llm_status_name(llm_status_t status)
{
    uint32_t i = index_of(status);

    return i < LLS_ARRAY_LEN(statuses) ? statuses[i].name : "LLM_ERR_UNKNOWN";
}

const char *llm_finish_name(int32_t finish_reason)
{
    uint32_t i = (uint32_t)finish_reason;

    return i < LLS_ARRAY_LEN(finishes) ? finishes[i] : "unknown";
}

#define TEXT(x) #x
#define VERSION_TEXT(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

uint32_t    llm_version_number(void) { return LLM_VERSION_NUMBER; }
const char *llm_version_string(void)
{
    return VERSION_TEXT(LLM_VERSION_MAJOR, LLM_VERSION_MINOR, LLM_VERSION_PATCH) " (cpu)";
}
