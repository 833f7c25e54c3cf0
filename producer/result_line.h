/* One result as one line of JSON: what `leat-producer --results` writes. */
#ifndef LEAT_PRODUCER_RESULT_LINE_H
#define LEAT_PRODUCER_RESULT_LINE_H

#include <stdbool.h>
#include <stdio.h>

#include "leat/producer.h"

/* Keys: id, source (`label`; what is no UTF-8 in it is replaced), status, failure, error, attempts,
 * truncated, and what the handler returned as `output`, or as `output_base64` when it is no text.
 * False when memory is out; a failed write shows in ferror(file). */
bool leat_result_line_write(FILE *file, const char *label,
                            const struct leat_producer_outcome *outcome);

#endif
