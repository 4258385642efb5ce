/*-------------------------------------------------------------------------
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * A target is one file: LLVMFuzzerTestOneInput decodes the input and asserts
 * what must hold of all that decodes; fuzz_seed makes an input that is good,
 * by really encoding.  It is linked with libFuzzer (make fuzz) or with
 * fuzz_main.c (make fuzz-smoke), a simple mutator that needs no compiler's
 * help.
 *
 * Between fuzz_begin and fuzz_end a target has an environment whose files lie
 * in memory and whose memory is counted: at the end all of it must have been
 * given back.  In some runs (the input decides) an allocation fails.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_FUZZ_H
#define FLOW_FUZZ_H

#include "../common.h"
#include "../test/check.h"

/* The input is an argument of ours, so a failure is always a bug. */
#define FUZZ_CHECK(cond)                                                       \
	do                                                                         \
	{                                                                          \
		if (!(cond))                                                           \
		{                                                                      \
			fflush(stdout);                                                    \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                           \
		}                                                                      \
	} while (0)

/* An input in the making; malloc'ed. */
typedef struct FuzzBytes
{
	uint8_t *data;
	size_t bytes;
	size_t cap;
} FuzzBytes;

extern void fuzz_bytes_set(FuzzBytes *b, const void *data, size_t bytes);
extern void fuzz_bytes_resize(FuzzBytes *b, size_t bytes); /* new ones are 0 */

/* --- a target --- */
extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern void fuzz_seed(CheckRandom *r, FuzzBytes *out);
/* Inputs that decoded to their end; the target counts. */
extern uint64_t fuzz_decoded;

/* --- the environment --- */

/* data decides whether an allocation will fail; NULL: none will. */
extern FlowEnv *fuzz_begin(const uint8_t *data, size_t size);
extern void fuzz_end(void);

/* st is what a decoder may answer: OK, END, or that the input is wrong; or
 * NOMEM when an allocation failed. */
extern void fuzz_check_status(FlowStatus st);
/* An allocation has failed in this run: what must succeed may not. */
extern bool fuzz_no_memory(void);

/* Files of the environment. */
extern void fuzz_put_file(const char *path, const void *data, size_t bytes);
extern const uint8_t *fuzz_get_file(const char *path, size_t *bytesp);

/* Are the n bytes at p within [base, base + bytes)?  n 0: anything is. */
static inline bool
fuzz_inside(const void *p, size_t n, const void *base, size_t bytes)
{
	uintptr_t at = (uintptr_t) p;
	uintptr_t lo = (uintptr_t) base;

	return n == 0 || (at >= lo && n <= bytes && at - lo <= bytes - n);
}

/* Touch every byte, so that a sanitizer sees a wrong one. */
static inline uint64_t
fuzz_sum(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h;
}

#endif /* FLOW_FUZZ_H */
