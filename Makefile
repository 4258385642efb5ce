# flowdb_fdw: the extension by PGXS, and the ways to try, test and measure it.
#
#   make && make install     build and install for $(PG_CONFIG)'s PostgreSQL
#   make demo | demo-stop    see it work on a private cluster; end that
#   make test                everything that is tested, on private clusters
#   make check-full          and what takes hours, or chroots: see scripts/check-full
#   make dist | deb          for PGXN; a Debian package
#   make golden VERSION=...  samples of what this version writes, at a release
#   make bench               measure against a heap table (long); bench/tsbs and bench/growth go on
#   make soak                full write load for SOAK_MINUTES=60: is all of it flat?
#
# WERROR=1        warnings are errors
# DEBUG_POINTS=1  our assertions, and points where tests stop the server

PG_CONFIG ?= pg_config

# These need no PostgreSQL to be installed yet, or none at all.
SCRIPT_GOALS = demo demo-stop test check-full bench soak install-deps engine-check \
	format-check headers-check dist deb golden
.PHONY: $(SCRIPT_GOALS) symbols-check engine-clean FORCE

ifneq ($(filter-out $(SCRIPT_GOALS),$(or $(MAKECMDGOALS),all)),)

MODULE_big = flowdb_fdw
EXTENSION = flowdb_fdw
DATA = $(wildcard flowdb_fdw--*.sql)
PGFILEDESC = "flowdb_fdw - time series tables with an LSM storage engine"

# The engine's POSIX environment is for its own tests and for embedders.
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c) \
	$(filter-out $(wildcard engine/env_posix*.c),$(wildcard engine/*.c))))

# create makes the extension in the regression database, so it runs first.
REGRESS = $(patsubst sql/%.sql,%,$(filter sql/create.sql,$(wildcard sql/*)) \
	$(filter-out sql/create.sql,$(sort $(wildcard sql/*.sql))))
ISOLATION = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION_OPTS = --load-extension=flowdb_fdw
TAP_TESTS = 1

# PostgreSQL's headers are named as system headers first, so that -Wextra
# judges our code only.
PG_CPPFLAGS = -isystem $(includedir_server)
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-declaration-after-statement \
	-Wno-unused-parameter -Wno-clobbered -Wno-missing-field-initializers \
	-MMD -MP
ifeq ($(WERROR),1)
PG_CFLAGS += -Werror
endif
ifeq ($(DEBUG_POINTS),1)
PG_CPPFLAGS += -DFLOWDB_DEBUG_POINTS -DFLOW_DEBUG -DUSE_ASSERT_CHECKING
endif

# The server loads modules with RTLD_GLOBAL: what is not exported on purpose
# must not be seen.  PostgreSQL 15 has no hidden visibility, hence the map.
EXPORTS = build/exports.map
SHLIB_LINK = -llz4 -lzstd -lxxhash -Wl,--version-script=$(EXPORTS)

EXTRA_CLEAN = src/*.o src/*.d engine/*.o engine/*.d build tmp_check \
	results output_iso regression.diffs regression.out

# LLVM bitcode serves inlining by the JIT only, and needs clang.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifneq ($(PGXS),)
include $(PGXS)
else ifneq ($(MAKECMDGOALS),clean)
$(error $(PG_CONFIG) knows of no PGXS: see scripts/install-deps)
else
clean:
	rm -rf $(EXTRA_CLEAN) flowdb_fdw.so
endif

clean: engine-clean

# Every function made for SQL, and the workers' entry points.
$(EXPORTS): $(wildcard src/*.c) Makefile
	@mkdir -p build
	@{ echo '{ global: Pg_magic_func; _PG_init; pg_finfo_*;'; \
	   echo 'flowdb_launcher_main; flowdb_worker_main;'; \
	   sed -n 's/^PG_FUNCTION_INFO_V1(\(.*\));.*/\1;/p' src/*.c; \
	   echo 'local: *; };'; } >$@

$(shlib): $(EXPORTS)

# PGXS follows neither headers nor flags; objects built for another
# PostgreSQL would link and fail at load.
build/flags: FORCE
	@mkdir -p build
	@echo '$(VERSION) $(CC) $(CPPFLAGS) $(CFLAGS)' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(OBJS): build/flags
-include $(OBJS:.o=.d)

symbols-check: $(shlib)
	scripts/check-source symbols

endif

engine-check:
	$(MAKE) -C engine check

engine-clean:
	$(MAKE) -C engine clean

headers-check:
	PG_CONFIG=$(PG_CONFIG) scripts/check-source headers

format-check:
	scripts/check-source format || [ $$? = 77 ]

install-deps:
	scripts/install-deps

test:
	scripts/run-tests

check-full:
	scripts/check-full

demo:
	scripts/demo

demo-stop:
	scripts/demo stop

bench:
	bench/run

dist:
	scripts/make-dist

deb:
	scripts/make-deb

golden:
	scripts/make-golden $(VERSION)

soak:
	scripts/soak $(or $(SOAK_MINUTES),60)
