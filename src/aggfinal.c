/*-------------------------------------------------------------------------
 * aggfinal.c
 *	  The aggregate functions that the engine can do, and their results, or
 *	  transition states, as PostgreSQL's values.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "agg.h"
#include "compat.h"

#define INTEGERS(name, type, sum)                                      \
	{F_SUM_##name, type, FLOW_AGG_SUM_INT, FLOWDB_RESULT_##sum},       \
		{F_AVG_##name, type, FLOW_AGG_SUM_INT, FLOWDB_RESULT_AVERAGE}, \
		ORDERED(name, type)
#define ORDERED(name, type)                                       \
	{F_MIN_##name, type, FLOW_AGG_MIN_INT, FLOWDB_RESULT_VALUE},  \
	{                                                             \
		F_MAX_##name, type, FLOW_AGG_MAX_INT, FLOWDB_RESULT_VALUE \
	}
#define FLOATS(name, type)                                              \
	{F_SUM_##name, type, FLOW_AGG_SUM_##name, FLOWDB_RESULT_SUM},       \
		{F_AVG_##name, type, FLOW_AGG_AVG_##name, FLOWDB_RESULT_MEAN},  \
		{F_MIN_##name, type, FLOW_AGG_MIN_##name, FLOWDB_RESULT_VALUE}, \
	{                                                                   \
		F_MAX_##name, type, FLOW_AGG_MAX_##name, FLOWDB_RESULT_VALUE    \
	}

/* Numbers are part of plans, which do not outlive a server. */
const FlowdbAggFunction flowdb_agg_functions[] = {
	{F_COUNT_, InvalidOid, FLOW_AGG_COUNT, FLOWDB_RESULT_COUNT},
	{F_COUNT_ANY, InvalidOid, FLOW_AGG_COUNT, FLOWDB_RESULT_COUNT},
	INTEGERS(INT2, INT2OID, BIGINT),
	INTEGERS(INT4, INT4OID, BIGINT),
	INTEGERS(INT8, INT8OID, NUMERIC),
	FLOATS(FLOAT4, FLOAT4OID),
	FLOATS(FLOAT8, FLOAT8OID),
	ORDERED(DATE, DATEOID),
	ORDERED(TIME, TIMEOID),
	ORDERED(TIMESTAMP, TIMESTAMPOID),
	ORDERED(TIMESTAMPTZ, TIMESTAMPTZOID),
};

int
flowdb_agg_function(Oid oid)
{
	for (int i = 0; i < (int) lengthof(flowdb_agg_functions); i++)
		if (flowdb_agg_functions[i].oid == oid)
			return i;
	return -1;
}

/* -------------------------------------------------------------- 128 bits */

/* Divide the number in four limbs, the lowest first; the remainder. */
static uint32
divide(uint32 *limbs, uint32 by)
{
	uint64 rest = 0;

	for (int i = 3; i >= 0; i--)
	{
		rest = rest << 32 | limbs[i];
		limbs[i] = (uint32) (rest / by);
		rest %= by;
	}
	return (uint32) rest;
}

/* A sum as a numeric, whose text is what counts beyond 64 bits. */
static Numeric
sum_numeric(const FlowAgg *agg)
{
	uint64 lo = agg->u.sum.lo;
	uint64 hi = (uint64) agg->u.sum.hi;
	bool negative = agg->u.sum.hi < 0;
	uint32 limbs[4];
	char text[48];
	char *p = text + sizeof(text) - 1;

	if (agg->u.sum.hi == (int64) lo >> 63)
		return int64_to_numeric((int64) lo);
	if (negative)
	{
		lo = -lo;
		hi = ~hi + (lo == 0);
	}
	limbs[0] = (uint32) lo;
	limbs[1] = (uint32) (lo >> 32);
	limbs[2] = (uint32) hi;
	limbs[3] = (uint32) (hi >> 32);
	*p = '\0';
	while (limbs[0] | limbs[1] | limbs[2] | limbs[3])
		*--p = (char) ('0' + divide(limbs, 10));
	if (negative)
		*--p = '-';
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(p),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}

/* ----------------------------------------------------------------- results */

static Datum
value_datum(Oid type, const FlowAgg *agg)
{
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum((int16) agg->u.num);
		case INT4OID:
		case DATEOID:
			return Int32GetDatum((int32) agg->u.num);
		case FLOAT4OID:
			return Float4GetDatum((float4) agg->u.f8.value);
		case FLOAT8OID:
			return Float8GetDatum(agg->u.f8.value);
		default:
			return Int64GetDatum(agg->u.num);
	}
}

Datum
flowdb_agg_result(const FlowdbAggFunction *f, const FlowAgg *agg, bool *nullp)
{
	*nullp = agg->n == 0 && f->result != FLOWDB_RESULT_COUNT;
	if (*nullp)
		return (Datum) 0;
	switch (f->result)
	{
		case FLOWDB_RESULT_COUNT:
			return Int64GetDatum((int64) agg->n);
		case FLOWDB_RESULT_BIGINT:
			return Int64GetDatum((int64) agg->u.sum.lo);
		case FLOWDB_RESULT_NUMERIC:
			return NumericGetDatum(sum_numeric(agg));
		case FLOWDB_RESULT_AVERAGE:
			return DirectFunctionCall2(
				numeric_div, NumericGetDatum(sum_numeric(agg)),
				NumericGetDatum(int64_to_numeric((int64) agg->n)));
		case FLOWDB_RESULT_VALUE:
			return value_datum(f->type, agg);
		case FLOWDB_RESULT_SUM:
			return f->type == FLOAT4OID ? Float4GetDatum(agg->u.f4)
										: Float8GetDatum(agg->u.f8.value);
		case FLOWDB_RESULT_MEAN:
			return Float8GetDatum(agg->u.f8.value / (double) agg->n);
	}
	elog(ERROR, "unexpected result %d of a FlowDB aggregate", (int) f->result);
}

/* ------------------------------------------------------------------ states */

Oid
flowdb_agg_state_type(const FlowdbAggFunction *f)
{
	switch (f->result)
	{
		case FLOWDB_RESULT_COUNT:
		case FLOWDB_RESULT_BIGINT:
			return INT8OID;
		case FLOWDB_RESULT_NUMERIC:
			return FLOWDB_SUM_STATE_TYPE;
		case FLOWDB_RESULT_AVERAGE:
			return f->type == INT8OID ? FLOWDB_SUM_STATE_TYPE : INT8ARRAYOID;
		case FLOWDB_RESULT_VALUE:
		case FLOWDB_RESULT_SUM:
			return f->type;
		case FLOWDB_RESULT_MEAN:
			return FLOAT8ARRAYOID;
	}
	return InvalidOid;
}

/*
 * As int8_avg_serialize: the count, then a numeric as numeric_send has it, but
 * with 32 bits for each number before the digits.
 */
static Datum
sum_state(const FlowAgg *agg)
{
	bytea *sent = DatumGetByteaPP(
		DirectFunctionCall1(numeric_send, NumericGetDatum(sum_numeric(agg))));
	StringInfoData in = {.data = VARDATA_ANY(sent),
						 .len = (int) VARSIZE_ANY_EXHDR(sent)};
	StringInfoData out;
	int ndigits = (int) pq_getmsgint(&in, 2);

	pq_begintypsend(&out);
	pq_sendint64(&out, agg->n);
	pq_sendint32(&out, (uint32) ndigits);
	pq_sendint32(&out, (uint32) (int16) pq_getmsgint(&in, 2)); /* weight */
	pq_sendint32(&out, pq_getmsgint(&in, 2));				   /* sign */
	pq_sendint32(&out, pq_getmsgint(&in, 2)); /* digits of the fraction */
	for (int i = 0; i < ndigits; i++)
		pq_sendint16(&out, (uint16) pq_getmsgint(&in, 2));
	return PointerGetDatum(pq_endtypsend(&out));
}

/* As int4_avg_accum: count and sum. */
static Datum
average_state(const FlowAgg *agg)
{
	Datum values[2] = {Int64GetDatum((int64) agg->n),
					   Int64GetDatum((int64) agg->u.sum.lo)};

	return PointerGetDatum(construct_array(values, 2, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * As float8_accum: count, sum, and sum of squared deviations.  Averages have no
 * use for the latter but to report its overflow, so the engine works it out
 * only where it could become infinite; else 0 serves as well.  Where the sum is
 * not finite it is NaN, which is how an overflow is told from an infinity.
 */
static Datum
mean_state(const FlowAgg *agg)
{
	bool finite = isfinite(agg->u.f8.value);
	Datum values[3] = {Float8GetDatum((double) agg->n),
					   Float8GetDatum(agg->u.f8.value),
					   Float8GetDatum(finite ? agg->u.f8.sxx : NAN)};

	return PointerGetDatum(construct_array(values, 3, FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
flowdb_agg_state(const FlowdbAggFunction *f, const FlowAgg *agg, bool *nullp)
{
	*nullp = false;
	if (f->result == FLOWDB_RESULT_MEAN)
		return mean_state(agg);
	if (f->result == FLOWDB_RESULT_AVERAGE && f->type != INT8OID)
		return average_state(agg);
	if (f->result == FLOWDB_RESULT_NUMERIC ||
		f->result == FLOWDB_RESULT_AVERAGE)
		return sum_state(agg);
	return flowdb_agg_result(f, agg, nullp);
}
