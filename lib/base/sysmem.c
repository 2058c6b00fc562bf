/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sysmem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

/* The file's beginning as text; 0 bytes if it cannot be read. */
static size_t slurp(const char *path, char *buf, size_t cap)
{
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, cap - 1);

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static uint64_t meminfo_kib(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at == NULL ? UINT64_MAX >> 10 : strtoull(at + strlen(key), NULL, 10);
}

/* "max" and what is not there are no limit. */
static uint64_t number_in(const char *path, uint64_t otherwise)
{
    char  buf[64], *end;
    unsigned long long v;

    if (slurp(path, buf, sizeof buf) == 0)
        return otherwise;
    v = strtoull(buf, &end, 10);
    return end == buf ? otherwise : v;
}

/* Cgroup 2: the group of this process, as its own namespace or the host shows it. */
static void limit_by_cgroup(lls_sysmem_t *m)
{
    char     line[4096], path[4200];
    uint64_t max, used;
    char    *group;

    if (slurp("/proc/self/cgroup", line, sizeof line) == 0 || (group = strstr(line, "0::")) == NULL)
        return;
    group += 3;
    group[strcspn(group, "\n")] = '\0';
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
    max = number_in(path, number_in("/sys/fs/cgroup/memory.max", UINT64_MAX));
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", group);
    used = number_in(path, number_in("/sys/fs/cgroup/memory.current", 0));
    m->total = lls_min_u64(m->total, max);
    m->available = lls_min_u64(m->available, max > used ? max - used : 0);
}

lls_sysmem_t lls_sysmem(void)
{
    char         text[4096];
    lls_sysmem_t m;

    slurp("/proc/meminfo", text, sizeof text);
    m.total = meminfo_kib(text, "MemTotal:") << 10;
    m.available = meminfo_kib(text, "MemAvailable:") << 10;
    limit_by_cgroup(&m);
    return m;
}
