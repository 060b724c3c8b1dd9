/* SPDX-License-Identifier: MIT */
/*
 * The scanner for heap lines in exactly the form the recorder writes.
 *
 * First it is found where numbers end, sixteen bytes at a time; then operations are put together
 * from one end to the next. No branch depends on how many digits a number has.
 */
#include "heapline.h"

#include <emmintrin.h>
#include <string.h>

#include "alloc.h"

enum {
	DIGITS_MAX = 18,		/* of a number that is surely in the range of int64_t */
	ENDS_A_BLOCK = 12,		/* ends of numbers in 64 bytes; most often there are less */
	ENDS_BEYOND = 8,		/* of the last number, for whoever looks ahead */
	SCAN_MAX = 1 << 20,		/* bytes; the recorder's lines have 16 KiB */
};

/* Of the head: a cursor that becomes NULL at the first byte it does not expect. */

static inline const char *scan_word(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return p && (size_t)(end - p) >= n && !memcmp(p, word, n) ? p + n : NULL;
}

/* A JSON integer of up to 18 digits, which int64_t holds. */
static const char *scan_integer(const char *p, const char *end, int64_t *ret)
{
	bool is_negative = p < end && *p == '-';
	const char *digits = p + is_negative;
	int64_t n = 0;

	for (p = digits; p < end && *p >= '0' && *p <= '9' && p - digits < DIGITS_MAX; p++)
		n = n * 10 + (*p - '0');
	if (p == digits || (*digits == '0' && p - digits > 1))
		return NULL;
	*ret = is_negative ? -n : n;
	return p;
}

static const char *scan_hex(const char *p, const char *end, uint64_t *ret)
{
	const char *digits = p;
	uint64_t n = 0;

	for (; p < end && p - digits < 16; p++) {
		if (*p >= '0' && *p <= '9')
			n = n << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			n = n << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	*ret = n;
	return p == digits ? NULL : p;
}

static const char *scan_head(const char *p, const char *end, int64_t *tid, uint64_t *t0)
{
	int64_t t = -1;

	p = scan_word(p, end, "{\"ev\":\"heap\",\"tid\":");
	p = p ? scan_integer(p, end, tid) : NULL;
	p = scan_word(p, end, ",\"t0\":");
	p = p ? scan_integer(p, end, &t) : NULL;
	*t0 = t;
	return t < 0 ? NULL : scan_word(p, end, ",\"base\":\"0x");
}

bool heapline_scan_head(const char *text, size_t len, int64_t *tid, uint64_t *t0)
{
	return scan_head(text, text + len, tid, t0);
}

/* One bit for each of the 64 bytes from @p: whether it is a digit. */
static inline uint64_t digit_bits(const char *p)
{
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		__m128i v = _mm_loadu_si128((const __m128i *)(p + 16 * i));
		__m128i n = _mm_sub_epi8(v, _mm_set1_epi8('0'));
		__m128i is = _mm_cmpeq_epi8(_mm_min_epu8(n, _mm_set1_epi8(9)), n);

		bits |= (uint64_t)(unsigned int)_mm_movemask_epi8(is) << 16 * i;
	}
	return bits;
}

/* The compiler would call a function for it: popcnt is not in every x86-64. */
static inline unsigned int count_bits(uint64_t v)
{
	v -= v >> 1 & 0x5555555555555555;
	v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
	return ((v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56;
}

/*
 * Where runs of digits end, relative to @p: what follows a number. Some more elements are written
 * than there are, so that there is no branch for each.
 */
static size_t find_ends(const char *p, size_t len, uint32_t *ends)
{
	uint64_t before = 0;		/* the last byte was a digit */
	size_t at, nr = 0;

	for (at = 0; at < len; at += 64) {
		uint64_t digits = digit_bits(p + at), bits;
		size_t i, more = nr;

		if (len - at < 64)
			digits &= (1ull << (len - at)) - 1;
		bits = ~digits & (digits << 1 | before);
		before = digits >> 63;
		more += count_bits(bits);
		for (i = 0; i < ENDS_A_BLOCK; i++, bits &= bits - 1)
			ends[nr + i] = at + (bits ? __builtin_ctzll(bits) : 0);
		for (nr += i; bits; bits &= bits - 1)
			ends[nr++] = at + __builtin_ctzll(bits);
		nr = more;
	}
	return nr;
}

/* The scanner's place in the operations. */
struct scan {
	const char *p;			/* next byte */
	const char *text;		/* ends are relative to it */
	const uint32_t *end;		/* of the next number */
	bool is_bad;			/* something is not as expected: the rest is garbage */
};

static uint64_t long_number(struct scan *s, const char *p, size_t n)
{
	uint64_t value = 0;
	size_t i;

	s->is_bad |= !n || n > DIGITS_MAX;
	for (i = 0; i < n && n <= DIGITS_MAX; i++)
		value = value * 10 + (uint64_t)(p[i] - '0');
	return value;
}

/*
 * The number at @p, up to the next end. If its first byte is a digit, all are, as there is no end
 * between. Eight digits are put together at once: pairs, then pairs of these, then the two halves.
 */
static inline uint64_t scan_number(struct scan *s)
{
	const char *end = s->text + *s->end++, *p = s->p;
	size_t n = end - p;
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	v ^= 0x3030303030303030;
	s->is_bad |= (v & 0xff) > 9 || (!(v & 0xff) && n != 1);
	s->p = end;
	if (__builtin_expect(n - 1 >= 8, 0))
		return long_number(s, p, n);
	v <<= 64 - 8 * n;
	v = v * 10 + (v >> 8);
	return ((v & 0x000000ff000000ff) * (100 + (1000000ull << 32)) +
		(v >> 16 & 0x000000ff000000ff) * (1 + (10000ull << 32))) >> 32;
}

static inline uint64_t scan_signed(struct scan *s)
{
	uint64_t is_negative = *s->p == '-', v;

	s->p += is_negative;
	v = scan_number(s);
	return (v ^ -is_negative) + is_negative;
}

static inline void expect(struct scan *s, char c)
{
	s->is_bad |= *s->p++ != c;
}

/* ",align]" or ",old,took]" behind an allocation; @op is its, and the next one's after a realloc. */
static struct heap_op *scan_rest(struct scan *s, uint64_t base, struct heap_op *op)
{
	uint64_t old, took;

	s->p++;
	if (*s->p == '-' || s->text[s->end[0]] == ',') {
		old = base + scan_signed(s);
		expect(s, ',');
		took = scan_number(s);
		op[1] = op[0];
		*op = (struct heap_op){
			.t = took < op[1].t ? op[1].t - took : 0, .addr = old,
			.kind = HEAP_REALLOC,
		};
		op++;
	} else {
		(void)scan_number(s);
	}
	return op;
}

static inline void take_stack(struct scan *s, struct heap_op *op, uint64_t stack)
{
	s->is_bad |= stack > UINT32_MAX;
	op->stack = stack;
}

static inline void take_dt(struct scan *s, uint64_t *t, uint64_t dt)
{
	s->is_bad |= (int64_t)dt < 0 || __builtin_add_overflow(*t, dt, t);
}

/* "null,size,stack" behind a time */
static struct heap_op *scan_failed(struct scan *s, uint64_t t, uint64_t base, struct heap_op *op)
{
	s->is_bad |= memcmp(s->p, "null,", 5) != 0;
	s->p += 5;
	*op = (struct heap_op){ .t = t, .addr = base, .kind = HEAP_FAILED };
	op->size = scan_number(s);
	expect(s, ',');
	take_stack(s, op, scan_number(s));
	return op + 1;
}

/*
 * What is between "[" and "]": a time in front or none, then an address, and a size and a stack. How many
 * there are tells which they are. Return: where the next one goes.
 */
static inline struct heap_op *scan_op(struct scan *s, uint64_t base, uint64_t *t, struct heap_op *op)
{
	uint64_t first, second, third;

	s->p += *s->p == ' ';
	first = scan_signed(s);
	if (*s->p == ']') {
		*op = (struct heap_op){ .t = *t, .addr = base + first, .kind = HEAP_FREE };
		return op + 1;
	}
	expect(s, ',');
	if (__builtin_expect(*s->p == 'n', 0)) {
		take_dt(s, t, first);
		return scan_failed(s, *t, base, op);
	}
	second = scan_signed(s);
	if (*s->p == ']') {
		take_dt(s, t, first);
		*op = (struct heap_op){ .t = *t, .addr = base + second, .kind = HEAP_FREE };
		return op + 1;
	}
	expect(s, ',');
	third = scan_number(s);
	if (*s->p == ']') {
		s->is_bad |= (int64_t)second < 0;
		*op = (struct heap_op){ .t = *t, .addr = base + first, .size = second, .kind = HEAP_ALLOC };
		take_stack(s, op, third);
		return op + 1;
	}
	expect(s, ',');
	take_dt(s, t, first);
	*op = (struct heap_op){ .t = *t, .addr = base + second, .size = third, .kind = HEAP_ALLOC };
	take_stack(s, op, scan_number(s));
	if (__builtin_expect(*s->p == ',', 0))
		op = scan_rest(s, base, op);
	return op + 1;
}

/* Room for the ends of all numbers in @len bytes: each takes two of them. */
static void reserve_ends(struct heap_ops *ops, size_t len)
{
	size_t nr = len / 2 + ENDS_A_BLOCK + ENDS_BEYOND;

	if (nr <= ops->cap_ends)
		return;
	alloc_free(ops->ends);
	ops->ends = alloc_array(nr, sizeof(*ops->ends));
	ops->cap_ends = nr;
}

/* Room for the operations in @nr numbers: each takes one of them. The last one may be damaged. */
static void reserve_list(struct heap_ops *ops, size_t nr)
{
	if (nr + 2 <= ops->cap)
		return;
	alloc_free(ops->list);
	ops->cap = nr + 2;
	ops->list = alloc_array(ops->cap, sizeof(*ops->list));
}

bool heapline_scan(const char *text, size_t len, struct heap_ops *ops)
{
	const char *end = text + len, *p;
	struct heap_op *op;
	struct scan s;
	uint64_t t, base;
	int64_t tid;
	size_t nr, i;

	ops->nr = 0;
	p = scan_head(text, end, &tid, &t);
	p = p ? scan_hex(p, end, &base) : NULL;
	p = scan_word(p, end, "\",\"ops\":[");
	if (!p || len > SCAN_MAX)
		return false;
	reserve_ends(ops, end - p);
	nr = find_ends(p, end - p, ops->ends);
	reserve_list(ops, nr);
	for (i = 0; i < ENDS_BEYOND; i++)
		ops->ends[nr + i] = end - p;
	s = (struct scan){ .p = p, .text = p, .end = ops->ends };
	op = ops->list;
	while (*s.p == '[' && s.end < ops->ends + nr) {
		s.p++;
		op = scan_op(&s, base, &t, op);
		expect(&s, ']');
		if (s.is_bad)
			return false;
		if (*s.p != ',')
			break;
		if (*++s.p != '[')
			return false;
	}
	ops->nr = op - ops->list;
	return s.p + 2 == end && s.p[0] == ']' && s.p[1] == '}';
}
