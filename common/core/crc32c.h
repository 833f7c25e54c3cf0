/* CRC-32C (Castagnoli polynomial 0x1edc6f41, reflected, as in RFC 3720 appendix B.4 and iSCSI).
 * Chosen over CRC-32 because x86 computes it in hardware (SSE4.2); a table serves elsewhere. It
 * finds every single flipped bit and every burst of up to 32 bits. Not for secrets. */
#ifndef LEAT_CORE_CRC32C_H
#define LEAT_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Extends `crc` (0 to begin with) by `size` bytes: crc32c(crc32c(0, a), b) is that of a then b.
 * data may be NULL when size is 0. */
uint32_t leat_crc32c(uint32_t crc, const void *data, size_t size);

/* From crc32c(0, a), crc32c(0, b) and the size of b, less than 512 MiB: crc32c(0, a then b),
 * without looking at either. */
uint32_t leat_crc32c_join(uint32_t first, uint32_t second, size_t second_size);

/* leat_crc32c by table on every machine, for comparison. */
uint32_t leat_crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
