/*-------------------------------------------------------------------------
 * txbuf_sort.c
 *	  Sort pointers to entries by (store, key, ts), stable.
 *
 * A natural merge sort: what a client sends is mostly sorted already, or a
 * row of sorted parts (all hosts at one time, then at the next), and costs
 * one comparison an entry, or a merge of as many runs as there are parts.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include "txbuf_impl.h"

#define MIN_RUN 16
#define MAX_RUNS 64 /* each is at least twice as long as the next */

size_t
flowi_txbuf_behind(const TxEntry **a, size_t n, const TxEntry *e)
{
	size_t lo = 0;

	while (lo < n)
	{
		size_t mid = lo + (n - lo) / 2;

		if (txentry_cmp(a[mid], e) <= 0)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

/* Length of the sorted run at a; a short one is made longer by insertion. */
static size_t
make_run(const TxEntry **a, size_t n)
{
	size_t len = 1;

	while (len < n && txentry_cmp(a[len - 1], a[len]) <= 0)
		len++;
	for (; len < n && len < MIN_RUN; len++)
	{
		const TxEntry *e = a[len];
		size_t at = flowi_txbuf_behind(a, len, e);

		memmove(&a[at + 1], &a[at], (len - at) * sizeof(*a));
		a[at] = e;
	}
	return len;
}

/* Merge the sorted a[0 .. mid) and a[mid .. n); the left goes by scratch. */
static FlowStatus
merge(const TxEntry **a, size_t mid, size_t n, FlowBuf *scratch)
{
	size_t skip = flowi_txbuf_behind(a, mid, a[mid]);
	const TxEntry **left;
	size_t nleft = mid - skip;
	size_t i = 0;
	size_t j = mid;
	size_t out = skip;

	if (nleft == 0)
		return FLOW_OK;
	scratch->len = 0;
	FLOW_TRY(flowi_buf_reserve(scratch, nleft * sizeof(*a)));
	left = (const TxEntry **) (void *) scratch->data;
	memcpy(left, a + skip, nleft * sizeof(*a));
	while (i < nleft && j < n)
		a[out++] = txentry_cmp(a[j], left[i]) < 0 ? a[j++] : left[i++];
	memcpy(&a[out], &left[i], (nleft - i) * sizeof(*a));
	return FLOW_OK;
}

FlowStatus
flowi_txbuf_sort(const TxEntry **a, size_t n, FlowBuf *scratch)
{
	size_t start[MAX_RUNS + 1]; /* of each run; behind the last: its end */
	size_t nruns = 0;

	start[0] = 0;
	while (start[nruns] < n)
	{
		size_t at = start[nruns];

		start[++nruns] = at + make_run(a + at, n - at);
		while (nruns >= 2)
		{
			size_t lo = start[nruns - 2];
			size_t mid = start[nruns - 1];
			size_t end = start[nruns];

			/* keep lengths falling by half, but merge all at the end */
			if (end < n && mid - lo >= 2 * (end - mid))
				break;
			FLOW_TRY(merge(a + lo, mid - lo, end - lo, scratch));
			start[--nruns] = end;
		}
	}
	return FLOW_OK;
}
