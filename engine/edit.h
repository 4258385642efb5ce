/*-------------------------------------------------------------------------
 * edit.h
 *	  What manifest.c needs to know of an edit (edit.c, edit_read.c).
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_EDIT_H
#define FLOW_EDIT_H

#include "coding.h"
#include "manifest.h"

/* Header of the frame an edit stands in; the fields follow. */
#define EDIT_CHECKSUM 0 /* over all behind it */
#define EDIT_NUMBER 8	/* number of the edit */
#define EDIT_LENGTH 16	/* bytes behind the header */
#define EDIT_BYTES 20

/* One edit, as the frame it will be; manifest.c fills the header. */
struct FlowEdit
{
	FlowEnv *env;
	FlowBuf buf;
};

/* Where an edit is decoded from, and who is told. */
typedef struct FlowEditSource
{
	FlowEnv *env;
	const FlowManifestVisitor *visitor;
	const char *path; /* for messages */
	uint64_t off;	  /* of the frame */
} FlowEditSource;

/*
 * flowi_edit_replay
 *		Call the visitor for each field in [p, end), and edit_done.  CORRUPT:
 *		not what an edit looks like; or what the visitor returned.
 */
extern FlowStatus flowi_edit_replay(const FlowEditSource *src, const uint8_t *p,
									const uint8_t *end) FLOW_MUST_CHECK;

#endif /* FLOW_EDIT_H */
