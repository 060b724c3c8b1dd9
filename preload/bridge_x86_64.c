/* SPDX-License-Identifier: MIT */
/*
 * The switched stacks are those of Go's runtime (systemstack, asmcgocall, mcall, morestack), which
 * keeps frame pointers; the compiled code is that of HotSpot's compilers, which don't, but save the
 * caller's.
 */
#include "bridge.h"

#include <stddef.h>
#include <string.h>

#include "sys.h"

#include "no_heap.h"

#define CHUNK_BYTES 512u	/* of code, read at a time */
#define FRAME_BYTES 65536u	/* of a frame below its frame pointer, at most */
#define LINK_BYTES 16384u	/* from the last known stack pointer to a saved frame pointer */
#define LINK_FAR (1u << 20)	/* from a saved frame pointer to where it points */
#define FUNCTION_BYTES 32768u	/* from a function's first instructions to a call in it */
#define SWITCH_BYTES 1024u	/* of a function that switches stacks */
#define RETURNED_BYTES (1u << 20)	/* below the stack pointer: what has been returned from */
#define PAGE_BYTES 4096u
#define NR_FACTS 2048		/* a power of two */
#define FACT_BITS 17
#define SWITCH_SHIFT 5		/* the size of its frame in words, above the other facts */
#define CALL_BYTES 8u		/* the longest call instruction */

#define WORD sizeof(uintptr_t)

struct range {
	uintptr_t start, end;
};

/* Addresses have 47 bits: the rest of a word is for facts. */
static uint64_t facts[NR_FACTS];

static uint64_t *fact_of(uintptr_t ret)
{
	return &facts[(ret ^ ret >> 10 ^ ret >> 20) & (NR_FACTS - 1)];
}

unsigned int bridge_facts(uintptr_t ret)
{
	uint64_t known = __atomic_load_n(fact_of(ret), __ATOMIC_RELAXED);

	return known >> FACT_BITS == ret ? known & ((1u << FACT_BITS) - 1) : 0;
}

void bridge_learn(uintptr_t ret, unsigned int learnt)
{
	uint64_t known = bridge_facts(ret) | learnt;

	if (ret < 1ull << (64 - FACT_BITS))
		__atomic_store_n(fact_of(ret), (uint64_t)ret << FACT_BITS | known, __ATOMIC_RELAXED);
}

void bridge_forget(void)
{
	size_t i;

	for (i = 0; i < NR_FACTS; i++)
		__atomic_store_n(&facts[i], 0, __ATOMIC_RELAXED);
}

void bridge_begin(struct bridge_walk *walk, bridge_code_fn *find_code)
{
	walk->find_code = find_code;
	walk->pid = sys_getpid();
	walk->code_start = walk->code_end = walk->words_start = walk->words_end = 0;
}

static bool read_words(struct bridge_walk *walk, uintptr_t addr, uintptr_t *dst, size_t nr)
{
	return sys_read_user_of(walk->pid, dst, (const void *)addr, nr * WORD) == nr * WORD;
}

/* @nr words of the stack, few; what lies behind them, to the end of the page, is read along. */
static bool read_stack(struct bridge_walk *walk, uintptr_t addr, uintptr_t *dst, size_t nr)
{
	size_t room = PAGE_BYTES - (addr & (PAGE_BYTES - 1));

	if (addr % WORD || nr * WORD > room)
		return addr % WORD == 0 && read_words(walk, addr, dst, nr);
	if (addr < walk->words_start || addr + nr * WORD > walk->words_end) {
		if (room > sizeof(walk->words))
			room = sizeof(walk->words);
		walk->words_start = addr;
		walk->words_end = read_words(walk, addr, walk->words, room / WORD) ? addr + room : 0;
	}
	if (addr + nr * WORD > walk->words_end)
		return false;
	memcpy(dst, walk->words + (addr - walk->words_start) / WORD, nr * WORD);
	return true;
}

static bool find_code(struct bridge_walk *walk, uintptr_t addr)
{
	if (addr - walk->code_start < walk->code_end - walk->code_start)
		return true;
	return walk->find_code(addr, &walk->code_start, &walk->code_end);
}

/* Is @ret behind a call? @ret_target: where a direct one goes, 0 for one through a pointer. */
static bool is_behind_call(struct bridge_walk *walk, uintptr_t ret, uintptr_t *ret_target)
{
	uint8_t code[CALL_BYTES];
	int32_t rel;
	size_t len;

	if (sys_read_user_of(walk->pid, code, (const void *)(ret - CALL_BYTES), CALL_BYTES) != CALL_BYTES)
		return false;
	*ret_target = 0;
	if (code[CALL_BYTES - 5] == 0xe8) {
		memcpy(&rel, code + CALL_BYTES - 4, sizeof(rel));
		*ret_target = ret + (uintptr_t)(intptr_t)rel;
		return true;
	}
	for (len = 2; len < CALL_BYTES; len++) {
		if (code[CALL_BYTES - len] == 0xff && (code[CALL_BYTES - len + 1] & 0x38) == 0x10)
			return true;
	}
	return false;
}

bool bridge_is_return(struct bridge_walk *walk, uintptr_t ret)
{
	uintptr_t target;

	if (bridge_facts(ret) & BRIDGE_IS_RETURN)
		return true;
	if (!find_code(walk, ret) || ret - walk->code_start < CALL_BYTES ||
	    !is_behind_call(walk, ret, &target))
		return false;
	bridge_learn(ret, BRIDGE_IS_RETURN);
	return true;
}

/* What a first function returns to, where nobody called it: Go's goexit. */
static bool is_behind_nop(struct bridge_walk *walk, uintptr_t ret)
{
	uint8_t code;

	if (!find_code(walk, ret) || ret == walk->code_start ||
	    sys_read_user_of(walk->pid, &code, (const void *)(ret - 1), 1) != 1 || code != 0x90)
		return false;
	bridge_learn(ret, BRIDGE_IS_RETURN);
	return true;
}

/*
 * The caller's frame pointer, whatever it was used for, and the return address, if @bp points to
 * such a pair.
 */
static bool read_link(struct bridge_walk *walk, uintptr_t bp, uintptr_t ret_link[2])
{
	if (!bp || !read_stack(walk, bp, ret_link, 2))
		return false;
	return bridge_is_return(walk, ret_link[1]) ||
	       (!ret_link[0] && is_behind_nop(walk, ret_link[1]));
}

/* Where nothing else speaks for a frame: is it linked to one further out, or to none? */
static bool is_further(uintptr_t bp, const uintptr_t link[2])
{
	return !link[0] || (link[0] > bp && link[0] - bp < LINK_FAR);
}

/*
 * Do the instructions before @ret set the frame pointer @above bytes above the stack pointer?
 *
 *     sub $n,%rsp; mov %rbp,above(%rsp); lea above(%rsp),%rbp
 *     push %rbp; mov %rsp,%rbp; sub $above,%rsp
 */
static bool has_prologue(struct bridge_walk *walk, uintptr_t ret, uintptr_t above, const struct range *text)
{
	uint8_t lea[8] = { 0x48, 0x8d, 0x6c, 0x24 }, sub[12] = { 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec };
	size_t lea_len = 5, sub_len = 7, n;
	uint8_t code[CHUNK_BYTES + sizeof(sub)];
	uint32_t above32 = (uint32_t)above;
	uintptr_t end = ret;

	if (above < 0x80) {
		lea[4] = sub[6] = (uint8_t)above;
	} else {
		lea[2] = 0xac;
		sub[4] = 0x81;
		memcpy(lea + 4, &above32, 4);
		memcpy(sub + 6, &above32, 4);
		lea_len = 8;
		sub_len = 10;
	}
	if (!above)
		sub_len = 3;
	while (end > text->start && ret - end < FUNCTION_BYTES) {
		uintptr_t start = end - text->start < CHUNK_BYTES ? text->start : end - CHUNK_BYTES;

		/* With the beginning of what was searched before: a pattern may lie across. */
		n = ret - start < sizeof(code) ? ret - start : sizeof(code);
		if (sys_read_user_of(walk->pid, code, (const void *)start, n) != n)
			return false;
		if (memmem(code, n, lea, lea_len) || memmem(code, n, sub, sub_len))
			return true;
		end = start;
	}
	return false;
}

static bool is_into(uintptr_t target, uintptr_t ip)
{
	return target && target <= ip && ip - target < SWITCH_BYTES;
}

static bool is_known_switch(uintptr_t ret, uintptr_t above)
{
	unsigned int known = bridge_facts(ret);

	return known & BRIDGE_IS_SWITCH && known >> SWITCH_SHIFT == above / WORD;
}

static void learn_switch(uintptr_t ret, uintptr_t above)
{
	if (above / WORD < 1u << (FACT_BITS - SWITCH_SHIFT))
		bridge_learn(ret, (unsigned int)(BRIDGE_IS_SWITCH | above / WORD << SWITCH_SHIFT));
}

/* One more return address below @ret's: of the function at @called, which called where @at is. */
static bool find_frameless(struct bridge_walk *walk, const struct bridge_frame *at, uintptr_t slot,
			   uintptr_t called, struct bridge *ret)
{
	uintptr_t inner, target;

	if (!read_words(walk, slot, &inner, 1) || inner - called > FUNCTION_BYTES ||
	    !is_behind_call(walk, inner, &target) || !is_into(target, at->ip))
		return false;
	ret->nr = 2;
	ret->ips[1] = ret->ips[0];
	ret->ips[0] = inner;
	return true;
}

/*
 * The function whose frame pointer @at->bp still is has called the one that @at is in: below its
 * frame lies the return address, behind a call to where @at is. Or it has called one that had no
 * frame yet when that called (morestack).
 *
 *     bp ──▶ caller's bp, return address
 *            frame
 *     slot:  return address
 *    (below: return address of the one without a frame)
 */
static bool find_switch(struct bridge_walk *walk, const struct bridge_frame *at,
			const struct range *text, struct bridge *ret)
{
	uintptr_t words[BRIDGE_WORDS], top = at->bp, target;
	size_t nr, i;

	ret->kind = BRIDGE_SWITCH;
	for (; at->bp - top < FRAME_BYTES; top -= nr * WORD) {
		nr = (top & (sizeof(words) - 1)) / WORD;
		if (!nr)
			nr = BRIDGE_WORDS;
		if (!read_words(walk, top - nr * WORD, words, nr))
			return false;
		for (i = nr; i--;) {
			uintptr_t slot = top - (nr - i) * WORD, above = at->bp - slot - WORD;

			if (words[i] - text->start >= text->end - text->start ||
			    words[i] - text->start < CALL_BYTES)
				continue;
			ret->nr = 1;
			ret->ips[0] = words[i];
			ret->next = (struct bridge_frame){ words[i], slot + WORD, at->bp };
			if (is_known_switch(words[i], above))
				return true;
			if (!is_behind_call(walk, words[i], &target) || !target ||
			    !has_prologue(walk, words[i], above, text))
				continue;
			if (is_into(target, at->ip)) {
				learn_switch(words[i], above);
				return true;
			}
			if (find_frameless(walk, at, slot - WORD, target, ret))
				return true;
		}
	}
	return false;
}

static void follow(uintptr_t bp, const uintptr_t link[2], struct bridge *ret)
{
	ret->nr = 1;
	ret->ips[0] = link[1];
	ret->next = (struct bridge_frame){ link[1], bp + 2 * WORD, link[0] };
}

/* A saved frame pointer above @sp that leads to a frame, with a return address beside it. */
static bool find_link(struct bridge_walk *walk, uintptr_t sp, struct bridge *ret)
{
	uintptr_t words[BRIDGE_WORDS + 1], at = sp, link[2];
	size_t nr, i;

	for (; at - sp < LINK_BYTES; at += nr * WORD) {
		nr = BRIDGE_WORDS - (at % (BRIDGE_WORDS * WORD)) / WORD;
		if (!read_words(walk, at, words, nr))
			return false;
		if (!read_words(walk, at + nr * WORD, words + nr, 1))
			words[nr] = 0;
		for (i = 0; i < nr; i++) {
			uintptr_t bp = words[i];

			if (bp > at + (i + 1) * WORD && bp - sp < LINK_FAR && bp % WORD == 0 &&
			    bridge_is_return(walk, words[i + 1]) && read_link(walk, bp, link) &&
			    is_further(bp, link)) {
				ret->kind = BRIDGE_GAP;
				follow(bp, link, ret);
				return true;
			}
		}
	}
	return false;
}

/* Of a function without a frame: behind a call to where @at is. */
static bool find_direct(struct bridge_walk *walk, const struct bridge_frame *at,
			const struct range *text, struct bridge *ret)
{
	uintptr_t word, target;

	if (!read_stack(walk, at->sp, &word, 1) || word - text->start >= text->end - text->start ||
	    word - text->start < CALL_BYTES || !is_behind_call(walk, word, &target) ||
	    !is_into(target, at->ip))
		return false;
	ret->kind = BRIDGE_NEXT;
	ret->nr = 1;
	ret->ips[0] = word;
	ret->next = (struct bridge_frame){ word, at->sp + WORD, at->bp };
	return true;
}

bool bridge_cross(struct bridge_walk *walk, const struct bridge_frame *at, struct bridge *ret)
{
	uintptr_t link[2];
	struct range text;

	if (at->sp % WORD || !find_code(walk, at->ip))
		return false;
	text = (struct range){ walk->code_start, walk->code_end };
	if (find_direct(walk, at, &text, ret))
		return true;
	if (at->sp - at->bp < RETURNED_BYTES || !read_link(walk, at->bp, link))
		return find_link(walk, at->sp, ret);
	if (at->bp - at->sp < LINK_FAR) {
		ret->kind = BRIDGE_NEXT;
	} else if (!is_further(at->bp, link)) {
		return find_link(walk, at->sp, ret);
	} else if (find_switch(walk, at, &text, ret)) {
		return true;
	} else {
		ret->kind = BRIDGE_GAP;
	}
	follow(at->bp, link, ret);
	return true;
}
