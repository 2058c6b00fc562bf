/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMX tiles by number: loaded, stored and multiplied into others.  Each file lays out its own.
 */
#ifndef LLS_CPU_TILES_H
#define LLS_CPU_TILES_H

/* The compilers' own forms do not say which memory they read. */
#define TILE_LOAD(t, p, stride)                                                                   \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(t, p, stride)                                                                  \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                          \
                     : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define TILE_DOT8(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

static inline void end_tiles(void) { __asm__ volatile("tilerelease" : :); }

#endif
