/*
 * crc.h - CRC-32C (Castagnoli), as in RFC 3720, for what is in files.
 */
#ifndef SQ_CRC_H
#define SQ_CRC_H

#include <stddef.h>
#include <stdint.h>

/* The check of what `crc` is of and `bytes` bytes more; 0 to begin with. */
uint32_t sq_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The other way round: what the check was before those bytes, after which it is `crc`. */
uint32_t sq_crc32c_before(uint32_t crc, const void *data, size_t bytes);

/* For the test: sq_crc32c() by tables, whatever the processor can do; and the lengths of the
 * streams that its instruction takes three at a time. */
uint32_t sq_crc32c_by_tables(uint32_t crc, const void *data, size_t bytes);
enum { SQ_CRC_LONG_BYTES = 4096, SQ_CRC_SHORT_BYTES = 256 };

#endif
