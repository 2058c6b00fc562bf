/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sysmem.h"

#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/num.h"

static uint64_t meminfo_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at == NULL ? UINT64_MAX >> 10 : strtoull(at + strlen(key), NULL, 10);
}

lls_sysmem_t lls_sysmem(void)
{
    lls_cgroup_memory_t group = lls_cgroup_memory(&lls_cgroup_fs);
    char                text[4096];
    lls_sysmem_t        m;

    lls_read_text("/proc/meminfo", text, sizeof text);
    m.total = lls_min_u64(meminfo_of(text, "MemTotal:") << 10, group.limit);
    m.huge = meminfo_of(text, "Hugepagesize:") == 2048 ? meminfo_of(text, "HugePages_Free:") << 21
                                                        : 0;
    m.available = lls_min_u64(meminfo_of(text, "MemAvailable:") << 10, group.available);
    return m;
}
