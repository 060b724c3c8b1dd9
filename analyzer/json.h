/* SPDX-License-Identifier: MIT */
/*
 * JSON for the analyzer: a narrow door to jansson, so that one file alone depends on it.
 *
 * Reading never trusts a value: every accessor checks the type and the range and says so by its
 * result. Writing keeps members in the order in which they were added, so that two runs over one
 * trace print the same bytes.
 */
#ifndef VMTRACE_ANALYZER_JSON_H
#define VMTRACE_ANALYZER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_t;

/**
 * js_parse() - Parse one object.
 * @err: receives the parser's message on failure.
 *
 * Return: the value, to be released by js_free(), or NULL.
 */
struct json_t *js_parse(const char *text, size_t len, char *err, size_t err_size);

/* The same for a file that is one document; @err: "file:line: what". */
struct json_t *js_load(const char *path, char *err, size_t err_size);

/* The same of what is open; @path is what messages call it. */
struct json_t *js_load_file(const char *path, FILE *file, char *err, size_t err_size);

/* The same for @len bytes at @text; @name is what messages call them. */
struct json_t *js_load_text(const char *name, const char *text, size_t len, char *err,
			    size_t err_size);

void js_free(struct json_t *v);
struct json_t *js_ref(struct json_t *v);

/* Reading. A missing value may be passed as NULL everywhere; it has no type. */
bool js_is_object(const struct json_t *v);
bool js_is_array(const struct json_t *v);
bool js_is_null(const struct json_t *v);
bool js_is_bool(const struct json_t *v);
bool js_is_true(const struct json_t *v);
const char *js_str(const struct json_t *v);		/* NULL: no string */
int js_i64(const struct json_t *v, int64_t *ret);	/* 0 or -EINVAL */
int js_u64(const struct json_t *v, uint64_t *ret);	/* 0 or -EINVAL; >= 0 */
int js_hex(const struct json_t *v, uint64_t *ret);	/* "0x…", lower case; 0 or -EINVAL */
struct json_t *js_get(const struct json_t *obj, const char *key);
size_t js_len(const struct json_t *array);
struct json_t *js_at(const struct json_t *array, size_t i);

/* for (it = js_iter(obj); it; it = js_next(obj, it)) */
void *js_iter(struct json_t *obj);
void *js_next(struct json_t *obj, void *it);
const char *js_key(void *it);
struct json_t *js_value(void *it);

/* Writing. Values passed in are owned by the container afterwards. */
struct json_t *js_object(void);
struct json_t *js_array(void);
struct json_t *js_string(const char *s);	/* NULL becomes null; bytes that aren't UTF-8: U+FFFD */
struct json_t *js_number(uint64_t n);
struct json_t *js_signed(int64_t n);
struct json_t *js_real(double d);
struct json_t *js_address(uint64_t addr);
struct json_t *js_null(void);
void js_set(struct json_t *obj, const char *key, struct json_t *v);
void js_append(struct json_t *array, struct json_t *v);

void js_set_str(struct json_t *obj, const char *key, const char *s);
void js_set_u64(struct json_t *obj, const char *key, uint64_t n);
void js_set_hex(struct json_t *obj, const char *key, uint64_t addr);
void js_set_bool(struct json_t *obj, const char *key, bool b);

/* Print with an indent of two spaces and a newline; in one line and without one if @compact. */
void js_print(const struct json_t *v, FILE *out, bool compact);

#endif
