/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_sample - what the CPU backend offers for sampling beside the ops of the table.
 */
#ifndef LLS_CPU_CPU_SAMPLE_H
#define LLS_CPU_CPU_SAMPLE_H

#include "sample/logprobs.h"
#include "tensor/ops.h"

/* All jobs, spread over the threads.  Wants scratch like an op: call it while planning too, with
 * the n_vocab that will be used (jobs may then be NULL). */
void lls_cpu_logprobs(lls_exec_t *x, uint32_t n_vocab, lls_logprob_job_t *jobs, uint32_t n_jobs);

#endif
