/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

uint64_t lls_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t lls_clock_us(void) { return lls_clock_ns() / 1000; }

int64_t lls_clock_wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t system_us(void *user)
{
    (void)user;
    return lls_clock_us();
}

static int64_t system_wall_us(void *user)
{
    (void)user;
    return lls_clock_wall_us();
}

const lls_clock_t lls_system_clock = { system_us, system_wall_us, NULL };
