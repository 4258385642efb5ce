/*-------------------------------------------------------------------------
 * testfile.h
 *	  What tests do with files behind the engine's back.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_TESTFILE_H
#define FLOW_TEST_TESTFILE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common.h"
#include "check.h"

/* Run a command, which has to go well. */
FLOW_PRINTF(1, 2)
static inline void
file_shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	CHECK(vsnprintf(command, sizeof(command), format, args) <
		  (int) sizeof(command));
	va_end(args);
	fflush(stdout);
	CHECK(system(command) == 0);
}

/* Files and directories in dir. */
static inline uint32_t
file_count(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint32_t n = 0;

	CHECK(d != NULL);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* All of a file, in memory of malloc that has room for one byte more. */
static inline uint8_t *
file_read_all(const char *path, size_t *np)
{
	int fd = open(path, O_RDONLY);
	struct stat sb;
	uint8_t *p;

	CHECK(fd >= 0 && fstat(fd, &sb) == 0);
	*np = (size_t) sb.st_size;
	p = malloc(*np + 1);
	CHECK(p != NULL && read(fd, p, *np) == (ssize_t) *np);
	close(fd);
	return p;
}

/* These are all its bytes now.  Without O_TRUNC, after which some file systems
 * flush at close. */
static inline void
file_write_all(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	struct stat sb;

	CHECK(fd >= 0 && pwrite(fd, p, n, 0) == (ssize_t) n);
	CHECK(fstat(fd, &sb) == 0);
	if ((size_t) sb.st_size != n)
		CHECK(ftruncate(fd, (off_t) n) == 0);
	CHECK(close(fd) == 0);
}

#endif /* FLOW_TEST_TESTFILE_H */
