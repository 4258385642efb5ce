/*-------------------------------------------------------------------------
 * edit_format.h
 *	  The fields of a manifest edit, for edit.c and edit_read.c.
 *
 * An edit is a list of fields, each a tag, a length and a body.  There is no
 * skipping of unknown tags: a new one raises the manifest's version.
 *
 * Bytes: doc/FORMAT.md "Manifest".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_EDIT_FORMAT_H
#define FLOW_EDIT_FORMAT_H

#include "edit.h"

/* Fields of an edit: tag, length of the body, body. */
#define FIELD_TAG 0
#define FIELD_LENGTH 1
#define FIELD_BYTES 5

enum
{
	TAG_ADD_SST = 1,
	TAG_REMOVE_SST = 2,
	TAG_TXNS = 3,
	TAG_STORE = 4,
	TAG_FLUSHED = 5,
	TAG_NEXT_ID = 6,
	TAG_TRASH = 7,
	TAG_GONE = 8,
	TAG_DROP = 9,
	TAG_KEPT = 10,
	TAG_STORE_GONE = 11,
	TAG_NEXT_STORE = 12
};

/* Flags of a drop. */
#define DROP_UNLESS 1

/* Flags of a range tombstones' rectangle. */
#define COVER_HAS_END 1

/*
 * What every SSTable keeps to; NULL: all is well.  Checked when an entry
 * is written too, so that no manifest is made that cannot be read again.
 * cover is that of whatever range tombstones there are, empty ones included,
 * so nothing is asked of it.
 */
extern const char *flowi_edit_check_sst(const FlowSstInfo *s);

#endif /* FLOW_EDIT_FORMAT_H */
