/*-------------------------------------------------------------------------
 * newest.c
 *	  The newest write to one record that is still in memory.
 *
 * Locks: L2 shared; called with L1 held or not.
 *-------------------------------------------------------------------------
 */
#include "newest.h"

#include "pins.h"

FlowStatus
flowi_newest_seq(FlowDb *db, uint32_t store_id, const void *key,
				 size_t key_bytes, int64_t ts, uint64_t *seqp)
{
	FlowPins pins = {0};
	FlowStatus st = FLOW_OK;

	*seqp = 0;
	if (key_bytes > FLOW_MAX_KEY)
		return FLOW_OK;
	st = flowi_pins_take_memtables(db, &pins);
	for (uint32_t i = 0; i < pins.nmemtables; i++)
	{
		uint64_t seq = flowi_memtable_newest(pins.memtables[i], store_id, key,
											 (uint32_t) key_bytes, ts);

		*seqp = FLOW_MAX(*seqp, seq);
	}
	flowi_pins_drop_memtables(db, &pins);
	flowi_pins_free(db, &pins);
	return st;
}
