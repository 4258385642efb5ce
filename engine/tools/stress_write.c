/*-------------------------------------------------------------------------
 * stress_write.c
 *	  The writers of flowdb_stress.
 *-------------------------------------------------------------------------
 */
#include "stress.h"

static void
begin_flight(uint32_t writer, const uint32_t *slots, uint32_t n)
{
	StressFlight *f = &model->flight[writer];

	memcpy(f->slot, slots, n * sizeof(*slots));
	atomic_store(&f->nslots, n);
}

static void
end_flight(uint32_t writer)
{
	StressFlight *f = &model->flight[writer];
	uint32_t n = atomic_load(&f->nslots);

	for (uint32_t i = 0; i < n; i++)
		stress_ack(model, f->slot[i]);
	atomic_store(&f->nslots, 0);
	atomic_fetch_add(&model->batches, 1);
}

/* n slots of the writer, each once. */
static uint32_t
choose_slots(Random *r, uint32_t writer, uint32_t *slots)
{
	uint32_t all = stress_slots_of_writer(model);
	uint32_t n = 1 + below(r, STRESS_MAX_BATCH);
	uint32_t first = below(r, all);
	uint32_t step = below(r, 3) == 0 ? 1 : 1 + 2 * below(r, all / 2);

	if (n > all / 2)
		n = 1;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t slot =
			writer * all +
			(uint32_t) (((uint64_t) first + (uint64_t) i * step) % all);

		for (uint32_t j = 0; j < i; j++)
		{
			if (slots[j] == slot)
				return i; /* the steps have come round */
		}
		slots[i] = slot;
	}
	return n;
}

/* Puts, some of them dead on arrival, or tombstones. */
static void
write_some(FlowDb *db, Random *r, uint32_t writer, bool puts)
{
	static _Thread_local uint8_t values[STRESS_MAX_BATCH][STRESS_MAX_VALUE];
	char keys[STRESS_MAX_BATCH][STRESS_KEY_BYTES];
	FlowRecord records[STRESS_MAX_BATCH];
	uint32_t slots[STRESS_MAX_BATCH];
	uint32_t n = choose_slots(r, writer, slots);

	begin_flight(writer, slots, n);
	for (uint32_t i = 0; i < n; i++)
	{
		bool dead = !puts || below(r, 20) == 0;
		uint32_t version = stress_issue(model, slots[i], dead);

		records[i] = (FlowRecord){
			.key = keys[i],
			.key_bytes = stress_key(model, slots[i], keys[i]),
			.ts = stress_ts(model, slots[i]),
			.expire_at = dead ? INT64_MIN / 2 + (int64_t) version : FLOW_NEVER,
			.value = values[i],
			.value_bytes = stress_value(model, slots[i], version, values[i])};
		if (!dead && below(r, 4) == 0)
			records[i].expire_at = INT64_MAX / 2;
	}
	if (puts)
		must(flow_write_batch(db, store, records, n, NULL), "write");
	else
		must(flow_delete_batch(db, store, records, n, NULL), "delete");
	end_flight(writer);
}

/* A range tombstone over some keys and times of the writer; the slots that
 * it covers are too many for a flight, so each is acknowledged by itself. */
static void
delete_range(FlowDb *db, Random *r, uint32_t writer)
{
	uint32_t key_lo = below(r, model->nkeys);
	uint32_t nkeys = 1 + below(r, below(r, 8) == 0 ? model->nkeys : 8);
	uint32_t time_lo = below(r, model->ntimes);
	uint32_t ntimes = 1 + below(r, model->ntimes);
	uint32_t base = writer * stress_slots_of_writer(model);
	char lo[STRESS_KEY_BYTES], hi[STRESS_KEY_BYTES];
	FlowRect rect;

	if (nkeys > model->nkeys - key_lo)
		nkeys = model->nkeys - key_lo;
	if (ntimes > model->ntimes - time_lo)
		ntimes = model->ntimes - time_lo;
	base += key_lo * model->ntimes + time_lo;
	for (uint32_t k = 0; k < nkeys; k++)
	{
		for (uint32_t t = 0; t < ntimes; t++)
			(void) stress_issue(model, base + k * model->ntimes + t, true);
	}
	rect = (FlowRect){
		.key_lo = (const uint8_t *) lo,
		.key_lo_bytes = (uint32_t) stress_key(model, base, lo),
		.key_hi = (const uint8_t *) hi,
		.ts_lo = stress_ts(model, base),
		.ts_hi = stress_ts(model, base + ntimes - 1),
	};
	/* just behind the last key */
	rect.key_hi_bytes =
		(uint32_t) stress_key(model, base + (nkeys - 1) * model->ntimes, hi);
	hi[rect.key_hi_bytes++] = '\0';
	must(flow_delete_range(db, store, &rect, NULL), "delete_range");
	for (uint32_t k = 0; k < nkeys; k++)
	{
		for (uint32_t t = 0; t < ntimes; t++)
			stress_ack(model, base + k * model->ntimes + t);
	}
	atomic_fetch_add(&model->batches, 1);
}

/* Patch one slot: there is a row just when its newest version is one. */
static void
patch(FlowDb *db, Random *r, uint32_t writer)
{
	uint32_t all = stress_slots_of_writer(model);
	uint32_t slot = writer * all + below(r, all);
	uint64_t state = atomic_load(&model->slot[slot].acked);
	bool live = stress_version(state) > 0 && !(state >> 24 & 1);
	uint8_t value[STRESS_MAX_VALUE];
	char key[STRESS_KEY_BYTES];
	size_t key_bytes = stress_key(model, slot, key);
	FlowScan *scan;
	const FlowVector *vec;
	FlowStatus st;

	if (live)
	{
		uint32_t version;

		begin_flight(writer, &slot, 1);
		version = stress_issue(model, slot, false);
		must(flow_patch_record(
				 db, store, key, key_bytes, stress_ts(model, slot), value,
				 stress_value(model, slot, version, value), NULL, &scan, &vec),
			 "patch");
		if (vec->nrows != 1 ||
			stress_version_of(model, slot, vec->value[0],
							  vec->value_bytes[0]) != version)
			wrong("patched row", slot, 0);
		flow_scan_close(scan);
		end_flight(writer);
		return;
	}
	st = flow_patch_record(db, store, key, key_bytes, stress_ts(model, slot),
						   value, 0, NULL, &scan, &vec);
	if (st != FLOW_NOTFOUND)
	{
		must(st, "patch of nothing");
		wrong("patched a row that is not there", slot, 0);
	}
}

void *
writer_main(void *arg)
{
	uint32_t writer = (uint32_t) (uintptr_t) arg;
	Random r = {opt.seed * 1000 + writer +
				atomic_load(&model->batches) * 1000003};
	FlowDb *db = new_handle();

	while (!atomic_load(&stop))
	{
		switch (below(&r, 40))
		{
			case 0:
				delete_range(db, &r, writer);
				break;
			case 1:
			case 2:
			case 3:
				write_some(db, &r, writer, false);
				break;
			case 4:
			case 5:
				patch(db, &r, writer);
				break;
			default:
				write_some(db, &r, writer, true);
				break;
		}
	}
	flow_detach(db);
	return NULL;
}
