// Preloaded into wrk: counts how many of its TLS connections resumed a session, and makes it forget its
// sessions if asked, so that every handshake is a full one. wrk keeps one SSL object for each of its
// connections and clears it in between, which keeps the session.
//
//   SESSIONS=keep|forget LD_PRELOAD=sessions.so wrk …   prints `SESSIONS resumed total` at the end
//
// Declares what it needs of OpenSSL, so that it needs no headers of it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int SSL_session_reused(const void *ssl);
int SSL_is_init_finished(const void *ssl);
int SSL_set_session(void *ssl, void *session);

static atomic_long resumed, total;

int SSL_clear(void *ssl) {
    static int (*clear)(void *);
    if (!clear) clear = (int (*)(void *))dlsym(RTLD_NEXT, "SSL_clear");
    if (SSL_is_init_finished(ssl)) {
        total++;
        if (SSL_session_reused(ssl)) resumed++;
    }
    int result = clear(ssl);
    const char *what = getenv("SESSIONS");
    if (what && strcmp(what, "forget") == 0) SSL_set_session(ssl, NULL);
    return result;
}

__attribute__((destructor)) static void report(void) {
    if (getenv("SESSIONS")) printf("SESSIONS %ld %ld\n", resumed, total);
}
