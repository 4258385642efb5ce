/*-------------------------------------------------------------------------
 * refcase.h
 *	  The reference's cases as short scripts, each run several ways.
 *
 * Statements end with ";".  A row is KEY@TS!EXPIRE=VALUE, where !EXPIRE
 * (never) and =VALUE (\x010203) may be left out; %XX is a byte of a key.
 *
 *	 W row ..			one batch of puts
 *	 TTL secs row ..	the same with a time to live
 *	 FILL fmt n step	one batch: fmt with 0 .. n - 1, at i * step
 *	 DEL row ..			one batch of deletes
 *	 DR lo hi [t1 t2]	a range delete, lo <= key < hi; hi *: no end
 *	 PATCH row [secs]	value if there is =, time to live if there is secs
 *	 F, C, CX, GC n		flush; compact, which must (CX: must not) run; gc
 *	 R, X				close and open; die and open
 *	 NOW t				the clock
 *
 * Queries, each with "->" and the rows that come, of which only what is
 * written is compared; #n: so many rows.  "" is the empty key.
 *
 *	 ALL; P prefix; K lo hi; T t1 t2; PT prefix t1 t2; KT lo hi t1 t2
 *	 S klo khi tlo thi	bounds: [x inclusive, (x exclusive, - open
 *	 GET key@ts; LATEST key
 *
 * Before the first query after a change a script does what its mode says:
 * nothing, a flush, a reopening, a crash, or flush, compaction and gc.  So
 * each query is answered from memory, from SSTables, after recovery.
 *
 * The single-file storage of the reference (TE76 to TE88, TS09, TZ07, TZ09)
 * is not built: those cases run on the storage that there is.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_REFCASE_H
#define FLOW_TEST_REFCASE_H

#include "refdb.h"

typedef enum RefMode
{
	REF_MEMORY,
	REF_FLUSH,
	REF_REOPEN,
	REF_CRASH,
	REF_COMPACT,
	REF_MODES
} RefMode;

static const char *const ref_mode_name[REF_MODES] = {
	"memory", "flush", "reopen", "crash", "compact"};

#define REF_WORDS 80
#define REF_ROWS 1024
#define REF_BYTES 64

typedef struct RefRow
{
	char key[REF_BYTES];
	char value[REF_BYTES];
	size_t key_bytes;
	size_t value_bytes;
	int64_t ts;
	int64_t expire_at;
	bool has_expire; /* written in the script */
	bool has_value;
} RefRow;

typedef struct RefRun
{
	RefDb r;
	RefMode mode;
	bool dirty;
	const char *statement; /* for messages */
	char *word[REF_WORDS];
	int nwords;
	char *want; /* what stands behind "->"; NULL: no query */
	RefRow got[REF_ROWS];
	size_t ngot;
} RefRun;

static RefRun ref;

static inline _Noreturn void
ref_wrong(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "in mode %s: \"%s\": %s\n  rows:", ref_mode_name[ref.mode],
			ref.statement, what);
	for (size_t i = 0; i < ref.ngot && i < 30; i++)
		fprintf(stderr, " %.*s@%" PRId64 "=%.*s", (int) ref.got[i].key_bytes,
				ref.got[i].key, ref.got[i].ts, (int) ref.got[i].value_bytes,
				ref.got[i].value);
	fprintf(stderr, "\n");
	exit(1);
}

static inline void
ref_must(FlowStatus st)
{
	if (st != FLOW_OK)
		ref_wrong(flow_last_error()->message);
}

/* --------------------------------------------------------------- the words */

static inline size_t
ref_unescape(const char *text, size_t len, char *to)
{
	size_t n = 0;

	if (len == 2 && text[0] == '"' && text[1] == '"')
		return 0;
	for (size_t i = 0; i < len; i++)
	{
		CHECK(n < REF_BYTES);
		if (text[i] == '%')
		{
			char hex[3] = {text[i + 1], text[i + 2], '\0'};

			to[n++] = (char) strtol(hex, NULL, 16);
			i += 2;
		}
		else
			to[n++] = text[i];
	}
	return n;
}

static inline RefRow
ref_row(const char *word)
{
	RefRow row = {.expire_at = FLOW_NEVER, .value_bytes = 3};
	const char *at = strchr(word, '@');
	char *end;

	CHECK(at != NULL);
	memcpy(row.value, "\1\2\3", 3);
	row.key_bytes = ref_unescape(word, (size_t) (at - word), row.key);
	row.ts = strtoll(at + 1, &end, 10);
	if (*end == '!')
	{
		row.has_expire = true;
		row.expire_at = strtoll(end + 1, &end, 10);
	}
	if (*end == '=')
	{
		row.has_value = true;
		row.value_bytes = strlen(end + 1);
		CHECK(row.value_bytes < REF_BYTES);
		memcpy(row.value, end + 1, row.value_bytes);
		end += strlen(end);
	}
	CHECK(*end == '\0');
	return row;
}

static inline int64_t
ref_number(int i)
{
	CHECK(i < ref.nwords);
	return strtoll(ref.word[i], NULL, 10);
}

/* ------------------------------------------------------------------ writes */

static inline FlowRecord
ref_record_of(const RefRow *row)
{
	return (FlowRecord){row->key,		row->key_bytes, row->ts,
						row->expire_at, row->value,		row->value_bytes};
}

static inline void
ref_do_batch(FlowOp op, int first, const FlowWriteOptions *opts)
{
	static RefRow row[REF_WORDS];
	FlowRecord rec[REF_WORDS];
	size_t n = 0;

	for (int i = first; i < ref.nwords; i++, n++)
	{
		row[n] = ref_row(ref.word[i]);
		rec[n] = ref_record_of(&row[n]);
	}
	if (op == FLOW_PUT)
		ref_must(flow_write_batch(ref.r.db, ref.r.store, rec, n, opts));
	else
		ref_must(flow_delete_batch(ref.r.db, ref.r.store, rec, n, opts));
}

static inline void
ref_do_fill(void)
{
	static char key[REF_ROWS][REF_BYTES];
	static FlowRecord rec[REF_ROWS];
	int64_t n = ref_number(2);

	CHECK(n <= REF_ROWS);
	for (int64_t i = 0; i < n; i++)
	{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(key[i], REF_BYTES, ref.word[1], (int) i);
#pragma GCC diagnostic pop
		rec[i] = ref_record(key[i], i * ref_number(3), "\1\2\3");
	}
	ref_must(flow_write_batch(ref.r.db, ref.r.store, rec, (size_t) n, NULL));
}

static inline void
ref_do_delete_range(void)
{
	char lo[REF_BYTES], hi[REF_BYTES];
	FlowRect rect = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};

	rect.key_lo = (uint8_t *) lo;
	rect.key_lo_bytes =
		(uint32_t) ref_unescape(ref.word[1], strlen(ref.word[1]), lo);
	if (strcmp(ref.word[2], "*") != 0)
	{
		rect.key_hi = (uint8_t *) hi;
		rect.key_hi_bytes =
			(uint32_t) ref_unescape(ref.word[2], strlen(ref.word[2]), hi);
	}
	if (ref.nwords > 3)
	{
		rect.ts_lo = ref_number(3);
		rect.ts_hi = ref_number(4);
	}
	ref_must(flow_delete_range(ref.r.db, ref.r.store, &rect, NULL));
}

static inline void
ref_do_patch(void)
{
	RefRow row = ref_row(ref.word[1]);
	FlowWriteOptions opts = {.has_ttl = ref.nwords > 2};
	FlowScan *scan;
	const FlowVector *vec;

	if (opts.has_ttl)
		opts.ttl_secs = ref_number(2);
	ref_must(flow_patch_record(ref.r.db, ref.r.store, row.key, row.key_bytes,
							   row.ts, row.has_value ? row.value : NULL,
							   row.value_bytes, &opts, &scan, &vec));
	CHECK(vec->nrows == 1 && vec->ts[0] == row.ts);
	flow_scan_close(scan);
}

static inline void
ref_do_compact(bool must)
{
	bool ran;

	ref_must(flow_compact(ref.r.db, ref.r.store, &ran));
	if (ran != must)
		ref_wrong(ran ? "a merge ran" : "no merge ran");
}

static inline void
ref_do_gc(void)
{
	uint64_t purged;

	ref_must(flow_gc(ref.r.db, &purged));
	if (ref.nwords > 1 && purged != (uint64_t) ref_number(1))
		ref_wrong("not so many rows were purged");
}

/* ----------------------------------------------------------------- queries */

static inline void
ref_got_row(const FlowRecord *rec)
{
	RefRow *row = &ref.got[ref.ngot++];

	CHECK(ref.ngot < REF_ROWS);
	CHECK(rec->key_bytes <= REF_BYTES && rec->value_bytes <= REF_BYTES);
	memcpy(row->key, rec->key, rec->key_bytes);
	row->key_bytes = rec->key_bytes;
	row->ts = rec->ts;
	row->expire_at = rec->expire_at;
	memcpy(row->value, rec->value, rec->value_bytes);
	row->value_bytes = rec->value_bytes;
}

static inline bool
ref_is_got(size_t i, const FlowVector *vec, uint32_t k)
{
	const RefRow *row = &ref.got[i];

	return i < ref.ngot && row->key_bytes == vec->key_bytes[k] &&
		   memcmp(row->key, vec->key[k], row->key_bytes) == 0 &&
		   row->ts == vec->ts[k] && row->expire_at == vec->expire_at[k] &&
		   row->value_bytes == vec->value_bytes[k] &&
		   memcmp(row->value, vec->value[k], row->value_bytes) == 0;
}

/* The same rows by vectors of want rows, forwards or backwards. */
static inline void
ref_scan_again(FlowScanSpec spec, bool reverse, uint32_t want, uint64_t limit)
{
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;
	size_t n = 0;

	spec.reverse = reverse;
	spec.limit = limit;
	spec.no_fill_cache = reverse;
	spec.no_verify = reverse;
	ref_must(flow_scan_open(ref.r.db, &spec, &scan));
	while ((st = flow_scan_next(scan, want, &vec)) == FLOW_OK)
		for (uint32_t k = 0; k < vec->nrows; k++, n++)
			if (!ref_is_got(reverse ? ref.ngot - 1 - n : n, vec, k))
				ref_wrong("another scan of the same gives other rows");
	if (st != FLOW_END)
		ref_must(st);
	if (n != (limit > 0 && limit < ref.ngot ? limit : ref.ngot))
		ref_wrong("another scan of the same gives another number of rows");
	flow_scan_close(scan);
}

static inline void
ref_check_order(void)
{
	for (size_t i = 1; i < ref.ngot; i++)
	{
		const RefRow *a = &ref.got[i - 1];
		const RefRow *b = &ref.got[i];
		size_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
		int c = memcmp(a->key, b->key, n);

		if (c == 0)
			c = (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
		if (c > 0 || (c == 0 && a->ts >= b->ts))
			ref_wrong("rows do not rise");
	}
}

static inline void
ref_scan(const FlowScanSpec *spec)
{
	FlowScan *scan;
	FlowRecord row;
	FlowStatus st;

	ref_must(flow_scan_open(ref.r.db, spec, &scan));
	while ((st = flow_scan_row(scan, &row)) == FLOW_OK)
		ref_got_row(&row);
	if (st != FLOW_END)
		ref_must(st);
	flow_scan_close(scan);
	ref_check_order();
	ref_scan_again(*spec, false, 0, 0);
	ref_scan_again(*spec, true, 0, 0);
	ref_scan_again(*spec, false, 1, 0);
	ref_scan_again(*spec, true, 3, 1);
	ref_scan_again(*spec, false, 0, 2);
}

/* [x, (x or -; where the text begins */
static inline const char *
ref_bound_kind(const char *word, FlowBoundKind *kind)
{
	*kind = word[0] == '['	 ? FLOW_INCLUSIVE
			: word[0] == '(' ? FLOW_EXCLUSIVE
							 : FLOW_OPEN;
	CHECK(*kind != FLOW_OPEN || strcmp(word, "-") == 0);
	return word + 1;
}

static inline void
ref_scan_bounds(FlowScanSpec *spec, char key[2][REF_BYTES])
{
	FlowKeyBound *kb[2] = {&spec->key_lo, &spec->key_hi};
	FlowTimeBound *tb[2] = {&spec->ts_lo, &spec->ts_hi};

	CHECK(ref.nwords == 5);
	for (int i = 0; i < 2; i++)
	{
		const char *text = ref_bound_kind(ref.word[1 + i], &kb[i]->kind);

		kb[i]->key = key[i];
		kb[i]->key_bytes = ref_unescape(text, strlen(text), key[i]);
		text = ref_bound_kind(ref.word[3 + i], &tb[i]->kind);
		tb[i]->ts = strtoll(text, NULL, 10);
	}
}

static inline void
ref_do_scan(void)
{
	FlowScanSpec spec = ref_spec(&ref.r);
	char key[2][REF_BYTES], scratch[REF_BYTES];
	size_t bytes[2] = {0};
	const char *what = ref.word[0];
	int times = 1; /* where they stand */

	for (int i = 0; i < 2 && i + 1 < ref.nwords && what[0] != 'S'; i++)
		bytes[i] =
			ref_unescape(ref.word[i + 1], strlen(ref.word[i + 1]), key[i]);
	if (what[0] == 'P')
	{
		flow_spec_prefix(&spec, key[0], bytes[0], scratch);
		times = 2;
	}
	else if (what[0] == 'K')
	{
		flow_spec_key_range(&spec, key[0], bytes[0], key[1], bytes[1]);
		times = 3;
	}
	else if (what[0] == 'S')
		ref_scan_bounds(&spec, key);
	if (what[0] == 'T' || (what[0] != 'S' && what[1] == 'T'))
		flow_spec_time_range(&spec, ref_number(times), ref_number(times + 1));
	ref_scan(&spec);
}

static inline void
ref_do_get(bool latest)
{
	FlowScanSpec spec = ref_spec(&ref.r);
	char word[REF_BYTES * 2];
	RefRow row;
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	snprintf(word, sizeof(word), "%s%s", ref.word[1], latest ? "@0" : "");
	row = ref_row(word);
	if (latest)
		st = flow_get_latest(ref.r.db, &spec, row.key, row.key_bytes, &scan,
							 &vec);
	else
		st = flow_get(ref.r.db, &spec, row.key, row.key_bytes, row.ts, &scan,
					  &vec);
	if (st == FLOW_NOTFOUND)
	{
		CHECK(scan == NULL);
		return;
	}
	ref_must(st);
	CHECK(vec->nrows == 1);
	ref_got_row(&(FlowRecord){vec->key[0], vec->key_bytes[0], vec->ts[0],
							  vec->expire_at[0], vec->value[0],
							  vec->value_bytes[0]});
	flow_scan_close(scan);
}

static inline void
ref_compare(void)
{
	size_t n = 0;
	char *save = NULL;

	for (char *w = strtok_r(ref.want, " \n\t", &save); w;
		 w = strtok_r(NULL, " \n\t", &save), n++)
	{
		const RefRow *got = &ref.got[n];
		RefRow row;

		if (w[0] == '#')
		{
			if (ref.ngot != strtoull(w + 1, NULL, 10))
				ref_wrong("not so many rows");
			return;
		}
		row = ref_row(w);
		if (n >= ref.ngot)
			ref_wrong("rows are missing");
		if (row.key_bytes != got->key_bytes || row.ts != got->ts ||
			memcmp(row.key, got->key, row.key_bytes) != 0 ||
			(row.has_expire && row.expire_at != got->expire_at) ||
			(row.has_value &&
			 (row.value_bytes != got->value_bytes ||
			  memcmp(row.value, got->value, row.value_bytes) != 0)))
			ref_wrong("other rows");
	}
	if (n != ref.ngot)
		ref_wrong("too many rows");
}

/* ----------------------------------------------------------- the statements */

/* What the mode wants between changes and queries. */
static inline void
ref_settle(void)
{
	bool ran;
	uint64_t purged;

	if (!ref.dirty)
		return;
	ref.dirty = false;
	if (ref.mode == REF_FLUSH || ref.mode == REF_COMPACT)
		ref_must(flow_flush(ref.r.db, NULL));
	if (ref.mode == REF_REOPEN)
		ref_reopen(&ref.r);
	if (ref.mode == REF_CRASH)
		ref_crash(&ref.r);
	if (ref.mode == REF_COMPACT)
	{
		do
			ref_must(flow_compact(ref.r.db, 0, &ran));
		while (ran);
		ref_must(flow_gc(ref.r.db, &purged));
	}
}

static inline void
ref_query(void)
{
	const char *what = ref.word[0];

	ref_settle();
	ref.ngot = 0;
	if (strcmp(what, "GET") == 0)
		ref_do_get(false);
	else if (strcmp(what, "LATEST") == 0)
		ref_do_get(true);
	else
		ref_do_scan();
	ref_compare();
}

static inline void
ref_change(void)
{
	const char *what = ref.word[0];

	if (strcmp(what, "W") == 0)
		ref_do_batch(FLOW_PUT, 1, NULL);
	else if (strcmp(what, "TTL") == 0)
		ref_do_batch(
			FLOW_PUT, 2,
			&(FlowWriteOptions){.has_ttl = true, .ttl_secs = ref_number(1)});
	else if (strcmp(what, "FILL") == 0)
		ref_do_fill();
	else if (strcmp(what, "DEL") == 0)
		ref_do_batch(FLOW_DELETE, 1, NULL);
	else if (strcmp(what, "DR") == 0)
		ref_do_delete_range();
	else if (strcmp(what, "PATCH") == 0)
		ref_do_patch();
	else if (strcmp(what, "F") == 0)
		ref_must(flow_flush(ref.r.db, NULL));
	else if (strcmp(what, "C") == 0)
		ref_do_compact(true);
	else if (strcmp(what, "CX") == 0)
		ref_do_compact(false);
	else if (strcmp(what, "GC") == 0)
		ref_do_gc();
	else if (strcmp(what, "R") == 0)
		ref_reopen(&ref.r);
	else if (strcmp(what, "X") == 0)
		ref_crash(&ref.r);
	else if (strcmp(what, "NOW") == 0)
		ref_clock = ref_number(1);
	else
		ref_wrong("unknown statement");
	ref.dirty = true;
}

static inline void
ref_statement(char *text)
{
	char *save = NULL;

	ref.want = strstr(text, "->");
	if (ref.want)
	{
		*ref.want = '\0';
		ref.want += 2;
	}
	ref.nwords = 0;
	for (char *w = strtok_r(text, " \n\t", &save); w;
		 w = strtok_r(NULL, " \n\t", &save))
	{
		CHECK(ref.nwords < REF_WORDS);
		ref.word[ref.nwords++] = w;
	}
	if (ref.nwords == 0)
		return;
	if (ref.want)
		ref_query();
	else
		ref_change();
}

static inline void
ref_script(const char *script, RefMode mode)
{
	char *text = strdup(script);
	char *save = NULL;
	char copy[2048];

	CHECK(text != NULL);
	memset(&ref, 0, sizeof(ref));
	ref.mode = mode;
	ref.dirty = true;
	ref_open(&ref.r);
	for (char *s = strtok_r(text, ";", &save); s;
		 s = strtok_r(NULL, ";", &save))
	{
		snprintf(copy, sizeof(copy), "%s", s);
		ref.statement = copy;
		ref_statement(s);
	}
	ref_close(&ref.r);
	free(text);
}

/* --------------------------------------------------------------- the runner */

typedef struct RefScriptRun
{
	const char *script;
	RefMode mode;
} RefScriptRun;

static inline void
ref_run_script(const void *arg)
{
	const RefScriptRun *run = arg;

	ref_script(run->script, run->mode);
}

/* Is name one of the words of ids? */
static inline bool
ref_is_id(const char *ids, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = strstr(ids, name); p; p = strstr(p + 1, name))
		if ((p == ids || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

static inline int
ref_run_case(const RefCase *c)
{
	int failed = 0;

	if (c->fn)
		failed += !ref_apart(ref_run_fn, c);
	for (int mode = 0; c->script && mode < REF_MODES; mode++)
		failed += !ref_apart(ref_run_script,
							 &(RefScriptRun){c->script, (RefMode) mode});
	printf("%s %s\n", failed ? "FAILED" : "ok", c->id);
	fflush(stdout);
	return failed;
}

static inline int
ref_main(const RefCase *cases, size_t n, int argc, char **argv)
{
	int failed = 0;

	CHECK(system("rm -rf ./tmp_ref.*") == 0);
	for (size_t i = 0; i < n; i++)
	{
		if (argc > 1 && !ref_is_id(cases[i].id, argv[1]))
			continue;
		if (argc > 1 && cases[i].fn)
			cases[i].fn();
		else
			failed += ref_run_case(&cases[i]) > 0;
	}
	printf("# %zu cases, %d failed\n", n, failed);
	return failed ? 1 : 0;
}

#define REF_MAIN(cases)                                                  \
	int main(int argc, char **argv)                                      \
	{                                                                    \
		return ref_main(cases, sizeof(cases) / sizeof((cases)[0]), argc, \
						argv);                                           \
	}

#endif /* FLOW_TEST_REFCASE_H */
