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

/* The same by table on every machine, for comparison. */
uint32_t leat_crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
