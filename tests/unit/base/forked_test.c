/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/forked.h"

/* What a child, and a child of its, see; one bit each. */
static int seen_below(const lls_forked_t *f)
{
    int   status = 0;
    pid_t child = fork();

    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(lls_forked_is_child(f));
        if (grandchild < 0 || waitpid(grandchild, &status, 0) < 0)
            _exit(8);
        _exit(lls_forked_is_child(f) | WEXITSTATUS(status) << 1);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_child_knows_that_it_is_one(void **state)
{
    lls_forked_t f;

    if (EMULATED) {
        print_message("qemu promises MADV_WIPEONFORK and does not keep it\n");
        skip();
    }
    lls_forked_init(&f);
    assert_false(lls_forked_is_child(&f));
    assert_int_equal(seen_below(&f), 3);
    assert_false(lls_forked_is_child(&f));
    lls_forked_deinit(&f);
    lls_forked_deinit(&f);
}

static void so_it_does_by_its_process_id(void **state)
{
    lls_forked_t f = { .pid = getpid() };

    assert_false(lls_forked_is_child(&f));
    assert_int_equal(seen_below(&f), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_knows_that_it_is_one),
        cmocka_unit_test(so_it_does_by_its_process_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
