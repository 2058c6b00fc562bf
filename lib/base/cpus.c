/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* CPUs of the machine may be more than a cpu_set_t has room for. */
static uint32_t n_allowed(void)
{
    cpu_set_t set[16];
    int       n = sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 0;

    return n > 0 ? (uint32_t)n : 1;
}

uint32_t lls_n_cpus(const lls_cgroup_fs_t *fs)
{
    uint64_t milli = lls_cgroup_milli_cpus(fs);
    uint64_t quota = milli > UINT64_MAX - 500 ? UINT64_MAX : (milli + 500) / 1000;

    return (uint32_t)lls_max_u64(1, lls_min_u64(n_allowed(), quota));
}

/* A number at *text, which moves behind it; LLS_MAX_CPUS if there is none or it is too large. */
static uint32_t number(const char **text)
{
    char         *end;
    unsigned long v = **text >= '0' && **text <= '9' ? strtoul(*text, &end, 10) : LLS_MAX_CPUS;

    if (v < LLS_MAX_CPUS)
        *text = end;
    return (uint32_t)lls_min_u64(v, LLS_MAX_CPUS);
}

/* One number or range; false if it is neither, or there is no room. */
static bool add_range(const char **text, lls_cpu_list_t *list)
{
    uint32_t first = number(text), last = first;

    if (**text == '-') {
        ++*text;
        last = number(text);
    }
    if (first > last || last >= LLS_MAX_CPUS || last - first >= LLS_MAX_CPUS - list->n)
        return false;
    for (uint32_t id = first; id <= last; id++)
        list->id[list->n++] = (uint16_t)id;
    return true;
}

llm_status_t lls_cpu_list_parse(const char *option, const char *text, lls_cpu_list_t *list,
                                llm_error_t *err)
{
    const char *at = text;

    list->n = 0;
    while (add_range(&at, list)) {
        if (*at == '\0')
            return LLM_OK;
        if (*at++ != ',')
            break;
    }
    return lls_fail_param(err, LLM_ERR_INVALID, option,
                          "%s is \"%.100s\"; name CPUs below %u as in 0-3,8", option, text,
                          LLS_MAX_CPUS);
}

uint32_t lls_n_nodes(const char *path)
{
    char           text[256];
    lls_cpu_list_t list;

    lls_read_text(path, text, sizeof text);
    text[strcspn(text, "\n")] = '\0';
    return lls_cpu_list_parse("nodes", text, &list, NULL) == LLM_OK ? list.n : 1;
}
