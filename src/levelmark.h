/*-------------------------------------------------------------------------
 * levelmark.h
 *	  How long a list was when each nesting level of the transaction first
 *	  added to it, so that its rollback can take that away again.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_LEVELMARK_H
#define FLOWDB_LEVELMARK_H

#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

typedef struct FlowdbLevelMark
{
	int level; /* GetCurrentTransactionNestLevel() */
	Size mark; /* length of the list then */
} FlowdbLevelMark;

/* Zeroed: empty.  Its memory is TopTransactionContext's. */
typedef struct FlowdbLevelMarks
{
	FlowdbLevelMark *marks; /* rising levels */
	int n;
	int max;
} FlowdbLevelMarks;

/* The list is about to grow from len: remember where this level begins,
 * unless it has begun already. */
static inline void
flowdb_levels_begin(FlowdbLevelMarks *levels, Size len)
{
	int level = GetCurrentTransactionNestLevel();

	if (levels->n > 0 && levels->marks[levels->n - 1].level >= level)
		return;
	if (levels->n == levels->max)
	{
		int max = Max(4, levels->max * 2);
		Size size = max * sizeof(FlowdbLevelMark);

		levels->marks = levels->marks == NULL
							? MemoryContextAlloc(TopTransactionContext, size)
							: repalloc(levels->marks, size);
		levels->max = max;
	}
	levels->marks[levels->n].level = level;
	levels->marks[levels->n].mark = len;
	levels->n++;
}

/* The level and those inside it are rolled back: true when they had added
 * anything; the list goes back to *lenp. */
static inline bool
flowdb_levels_abort(FlowdbLevelMarks *levels, int level, Size *lenp)
{
	bool cut = false;

	while (levels->n > 0 && levels->marks[levels->n - 1].level >= level)
	{
		*lenp = levels->marks[--levels->n].mark;
		cut = true;
	}
	return cut;
}

/* What the level has added now belongs to its parent. */
static inline void
flowdb_levels_commit(FlowdbLevelMarks *levels, int level)
{
	FlowdbLevelMark *top = levels->n > 0 ? &levels->marks[levels->n - 1] : NULL;

	if (top == NULL || top->level < level)
		return;
	if (levels->n > 1 && top[-1].level == level - 1)
		levels->n--;
	else
		top->level = level - 1;
}

#endif /* FLOWDB_LEVELMARK_H */
