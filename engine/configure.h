/*-------------------------------------------------------------------------
 * configure.h
 *	  Settings that change while a database is open; policies of stores.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_CONFIGURE_H
#define FLOW_CONFIGURE_H

#include "db.h"

/* The store whose description the settings are. */
#define FLOW_SETTINGS_STORE "\001settings"

/* A name of the engine's own, which nobody else gets to see. */
static inline bool
flowi_is_reserved(const char *name)
{
	return name[0] == '\001';
}

/*
 * flowi_configure_init
 *		Before the manifest is read: what counts is what was loaded with.
 * flowi_configure_check
 *		Are these settings, if it is their definition, well-formed?  CORRUPT,
 *		or MISMATCH for a later version.
 * flowi_configure_entered
 *		The definition of s is new or changed: settings take effect, a store
 *		gets its policy.  State lock held exclusively.
 */
extern void flowi_configure_init(FlowEnv *env, FlowDbShared *sh);
extern FlowStatus
flowi_configure_check(const FlowStoreInfo *info) FLOW_MUST_CHECK;
extern void flowi_configure_entered(FlowEnv *env, FlowDbShared *sh,
									FlowStore *s);

#endif /* FLOW_CONFIGURE_H */
