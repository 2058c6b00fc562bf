/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - assertions of programs that know a public header alone, which they include first.
 */
#ifndef LLS_ABI_CHECK_H
#define LLS_ABI_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int faults;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                              \
            faults++;                                                                              \
        }                                                                                          \
    } while (0)

#endif
