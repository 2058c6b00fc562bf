/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files - files that a test writes into its own directory.  Include unit/test.h first.
 */
#ifndef LLS_TEST_FILES_H
#define LLS_TEST_FILES_H

#include <stdio.h>
#include <unistd.h>

static inline void write_file(const char *dir, const char *name, const void *data, size_t n)
{
    char  path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* It need not be there. */
static inline void remove_file(const char *dir, const char *name)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

#endif
