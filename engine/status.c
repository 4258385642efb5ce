/*-------------------------------------------------------------------------
 * status.c
 *	  Status names, and the one place where an error is born.
 *
 * The error record is thread-local: a process of the server has one thread,
 * an embedder may have many, and none waits for another to report.
 *
 * A clean-up step that fails after the first failure would overwrite the
 * record the caller is going to read.  So the record before the newest is
 * kept too, and flowi_status_merge puts it back when the older status wins.
 *-------------------------------------------------------------------------
 */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local FlowError last_error;
static _Thread_local FlowError older_error;

const FlowError *
flow_last_error(void)
{
	return &last_error;
}

void
flowi_error_restore(const FlowError *error)
{
	last_error = *error;
}

const char *
flow_status_name(FlowStatus st)
{
	switch (st)
	{
		case FLOW_OK:
			return "OK";
		case FLOW_NOTFOUND:
			return "NOTFOUND";
		case FLOW_END:
			return "END";
		case FLOW_INVALID:
			return "INVALID";
		case FLOW_CORRUPT:
			return "CORRUPT";
		case FLOW_IOERR:
			return "IOERR";
		case FLOW_NOMEM:
			return "NOMEM";
		case FLOW_FULL:
			return "FULL";
		case FLOW_BUSY:
			return "BUSY";
		case FLOW_MISMATCH:
			return "MISMATCH";
		case FLOW_INTERRUPTED:
			return "INTERRUPTED";
		case FLOW_PANIC:
			return "PANIC";
		case FLOW_CONFLICT:
			return "CONFLICT";
		case FLOW_EXISTS:
			return "EXISTS";
	}
	return "unknown status";
}

/* NOTFOUND and END tell something, but an error tells more. */
static bool
is_soft(FlowStatus st)
{
	return st == FLOW_OK || st == FLOW_NOTFOUND || st == FLOW_END;
}

FlowStatus
flowi_status_merge(FlowStatus first, FlowStatus second)
{
	bool second_wins;

	if (first == FLOW_OK)
		second_wins = true;
	else if (is_soft(first))
		second_wins = !is_soft(second);
	else
		second_wins = second == FLOW_PANIC && first != FLOW_PANIC;
	if (second_wins)
		return second;
	if (!is_soft(second) && last_error.status == second &&
		older_error.status == first)
		last_error = older_error;
	return first;
}

/* Print the message.  It may quote the current record: format, then store. */
FLOW_PRINTF(3, 0)
static void
record_error(FlowStatus st, int err_no, const char *fmt, va_list args)
{
	FlowError fresh;
	int len;

	fresh.status = st;
	fresh.err_no = err_no;
	fresh.row = NULL;
	len = vsnprintf(fresh.message, sizeof(fresh.message), fmt, args);
	if (len < 0)
		len = snprintf(fresh.message, sizeof(fresh.message), "(bad message)");
	if (err_no != 0 && (size_t) len < sizeof(fresh.message))
	{
		char text[128];

		/* GNU strerror_r: returns the text, in its argument or elsewhere */
		snprintf(fresh.message + len, sizeof(fresh.message) - (size_t) len,
				 ": %s", strerror_r(err_no, text, sizeof(text)));
	}
	older_error = last_error;
	last_error = fresh;
}

FlowStatus
flowi_fail(FlowStatus st, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record_error(st, 0, fmt, args);
	va_end(args);
	return st;
}

FlowStatus
flowi_fail_row(FlowStatus st, const char *what)
{
	st = flowi_fail(st, "a row cannot be read: %s", what);
	last_error.row = what;
	return st;
}

FlowStatus
flowi_fail_errno(int err_no, const char *fmt, ...)
{
	FlowStatus st =
		err_no == ENOSPC || err_no == EDQUOT ? FLOW_FULL : FLOW_IOERR;
	va_list args;

	va_start(args, fmt);
	record_error(st, err_no, fmt, args);
	va_end(args);
	return st;
}

#ifdef FLOW_DEBUG
_Noreturn void
flowi_assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}
#endif
