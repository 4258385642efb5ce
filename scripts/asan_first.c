/*
 * asan_first.c
 *		Preloaded beside libasan into a server under sanitizers.
 *
 * A constructor of libp11-kit calls newlocale(), whose calloc() starts
 * AddressSanitizer while glibc's lock of locales is held; it asks for a
 * translated message, takes the same lock, and waits for ever.  Linked with
 * -z initfirst this constructor runs before all others, so it starts here.
 */
#include <stdlib.h>

const char *__ubsan_default_options(void);

/*
 * The sanitizers read /proc/self/environ, where the server has written its
 * title when UBSan first looks; here getenv() still tells.
 */
const char *
__ubsan_default_options(void)
{
	const char *options = getenv("UBSAN_OPTIONS");

	return options ? options : "";
}

__attribute__((constructor)) static void
start_asan(void)
{
	void *volatile p = malloc(1);

	free(p);
}
