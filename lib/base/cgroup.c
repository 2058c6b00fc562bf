/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

#define PATH_BYTES 4608u

const lls_cgroup_fs_t lls_cgroup_fs = { "/proc/self/cgroup", "/sys/fs/cgroup" };

size_t lls_read_text(const char *path, char *buf, size_t cap)
{
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, cap - 1);

    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* ---- One group ------------------------------------------------------------------------------- */

static size_t read_in(const char *dir, const char *file, char *buf, size_t cap)
{
    char path[PATH_BYTES + 64];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return lls_read_text(path, buf, cap);
}

/* "max", "-1" and what is not there are no number. */
static bool number_at(const char *text, uint64_t *v)
{
    char              *end;
    unsigned long long n = strtoull(text, &end, 10);

    if (end == text || text[0] == '-')
        return false;
    *v = n;
    return true;
}

static bool number_in(const char *dir, const char *file, uint64_t *v)
{
    char buf[64];

    return read_in(dir, file, buf, sizeof buf) > 0 && number_at(buf, v);
}

/* Calls that look at one group take the least of what they knew and what they find. */
typedef void (*look_fn)(const char *dir, void *found);

static void look_at_cpus(const char *dir, void *found)
{
    uint64_t *milli = found, quota, period = 0;
    char      max[64];

    if (read_in(dir, "cpu.max", max, sizeof max) > 0) {     /* "200000 100000" or "max 100000" */
        if (!number_at(max, &quota) || !number_at(max + strcspn(max, " "), &period))
            return;
    } else if (!number_in(dir, "cpu.cfs_quota_us", &quota) ||
               !number_in(dir, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (period > 0 && quota <= UINT64_MAX / 1000)
        *milli = lls_min_u64(*milli, quota * 1000 / period);
}

/* Bytes of files that nobody has touched for a while: they give way to whoever wants memory. */
static uint64_t droppable(const char *dir)
{
    char        stat[4096];
    const char *key = "\ninactive_file ", *at;
    uint64_t    v = 0;

    stat[0] = '\n';
    if (read_in(dir, "memory.stat", stat + 1, sizeof stat - 1) == 0)
        return 0;
    at = strstr(stat, "\ntotal_inactive_file ");    /* version 1 counts those below apart */
    if (at != NULL)
        key = "\ntotal_inactive_file ";
    else
        at = strstr(stat, key);
    return at != NULL && number_at(at + strlen(key), &v) ? v : 0;
}

static void look_at_memory(const char *dir, void *found)
{
    lls_cgroup_memory_t *m = found;
    uint64_t             limit, used = 0, drops;

    if (!number_in(dir, "memory.max", &limit) && !number_in(dir, "memory.limit_in_bytes", &limit))
        return;
    if (!number_in(dir, "memory.current", &used))
        number_in(dir, "memory.usage_in_bytes", &used);
    drops = droppable(dir);
    used -= lls_min_u64(used, drops);
    m->limit = lls_min_u64(m->limit, limit);
    m->available = lls_min_u64(m->available, limit > used ? limit - used : 0);
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* Looks at mount/name/group and all groups above it. */
static void look_upwards(const lls_cgroup_fs_t *fs, const char *name, const char *group,
                         look_fn look, void *found)
{
    char   dir[PATH_BYTES];
    size_t root = (size_t)snprintf(dir, sizeof dir, "%s/%s", fs->mount, name);
    int    n = root >= sizeof dir ? -1
                                  : snprintf(dir + root, sizeof dir - root, "%s", group);

    if (n < 0 || (size_t)n >= sizeof dir - root)
        return;
    for (size_t len = root + (size_t)n;;) {
        dir[len] = '\0';
        look(dir, found);
        if (len <= root)
            return;
        while (len > root && dir[--len] != '/')
            continue;
    }
}

static bool is_in_list(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (; *list != '\0'; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0'))
            return true;
    return false;
}

/* A line is "id:controllers:group"; version 2 names no controllers. */
static void look_at_line(const lls_cgroup_fs_t *fs, char *line, const char *controller,
                         look_fn look, void *found)
{
    char *list = strchr(line, ':'), *group = list == NULL ? NULL : strchr(list + 1, ':');

    if (group == NULL)
        return;
    *list++ = '\0';
    *group++ = '\0';
    if (*list == '\0') {
        look_upwards(fs, ".", group, look, found);
    } else if (is_in_list(list, controller)) {
        look_upwards(fs, controller, group, look, found);
        if (strcmp(list, controller) != 0)
            look_upwards(fs, list, group, look, found);
    }
}

static void look_at_all(const lls_cgroup_fs_t *fs, const char *controller, look_fn look,
                        void *found)
{
    char text[4096], *rest = text, *line;

    lls_read_text(fs->list, text, sizeof text);
    while ((line = strsep(&rest, "\n")) != NULL)
        look_at_line(fs, line, controller, look, found);
}

uint64_t lls_cgroup_milli_cpus(const lls_cgroup_fs_t *fs)
{
    uint64_t milli = UINT64_MAX;

    look_at_all(fs, "cpu", look_at_cpus, &milli);
    return milli;
}

lls_cgroup_memory_t lls_cgroup_memory(const lls_cgroup_fs_t *fs)
{
    lls_cgroup_memory_t m = { UINT64_MAX, UINT64_MAX };

    look_at_all(fs, "memory", look_at_memory, &m);
    return m;
}
