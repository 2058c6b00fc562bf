/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/sysmem.h"

/* Files of a control group as the kernel shows them, in a directory of their own. */
typedef struct tree {
    char            root[64], list[96];
} tree_t;

static void put(const tree_t *t, const char *path, const char *text)
{
    char  full[512];
    FILE *f;

    snprintf(full, sizeof full, "%s/%s", t->root, path);
    for (char *p = full + strlen(t->root) + 1; *p != '\0'; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(full, 0700);
            *p = '/';
        }
    f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static tree_t plant(const char *list)
{
    tree_t t = { .root = "/tmp/cgroup_test_XXXXXX" };

    assert_non_null(mkdtemp(t.root));
    snprintf(t.list, sizeof t.list, "%s/self", t.root);
    put(&t, "self", list);
    return t;
}

static lls_cgroup_fs_t fs_of(const tree_t *t) { return (lls_cgroup_fs_t){ t->list, t->root }; }

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void fell(const tree_t *t) { nftw(t->root, drop, 8, FTW_DEPTH | FTW_PHYS); }

static uint64_t milli_of(const tree_t *t)
{
    lls_cgroup_fs_t fs = fs_of(t);

    return lls_cgroup_milli_cpus(&fs);
}

static void a_quota_of_version_2_is_found(void **state)
{
    tree_t t = plant("0::/a/b\n");

    assert_true(milli_of(&t) == UINT64_MAX);
    put(&t, "a/b/cpu.max", "max 100000\n");
    assert_true(milli_of(&t) == UINT64_MAX);
    put(&t, "a/b/cpu.max", "250000 100000\n");
    assert_int_equal(milli_of(&t), 2500);
    put(&t, "a/cpu.max", "300000 100000\n");
    assert_int_equal(milli_of(&t), 2500);
    put(&t, "a/cpu.max", "75000 50000\n");      /* the group above allows less */
    assert_int_equal(milli_of(&t), 1500);
    put(&t, "cpu.max", "10000 10000\n");
    assert_int_equal(milli_of(&t), 1000);
    fell(&t);
}

static void a_quota_of_version_1_is_found(void **state)
{
    tree_t t = plant("12:memory:/m\n4:cpuacct,cpu:/job/x\n2:cpuset:/cpu\n0::/\n");

    put(&t, "cpu/job/x/cpu.cfs_quota_us", "-1\n");
    put(&t, "cpu/job/x/cpu.cfs_period_us", "100000\n");
    assert_true(milli_of(&t) == UINT64_MAX);
    put(&t, "cpu/job/cpu.cfs_quota_us", "350000\n");
    put(&t, "cpu/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(milli_of(&t), 3500);
    put(&t, "cpuacct,cpu/cpu.cfs_quota_us", "50000\n");
    put(&t, "cpuacct,cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(milli_of(&t), 500);
    fell(&t);
}

/* A container's list may name the host's group while its mount begins at the group itself. */
static void a_group_seen_from_outside_counts_as_the_root(void **state)
{
    tree_t t = plant("3:cpu,cpuacct:/docker/0123\n");

    put(&t, "cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    put(&t, "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_int_equal(milli_of(&t), 2000);
    fell(&t);
}

static void nonsense_is_no_limit(void **state)
{
    static const char *const texts[] = { "", "\n", "max", "200000", "200000 0\n", "x y\n", "-5 10",
                                         "18446744073709551615 1\n" };
    char   longest[4096];
    tree_t t = plant("0::/\n");

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(&t, "cpu.max", texts[i]);
        assert_true(milli_of(&t) == UINT64_MAX);
    }
    put(&t, "cpu.max", "100000 100000\n");
    put(&t, "self", "\n\nno colon\n0:");
    assert_true(milli_of(&t) == UINT64_MAX);
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "0::/", 4);
    longest[sizeof longest - 1] = '\0';
    put(&t, "self", longest);
    milli_of(&t);
    fell(&t);
    assert_true(milli_of(&t) == UINT64_MAX);
}

static void the_quota_is_rounded_and_affinity_counts_too(void **state)
{
    static const struct { const char *max; uint32_t most; } cases[] = {
        { "1000 100000", 1 }, { "149000 100000", 1 }, { "150000 100000", 2 },
        { "240000 100000", 2 }, { "99999999 100", 4096 }, { "max 100000", 4096 } };
    tree_t          t = plant("0::/\n");
    lls_cgroup_fs_t fs = fs_of(&t);
    cpu_set_t       old, one;
    uint32_t        n;

    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    n = (uint32_t)CPU_COUNT(&old);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(&t, "cpu.max", cases[i].max);
        assert_int_equal(lls_n_cpus(&fs), cases[i].most < n ? cases[i].most : n);
    }
    CPU_ZERO(&one);
    for (int c = 0; CPU_COUNT(&one) == 0; c++)
        if (CPU_ISSET(c, &old))
            CPU_SET(c, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(lls_n_cpus(&fs), 1);
    assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
    fell(&t);
}

static void memory_of_both_versions(void **state)
{
    tree_t              t = plant("0::/a\n");
    lls_cgroup_fs_t     fs = fs_of(&t);
    lls_cgroup_memory_t m = lls_cgroup_memory(&fs);

    assert_true(m.limit == UINT64_MAX && m.available == UINT64_MAX);
    put(&t, "a/memory.max", "max\n");
    put(&t, "memory.max", "1000000\n");
    put(&t, "memory.current", "700000\n");
    put(&t, "memory.stat", "anon 1\ninactive_file 200000\nactive_file 5\n");
    m = lls_cgroup_memory(&fs);
    assert_int_equal(m.limit, 1000000);
    assert_int_equal(m.available, 500000);
    put(&t, "a/memory.max", "1000000\n");
    put(&t, "a/memory.current", "2000000\n");
    m = lls_cgroup_memory(&fs);
    assert_int_equal(m.available, 0);

    put(&t, "self", "4:memory:/v1\n");
    put(&t, "memory/v1/memory.limit_in_bytes", "500000\n");
    put(&t, "memory/v1/memory.usage_in_bytes", "400000\n");
    put(&t, "memory/v1/memory.stat", "inactive_file 1\ntotal_inactive_file 100000\n");
    m = lls_cgroup_memory(&fs);
    assert_int_equal(m.limit, 500000);
    assert_int_equal(m.available, 200000);
    fell(&t);
}

static void lists_of_cpus(void **state)
{
    static const char *const bad[] = { "", ",", "1,", "-1", "1-", "3-1", "1;2", " 1", "x", "0x1",
                                       "4096", "0-4096", "99999999999999999999", "0-4095,1" };
    lls_cpu_list_t list;
    llm_error_t    err;

    assert_int_equal(lls_cpu_list_parse("o", "8,0-3,8", &list, &err), LLM_OK);
    assert_int_equal(list.n, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(list.id[i], "\10\0\1\2\3\10"[i]);
    assert_int_equal(lls_cpu_list_parse("o", "0-4095", &list, &err), LLM_OK);
    assert_int_equal(list.n, LLS_MAX_CPUS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (lls_cpu_list_parse("o", bad[i], &list, &err) != LLM_ERR_INVALID)
            fail_msg("\"%s\" is a list", bad[i]);
        assert_string_equal(err.param, "o");
    }
}

static void nodes_are_counted(void **state)
{
    static const struct { const char *text; uint32_t n; } cases[] = {
        { "0\n", 1 }, { "0-1\n", 2 }, { "0-3,8\n", 5 }, { "", 1 }, { "nonsense\n", 1 } };
    tree_t t = plant("");
    char   path[512];

    snprintf(path, sizeof path, "%s/nodes", t.root);
    assert_int_equal(lls_n_nodes(path), 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(&t, "nodes", cases[i].text);
        assert_int_equal(lls_n_nodes(path), cases[i].n);
    }
    fell(&t);
    assert_true(lls_n_nodes(LLS_NODES) >= 1);
}

static void this_machine_has_memory_and_a_cpu(void **state)
{
    lls_sysmem_t m = lls_sysmem();

    assert_true(m.total > 0 && m.total < UINT64_MAX >> 10 && m.available <= m.total);
    assert_true(lls_n_cpus(&lls_cgroup_fs) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_of_version_2_is_found),
        cmocka_unit_test(a_quota_of_version_1_is_found),
        cmocka_unit_test(a_group_seen_from_outside_counts_as_the_root),
        cmocka_unit_test(nonsense_is_no_limit),
        cmocka_unit_test(the_quota_is_rounded_and_affinity_counts_too),
        cmocka_unit_test(memory_of_both_versions),
        cmocka_unit_test(lists_of_cpus),
        cmocka_unit_test(nodes_are_counted),
        cmocka_unit_test(this_machine_has_memory_and_a_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
