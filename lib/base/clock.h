/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - time for records, deadlines and progress; the scheduler has none.
 */
#ifndef LLS_BASE_CLOCK_H
#define LLS_BASE_CLOCK_H

#include <stdint.h>

uint64_t lls_clock_ns(void);        /* monotonic */
uint64_t lls_clock_us(void);        /* monotonic */
int64_t  lls_clock_wall_us(void);   /* since 1970 */

/* A clock to be told which: the system's, or one that a simulation turns. */
typedef struct lls_clock {
    uint64_t (*us)(void *user);         /* monotonic */
    int64_t  (*wall_us)(void *user);    /* since 1970 */
    void      *user;
} lls_clock_t;

extern const lls_clock_t lls_system_clock;

#endif
