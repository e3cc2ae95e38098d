// shutdown.h: SIGTERM and SIGINT as a flag and a file descriptor. The first asks for an orderly stop; a
// second one ends the process at once (exit 1), which is safe because every transaction is fenced.
// Also ignores SIGPIPE, which hiredis and libcurl would otherwise turn into a death.
#ifndef SKINSIGHT_COMMON_BASE_SHUTDOWN_H
#define SKINSIGHT_COMMON_BASE_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

void shutdown_install(void); // once, before any thread is started
bool shutdown_requested(void);
void shutdown_request(void); // what a signal does; any thread
// Waits until a stop is asked for or timeout_ms has passed; true when it was asked for. Any thread.
bool shutdown_wait_ms(int64_t timeout_ms);

#endif
