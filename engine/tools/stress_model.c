/*-------------------------------------------------------------------------
 * stress_model.c
 *	  What flowdb_stress knows must be in the database.
 *-------------------------------------------------------------------------
 */
#include "stress_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define TS_STEP INT64_C(1000000)

StressModel *
stress_model_create(uint32_t nwriters, uint32_t nkeys, uint32_t ntimes,
					uint64_t seed)
{
	size_t size = sizeof(StressModel) +
				  (size_t) nwriters * nkeys * ntimes * sizeof(StressSlot);
	StressModel *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
						  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	m->nwriters = nwriters;
	m->nkeys = nkeys;
	m->ntimes = ntimes;
	m->seed = seed;
	return m;
}

size_t
stress_key(const StressModel *m, uint32_t slot, char key[STRESS_KEY_BYTES])
{
	uint32_t writer = slot / stress_slots_of_writer(m);
	uint32_t no = slot % stress_slots_of_writer(m) / m->ntimes;

	return (size_t) snprintf(key, STRESS_KEY_BYTES, "w%02u/k%06u", writer, no);
}

int64_t
stress_ts(const StressModel *m, uint32_t slot)
{
	/* half of the times lie before 1970 */
	return ((int64_t) (slot % m->ntimes) - (int64_t) (m->ntimes / 2)) * TS_STEP;
}

bool
stress_slot_of(const StressModel *m, const void *key, size_t key_bytes,
			   int64_t ts, uint32_t *slotp)
{
	char text[STRESS_KEY_BYTES];
	char again[STRESS_KEY_BYTES];
	unsigned writer, no;
	int64_t time = ts / TS_STEP + (int64_t) (m->ntimes / 2);
	uint32_t slot;

	if (key_bytes >= sizeof(text))
		return false;
	memcpy(text, key, key_bytes);
	text[key_bytes] = '\0';
	if (sscanf(text, "w%2u/k%6u", &writer, &no) != 2 || writer >= m->nwriters ||
		no >= m->nkeys || time < 0 || time >= (int64_t) m->ntimes)
		return false;
	slot = (writer * m->nkeys + no) * m->ntimes + (uint32_t) time;
	if (stress_key(m, slot, again) != key_bytes ||
		memcmp(again, text, key_bytes) != 0 || stress_ts(m, slot) != ts)
		return false;
	*slotp = slot;
	return true;
}

static uint64_t
mix(const StressModel *m, uint32_t slot, uint32_t version)
{
	uint64_t in[2] = {(uint64_t) slot << 32 | version, m->seed};

	return XXH3_64bits(in, sizeof(in));
}

/* Version, then bytes that follow from slot and version; most are short. */
size_t
stress_value(const StressModel *m, uint32_t slot, uint32_t version,
			 uint8_t value[STRESS_MAX_VALUE])
{
	uint64_t r = mix(m, slot, version);
	size_t bytes = sizeof(version) + r % 100;

	if (r >> 58 == 0)
		bytes = sizeof(version) + r % (STRESS_MAX_VALUE - sizeof(version));
	memcpy(value, &version, sizeof(version));
	for (size_t i = sizeof(version); i < bytes; i++)
	{
		if (i % 8 == 0)
			r = r * UINT64_C(6364136223846793005) + 1442695040888963407;
		value[i] = (uint8_t) (r >> (40 + i % 3));
	}
	return bytes;
}

uint32_t
stress_version_of(const StressModel *m, uint32_t slot, const void *value,
				  size_t value_bytes)
{
	uint8_t right[STRESS_MAX_VALUE];
	uint32_t version;

	if (value_bytes < sizeof(version))
		return 0;
	memcpy(&version, value, sizeof(version));
	if (version == 0 || stress_value(m, slot, version, right) != value_bytes ||
		memcmp(right, value, value_bytes) != 0)
		return 0;
	return version;
}

uint32_t
stress_issue(StressModel *m, uint32_t slot, bool deletes)
{
	StressSlot *s = &m->slot[slot];
	uint64_t state = atomic_load(&s->issued);
	uint32_t version = stress_version(state) + 1;
	uint64_t history = state >> 24 << 1 | deletes;

	if (version > 0xffffff)
	{
		fprintf(stderr, "flowdb_stress: out of versions\n");
		exit(2);
	}
	atomic_store(&s->issued, history << 24 | version);
	return version;
}

void
stress_ack(StressModel *m, uint32_t slot)
{
	atomic_store(&m->slot[slot].acked, atomic_load(&m->slot[slot].issued));
}

/* Did version, which is not older than the history, delete? */
static bool
deletes(uint64_t state, uint32_t version)
{
	return state >> 24 >> (stress_version(state) - version) & 1;
}

bool
stress_allows(uint64_t acked, uint64_t issued, uint32_t version)
{
	uint32_t from = stress_version(acked);
	uint32_t to = stress_version(issued);

	if (to - from >= STRESS_HISTORY)
		return version == 0 || (version >= from && version <= to);
	if (version > 0)
		return version >= from && version <= to && !deletes(issued, version);
	if (from == 0)
		return true;
	for (uint32_t v = from; v <= to; v++)
	{
		if (deletes(issued, v))
			return true;
	}
	return false;
}

void
stress_settle(StressModel *m, uint32_t slot, uint32_t version)
{
	StressSlot *s = &m->slot[slot];
	uint64_t state = atomic_load(&s->issued);
	uint64_t issued = stress_version(state);

	/* versions go on behind the last one issued: its number is taken, so a
	 * row of an older version is remembered under that */
	if (version > 0)
		state = (uint64_t) version;
	else
		state = issued == 0 ? 0 : UINT64_C(1) << 24 | issued;
	atomic_store(&s->issued, state);
	atomic_store(&s->acked, state);
}
