// The floor of tools/bench: a relay that parses nothing. One thread, epoll; every client gets its own
// connection to the origin, and bytes are moved in both directions as they arrive. A proxy that waits
// for readiness, reads and writes cannot cost less.
//
//   relay PORT ORIGIN_PORT [splice]
//
// With `splice`, bytes go through a pipe in the kernel (splice(2)) instead of this process.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, PIPE = 1024 * 1024, EVENTS = 256 };

// One side of a client's pair, and the bytes read from it but not yet written to the other.
struct end {
    int fd;
    bool ended; // nothing more will be read from it
    struct end *other;
    size_t held_from, held_to; // of `held`; with splice: 0 and the bytes in the pipe
    char *held;
    int pipe[2];
};

struct pair {
    struct end ends[2];
    bool dead;
    struct pair *next; // among the dead
};

static bool splicing;
static struct pair *dead; // freed after the current events, which may still point to them
static char chunk[CHUNK];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static bool is_holding(const struct end *from) { return from->held_from < from->held_to; }

// Writes the held bytes; true if none are left. False with EAGAIN: wait until the socket is writable.
static bool write_held(struct end *from) {
    while (is_holding(from)) {
        size_t left = from->held_to - from->held_from;
        ssize_t n = splicing ? splice(from->pipe[0], NULL, from->other->fd, NULL, left,
                                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                             : send(from->other->fd, from->held + from->held_from, left, MSG_NOSIGNAL);
        if (n < 0) return false;
        if (splicing) from->held_to -= (size_t)n;
        else from->held_from += (size_t)n;
    }
    free(from->held);
    from->held = NULL;
    return true;
}

static void hold(struct end *from, const char *bytes, size_t length) {
    from->held = malloc(length);
    if (!from->held) fail("malloc");
    memcpy(from->held, bytes, length);
    from->held_from = 0;
    from->held_to = length;
}

// Reads once and writes to the other side: returns the bytes read, 0 at the end, or -1 with errno.
static ssize_t copy_once(struct end *from) {
    ssize_t n = recv(from->fd, chunk, CHUNK, 0);
    if (n <= 0) return n;
    ssize_t written = send(from->other->fd, chunk, (size_t)n, MSG_NOSIGNAL);
    if (written < 0 && errno != EAGAIN) return -1;
    size_t done = written < 0 ? 0 : (size_t)written;
    if (done < (size_t)n) hold(from, chunk + done, (size_t)n - done);
    return n;
}

static ssize_t splice_once(struct end *from) {
    if (from->pipe[0] < 0) {
        if (pipe2(from->pipe, O_NONBLOCK | O_CLOEXEC) < 0) fail("pipe2");
        fcntl(from->pipe[1], F_SETPIPE_SZ, PIPE); // smaller where the user may not
    }
    ssize_t n = splice(from->fd, NULL, from->pipe[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) from->held_to = (size_t)n;
    return n;
}

// Moves bytes until a socket would block; false if the pair cannot be used further.
static bool pump(struct end *from, uint32_t events) {
    while (!from->ended) {
        if (!write_held(from)) return errno == EAGAIN;
        ssize_t n = splicing ? splice_once(from) : copy_once(from);
        if (n < 0) return errno == EAGAIN;
        from->ended = n == 0;
        // Edge-triggered: a short read has emptied the socket, unless it has also been closed.
        if (!splicing && n > 0 && n < CHUNK && !is_holding(from) && !(events & EPOLLRDHUP)) return true;
    }
    shutdown(from->other->fd, SHUT_WR);
    return !from->other->ended;
}

static void bury(struct pair *pair) {
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        close(end->fd);
        if (end->pipe[0] >= 0) close(end->pipe[0]), close(end->pipe[1]);
        free(end->held);
    }
    pair->dead = true;
    pair->next = dead;
    dead = pair;
}

static void free_dead(void) {
    while (dead) {
        struct pair *next = dead->next;
        free(dead);
        dead = next;
    }
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 16384) < 0) fail("listen");
    return fd;
}

static int dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = loopback(port);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0 && errno != EINPROGRESS) fail("connect");
    return fd;
}

static void watch(int epoll, struct end *end, struct end *other, int fd) {
    int on = 1;
    *end = (struct end){.fd = fd, .other = other, .pipe = {-1, -1}};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = end};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void accept_one(int listener, int epoll, int origin_port) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair) fail("calloc");
    int origin = dial(origin_port);
    watch(epoll, &pair->ends[0], &pair->ends[1], fd);
    watch(epoll, &pair->ends[1], &pair->ends[0], origin);
}

static struct pair *pair_of(struct end *end) {
    return (struct pair *)(end < end->other ? end : end->other); // `ends` stands first in it
}

static void serve(struct end *end, uint32_t events) {
    struct pair *pair = pair_of(end);
    if (pair->dead) return;
    bool useful = !(events & EPOLLERR);
    if (useful && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))) useful = pump(end, events);
    if (useful && (events & EPOLLOUT) && is_holding(end->other)) useful = pump(end->other, EPOLLRDHUP);
    if (!useful) bury(pair);
}

int main(int count, char **words) {
    if (count < 3 || (count == 4 && strcmp(words[3], "splice") != 0) || count > 4) {
        fprintf(stderr, "usage: relay PORT ORIGIN_PORT [splice]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    splicing = count == 4;
    int listener = listen_on(atoi(words[1])), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
    while (true) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr, events[i].events);
            else accept_one(listener, epoll, atoi(words[2]));
        }
        free_dead();
    }
}
