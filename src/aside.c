/*-------------------------------------------------------------------------
 * aside.c
 *	  Log records that recovery could not apply, kept for later or for good.
 *
 * The checkpoint that follows would let the log go.  Those of a damaged
 * database are set aside: nothing uses them, and the database stays broken.
 * Those of one whose files cannot be reached (its file system is not mounted,
 * a folder cannot be read) are kept until they can, and then applied before
 * anything else: such a database heals by itself (S7).
 *
 * A record is durable before a checkpoint that does not need it any more in
 * the log can pass: flowdb_aside_sync is called where memtables are flushed
 * for the same reason.  Recovery that starts anew appends them once more, in
 * the place of those that it had appended before.  Bytes: doc/FORMAT.md "Records set aside".
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecord.h"
#include "access/xlogrecovery.h"
#include "port/pg_iovec.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "../engine/common.h"
#include "aside.h"
#include "flowdb_identity.h"
#include "flowdb_wal.h"

#define ASIDE_MAGIC 0x3144495341574C46ULL /* "FLWASID1", little-endian */
#define ASIDE_VERSION 1

/* The file is a FlowdbFileHead and frames. */
typedef struct Frame
{
	uint64 start;
	uint32 len;
	pg_crc32c crc; /* of the data behind */
} Frame;

/* What this process has appended to. */
typedef struct Appended
{
	bool known; /* end is */
	bool dirty;
	off_t end;
	char path[64];
} Appended;

static Appended appended[FLOWDB_MAX_DATABASES];

void
flowdb_aside_path(const FlowdbEntry *entry, bool later, char path[64])
{
	snprintf(path, 64, FLOWDB_DIRECTORY "/%s-%u-%u", later ? "later" : "aside",
			 entry->dboid, entry->serverid);
}

/*
 * The frame at off: 1, with its data in *datap, of *roomp bytes; 0: the file
 * ends there, or what a crash has left of a frame; -1: the file cannot be
 * read.
 */
static int
read_frame(int fd, off_t off, Frame *frame, char **datap, Size *roomp)
{
	ssize_t n = pg_pread(fd, frame, sizeof(*frame), off);

	if (n < 0)
		return -1;
	if (n != sizeof(*frame))
		frame->start = 0; /* part of it says nothing */
	if (n != sizeof(*frame) || frame->len == 0 || frame->len > MaxAllocSize)
		return 0;
	if (frame->len > *roomp)
	{
		*roomp = frame->len;
		*datap = *datap ? repalloc(*datap, *roomp) : palloc(*roomp);
	}
	n = pg_pread(fd, *datap, frame->len, off + (off_t) sizeof(*frame));
	if (n < 0)
		return -1;
	return n == (ssize_t) frame->len &&
		   frame->crc == flowdb_file_crc(*datap, frame->len);
}

/*
 * What the file begins with.  MISSING: a crash has left it without a head.
 */
static FlowdbFileState
read_head(int fd, const char *path)
{
	static const FlowdbFileHead nothing;
	FlowdbFileHead head = nothing;
	ssize_t n = pg_pread(fd, &head, sizeof(head), 0);

	if (n < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", path)));
	if (n != sizeof(head) || memcmp(&head, &nothing, sizeof(head)) == 0)
		return FLOWDB_FILE_MISSING;
	if (head.magic != ASIDE_MAGIC || head.version == 0)
		return FLOWDB_FILE_DAMAGED;
	return head.version > ASIDE_VERSION ? FLOWDB_FILE_NEWER : FLOWDB_FILE_OK;
}

/* --------------------------------------------------------------- appending */

pg_noreturn static void
cannot(const char *what, const char *path)
{
	ereport(FATAL,
			(errcode_for_file_access(),
			 errmsg("could not %s file \"%s\": %m", what, path),
			 errdetail("It is to keep log records of a FlowDB database that "
					   "cannot be used now."),
			 errhint("Recovery goes on with the next start, once the file can "
					 "be written.")));
}

/* Put the head before the first frame, if there is none. */
static void
begin_file(int fd, const char *path)
{
	const FlowdbFileHead head = {.magic = ASIDE_MAGIC,
								 .version = ASIDE_VERSION};
	FlowdbFileState state = read_head(fd, path);

	if (state == FLOWDB_FILE_NEWER)
		ereport(FATAL, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("recovery needs a newer version of flowdb_fdw"),
						errdetail("File \"%s\" has a newer version than %d.",
								  path, ASIDE_VERSION)));
	if (state == FLOWDB_FILE_DAMAGED)
		ereport(FATAL, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("file \"%s\" is damaged", path),
						errhint("Keep it elsewhere and start again.")));
	if (state == FLOWDB_FILE_OK)
		return;
	if (ftruncate(fd, 0) != 0)
		cannot("truncate", path);
	errno = ENOSPC; /* what a short write means */
	if (pg_pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
		cannot("write", path);
}

/*
 * A frame that is not whole, and was not the last one that a crash has kept
 * from being written: recovery writes those of pos and later.
 */
static bool
is_damaged(const Frame *frame, XLogRecPtr pos)
{
	return frame->start != 0 && frame->start < pos;
}

/*
 * Where the whole frames from before pos end.  What stands behind them goes: a
 * crash has left it, or it comes again, or never was there if recovery ends
 * earlier this time.  Behind damage nothing goes: applying will find it.
 */
static void
find_end(int fd, Appended *to, XLogRecPtr pos)
{
	char *data = palloc(BLCKSZ);
	Size room = BLCKSZ;
	Frame frame = {0};
	int found;

	begin_file(fd, to->path);
	to->end = sizeof(FlowdbFileHead);
	while ((found = read_frame(fd, to->end, &frame, &data, &room)) > 0 &&
		   frame.start < pos)
	{
		to->end += (off_t) (sizeof(frame) + frame.len);
		frame = (Frame){0};
	}
	if (found < 0)
		cannot("read", to->path);
	if (found == 0 && is_damaged(&frame, pos))
		to->end = lseek(fd, 0, SEEK_END);
	else if (ftruncate(fd, to->end) != 0)
		cannot("truncate", to->path);
	to->known = true;
	pfree(data);
}

void
flowdb_aside_append(int slot, bool later, XLogReaderState *record)
{
	const FlowdbEntry *entry = &flowdb_shared->slots[slot].entry;
	Appended *to = &appended[slot];
	Frame frame = {.start = record->ReadRecPtr,
				   .len = XLogRecGetDataLen(record)};
	struct iovec iov[2] = {{&frame, sizeof(frame)},
						   {XLogRecGetData(record), frame.len}};
	Size bytes = sizeof(frame) + frame.len;
	char path[64];
	int fd;

	frame.crc = flowdb_file_crc(XLogRecGetData(record), frame.len);
	flowdb_aside_path(entry, later, path);
	if (strcmp(path, to->path) != 0) /* another server's slot before */
		memset(to, 0, sizeof(*to));
	strlcpy(to->path, path, sizeof(to->path));
	fd = BasicOpenFile(path, O_RDWR | O_CREAT | PG_BINARY);
	if (fd < 0)
		cannot("open", path);
	if (!to->known)
		find_end(fd, to, frame.start);
	errno = ENOSPC; /* what a short write means */
	if (pg_pwritev(fd, iov, lengthof(iov), to->end) != (ssize_t) bytes)
	{
		int save_errno = errno;

		/* if that fails too, the next start does it */
		if (ftruncate(fd, to->end) != 0)
			to->known = false;
		errno = save_errno;
		cannot("write", path);
	}
	close(fd);
	to->end += (off_t) bytes;
	to->dirty = true;
}

void
flowdb_aside_sync(void)
{
	bool any = false;

	for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
	{
		if (!appended[i].dirty)
			continue;
		fsync_fname(appended[i].path, false);
		appended[i].dirty = false;
		any = true;
	}
	if (any)
		fsync_fname(FLOWDB_DIRECTORY, true);
}

void
flowdb_aside_end(int slot)
{
	Appended *to = &appended[slot];
	char path[64];
	int fd;

	flowdb_aside_path(&flowdb_shared->slots[slot].entry, true, path);
	if (strcmp(path, to->path) == 0)
		return; /* this recovery has written it */
	fd = BasicOpenFile(path, O_RDWR | PG_BINARY);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0)
		cannot("open", path);
	*to = (Appended){.dirty = true};
	strlcpy(to->path, path, sizeof(to->path));
	find_end(fd, to, GetXLogReplayRecPtr(NULL));
	close(fd);
}

/* ---------------------------------------------------------------- applying */

/*
 * One record that redo had to leave out.  Its end is not known any more; the
 * next record starts behind its header at the earliest, and only starts are
 * compared (S1).
 */
static FlowStatus
apply_one(FlowDb *db, const Frame *frame, const char *data, uint64 *endp)
{
	FlowStatus st = FLOW_OK;

	if (frame->start < *endp || frame->len < sizeof(FlowdbWalHead))
		return FLOW_OK;
	*endp = frame->start + SizeOfXLogRecord;
	for (int i = 0; i < 2; i++)
	{
		st = flow_redo(db, data + sizeof(FlowdbWalHead),
					   frame->len - sizeof(FlowdbWalHead), frame->start, *endp);
		if (st != FLOW_BUSY)
			return st;
		FLOW_TRY(flow_flush(db, NULL));
	}
	/* others have the rest, and flush it once we give registry_lock back */
	return flowi_fail(FLOW_NOMEM, "no write buffers are free for log records "
								  "that were kept");
}

/*
 * Is that all, where no whole frame from before limit follows?  After recovery
 * the file is whole and durable, so whatever is left of it is damaged.
 */
static FlowStatus
check_end(int fd, const char *path, off_t off, const Frame *frame,
		  XLogRecPtr limit)
{
	struct stat sb;

	if (fstat(fd, &sb) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not stat file \"%s\": %m", path)));
	if (sb.st_size <= off ||
		(RecoveryInProgress() && !is_damaged(frame, limit)))
		return FLOW_OK;
	return flowi_fail(FLOW_CORRUPT, "file \"%s\" is damaged at offset %lld",
					  path, (long long) off);
}

/* All of them, up to SSTables. */
static FlowStatus
apply_all(FlowDb *db, int fd, const char *path)
{
	XLogRecPtr limit = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL)
											: (XLogRecPtr) PG_UINT64_MAX;
	char *data = palloc(BLCKSZ);
	Size room = BLCKSZ;
	FlowStatus st = FLOW_OK;
	uint64 end = 0;
	off_t off = sizeof(FlowdbFileHead);
	Frame frame = {0};
	int found = 0;

	while (st == FLOW_OK &&
		   (found = read_frame(fd, off, &frame, &data, &room)) > 0 &&
		   frame.start < limit)
	{
		st = apply_one(db, &frame, data, &end);
		off += (off_t) (sizeof(frame) + frame.len);
		frame = (Frame){0};
	}
	if (st == FLOW_OK && found < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", path)));
	pfree(data);
	if (st == FLOW_OK)
		st = check_end(fd, path, off, &frame, limit);
	if (st == FLOW_OK)
		st = flow_flush(db, NULL);
	return st;
}

static FlowStatus
apply_file(FlowDb *db, int fd, const char *path)
{
	switch (read_head(fd, path))
	{
		case FLOWDB_FILE_OK:
			return apply_all(db, fd, path);
		case FLOWDB_FILE_NEWER:
			return flowi_fail(FLOW_MISMATCH,
							  "file \"%s\" has a newer version than is known "
							  "here",
							  path);
		case FLOWDB_FILE_DAMAGED:
			return flowi_fail(FLOW_CORRUPT, "file \"%s\" is damaged", path);
		case FLOWDB_FILE_MISSING:
			break; /* a crash has left it so */
	}
	return FLOW_OK;
}

FlowStatus
flowdb_aside_apply(const FlowdbEntry *entry, FlowDb *db)
{
	char path[64];
	FlowStatus volatile st = FLOW_OK;
	int fd;

	flowdb_aside_path(entry, true, path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0 && errno == ENOENT)
		return FLOW_OK;
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	PG_TRY();
	{
		st = apply_file(db, fd, path);
	}
	PG_FINALLY();
	{
		CloseTransientFile(fd); /* a worker has no transaction to do it */
	}
	PG_END_TRY();
	if (st != FLOW_OK)
		return st;
	ereport(LOG, (errmsg("FlowDB has applied the log records that were kept "
						 "in \"%s\"",
						 path)));
	(void) durable_unlink(path, LOG);
	return FLOW_OK;
}

bool
flowdb_aside_start(const FlowdbEntry *entry, XLogRecPtr *startp)
{
	char path[64];
	char *data = NULL;
	Size room = 0;
	Frame frame;
	int save_errno;
	int found;
	int fd;

	flowdb_aside_path(entry, true, path);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	found = read_frame(fd, sizeof(FlowdbFileHead), &frame, &data, &room);
	save_errno = errno;
	CloseTransientFile(fd);
	errno = save_errno;
	if (found < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", path)));
	if (data != NULL)
		pfree(data);
	*startp = frame.start;
	return found > 0;
}

void
flowdb_aside_remove(const FlowdbEntry *entry)
{
	char path[64];

	for (int later = 0; later < 2; later++)
	{
		flowdb_aside_path(entry, later != 0, path);
		(void) unlink(path);
		for (int i = 0; i < FLOWDB_MAX_DATABASES; i++)
			if (strcmp(appended[i].path, path) == 0)
				appended[i] = (Appended){.path = ""}; /* nothing to sync */
	}
}
