// The origin of tools/bench: answers /N with N bytes, and /chunks-M/N with N bytes in chunks of M, whatever the
// rest of the path, after reading the request body. It must cost far less than any proxy in front of it, since it shares its core with the
// load: headers are built once per size, small responses take one send, large ones use sendfile from
// memory, and uploads are discarded in the kernel.
//
//   origin PORT PROCESSES [ADDRESSES]
//
// It listens on so many addresses of the loopback network, from 127.0.0.1 on: one endpoint each.
//
// Responses have the headers that nginx sends with a static file, so that proxies parse as much as they
// would from a real server.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MAX = 32 * 1024,
    BODY_MAX = 64 * 1024 * 1024,
    INLINE_MAX = 16 * 1024, // up to here one send with its head beats sendfile
    ANSWERS = 16,
    EVENTS = 256,
    ADDRESSES_MAX = 1000,
    DISCARD = 1024 * 1024,
};

struct answer {
    size_t body;   // bytes of the body
    size_t chunk;  // bytes of each of its chunks; 0: it has a length
    bool close;    // whether the head says so
    size_t length; // of `bytes`: the head, and the body if it is small
    char *bytes;   // null: not made yet
    int file;      // the body as it is sent, if it is not in `bytes`
    size_t framed; // bytes of it there
};

struct connection {
    int fd;
    bool close;           // after the answer
    size_t filled;        // of `in`
    size_t unread;        // of the request's body
    struct answer *owed;  // once the body has come
    size_t sent;          // of owed->bytes
    off_t offset;         // of the file
    char in[HEAD_MAX];
};

static struct answer answers[ANSWERS];
static int file; // BODY_MAX bytes: the alphabet again and again

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void fill_file(void) {
    file = memfd_create("origin", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, BODY_MAX) < 0) fail("memfd");
    char *map = mmap(NULL, BODY_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) fail("mmap");
    for (size_t i = 0; i < BODY_MAX; i++) map[i] = (char)('a' + i % 26);
    munmap(map, BODY_MAX);
}

// A file with the first bytes of that one in chunks.
static void fill_chunks(struct answer *answer) {
    FILE *out = fdopen(dup(answer->file = memfd_create("chunks", MFD_CLOEXEC)), "w");
    char *data = mmap(NULL, BODY_MAX, PROT_READ, MAP_SHARED, file, 0);
    if (!out || data == MAP_FAILED) fail("memfd");
    for (size_t from = 0; from < answer->body; from += answer->chunk) {
        size_t left = answer->body - from, here = left < answer->chunk ? left : answer->chunk;
        fprintf(out, "%zx\r\n", here);
        fwrite(data + from, 1, here, out);
        fputs("\r\n", out);
    }
    fputs("0\r\n\r\n", out);
    answer->framed = (size_t)ftell(out);
    if (fclose(out) != 0) fail("memfd");
    munmap(data, BODY_MAX);
}

static struct answer *make(struct answer *answer, size_t body, size_t chunk, bool close) {
    bool small = body <= INLINE_MAX && chunk == 0;
    char framing[64];
    snprintf(framing, sizeof framing, chunk ? "Transfer-Encoding: chunked" : "Content-Length: %zu", body);
    answer->bytes = malloc(512 + (small ? body : 0));
    if (!answer->bytes) fail("malloc");
    int length = snprintf(answer->bytes, 512,
                          "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
                          "Content-Type: application/octet-stream\r\n%s\r\n"
                          "Last-Modified: Sat, 21 Nov 2026 11:00:00 GMT\r\nConnection: %s\r\n"
                          "ETag: \"6740f3b0-%zx\"\r\nAccept-Ranges: bytes\r\n\r\n",
                          framing, close ? "close" : "keep-alive", body);
    answer->length = (size_t)length;
    answer->body = body;
    answer->chunk = chunk;
    answer->close = close;
    answer->file = file;
    answer->framed = body;
    if (chunk) fill_chunks(answer);
    if (small) {
        if (pread(file, answer->bytes + length, body, 0) != (ssize_t)body) fail("pread");
        answer->length += body;
        answer->framed = 0;
    }
    return answer;
}

// The response of this size; null if there are too many sizes, which no workload has.
static struct answer *answer_of(size_t body, size_t chunk, bool close) {
    for (int i = 0; i < ANSWERS; i++) {
        struct answer *answer = &answers[i];
        if (!answer->bytes) return make(answer, body, chunk, close);
        if (answer->body == body && answer->chunk == chunk && answer->close == close) return answer;
    }
    return NULL;
}

// The number after the last slash of the path of the request line, and in `chunk` that of chunks-M before it.
static size_t size_in(const char *line, const char *end, size_t *chunk) {
    const char *at = memchr(line, ' ', (size_t)(end - line)), *slash = NULL, *before = NULL;
    while (at && ++at < end && *at != ' ' && *at != '?') {
        if (*at == '/') before = slash, slash = at;
    }
    bool chunks = before && strncmp(before, "/chunks-", 8) == 0;
    *chunk = chunks ? strtoul(before + 8, NULL, 10) : 0;
    return slash ? strtoul(slash + 1, NULL, 10) : 0;
}

static bool is_field(const char *line, const char *end, const char *name) {
    size_t length = strlen(name);
    return (size_t)(end - line) > length && strncasecmp(line, name, length) == 0;
}

// Parses the headers; false if this origin does not support the request.
static bool read_head(struct connection *c, const char *end) {
    const char *line = memchr(c->in, '\n', (size_t)(end - c->in));
    size_t chunk, body = size_in(c->in, line, &chunk);
    c->close = false;
    c->unread = 0;
    while (++line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next) break;
        if (is_field(line, next, "content-length:")) c->unread = strtoul(line + 15, NULL, 10);
        if (is_field(line, next, "connection: close")) c->close = true;
        if (is_field(line, next, "transfer-encoding:")) return false;
        line = next;
    }
    c->owed = body <= BODY_MAX ? answer_of(body, chunk, c->close) : NULL;
    c->sent = 0;
    c->offset = 0;
    return c->owed != NULL;
}

// Sends as much of the response as the socket accepts; false if the connection cannot be used further.
static bool answer(struct connection *c) {
    struct answer *owed = c->owed;
    bool in_file = owed->framed > 0;
    while (c->sent < owed->length) {
        int more = in_file ? MSG_MORE : 0;
        ssize_t n = send(c->fd, owed->bytes + c->sent, owed->length - c->sent, MSG_NOSIGNAL | more);
        if (n < 0) return errno == EAGAIN;
        c->sent += (size_t)n;
    }
    while (in_file && c->offset < (off_t)owed->framed) {
        ssize_t n = sendfile(c->fd, owed->file, &c->offset, owed->framed - (size_t)c->offset);
        if (n < 0) return errno == EAGAIN;
    }
    c->owed = NULL;
    return !c->close;
}

// Consumes the body bytes already read, then discards the rest as it arrives; 0: not complete yet.
static int drop_body(struct connection *c) {
    size_t taken = c->filled < c->unread ? c->filled : c->unread;
    memmove(c->in, c->in + taken, c->filled - taken);
    c->filled -= taken;
    c->unread -= taken;
    while (c->unread > 0) {
        size_t want = c->unread < DISCARD ? c->unread : DISCARD;
        ssize_t n = recv(c->fd, NULL, want, MSG_TRUNC);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        if (n == 0) return -1;
        c->unread -= (size_t)n;
    }
    return 1;
}

// Processes what has been read: 1 to continue, 0 to wait for the socket, -1 to close.
static int step(struct connection *c) {
    if (!c->owed) {
        const char *end = memmem(c->in, c->filled, "\r\n\r\n", 4);
        if (!end) return c->filled < HEAD_MAX ? 0 : -1;
        if (!read_head(c, end + 4)) return -1;
        size_t head = (size_t)(end + 4 - c->in);
        memmove(c->in, c->in + head, c->filled - head);
        c->filled -= head;
    }
    if (c->unread > 0) {
        int whole = drop_body(c);
        if (whole <= 0) return whole;
    }
    if (!answer(c)) return -1;
    return c->owed ? 0 : 1;
}

// Processes as long as there is something to do; false if the connection cannot be used further.
static bool advance(struct connection *c) {
    int on = 1;
    while (on > 0 && (c->filled > 0 || c->owed)) on = step(c);
    return on >= 0;
}

static bool serve(struct connection *c, uint32_t events) {
    if (!advance(c)) return false;
    while (!c->owed) {
        size_t room = HEAD_MAX - c->filled;
        ssize_t n = recv(c->fd, c->in + c->filled, room, 0);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return false;
        c->filled += (size_t)n;
        if (!advance(c)) return false;
        // Edge-triggered: a short read has emptied the socket, unless it has also been closed.
        if ((size_t)n < room && !(events & EPOLLRDHUP)) return true;
    }
    return true;
}

static int listen_on(int port, int address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)address)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 16384) < 0) fail("listen");
    return fd;
}

static void accept_one(int listener, int epoll) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    struct connection *c = malloc(sizeof *c);
    if (!c) fail("malloc");
    c->fd = fd;
    c->filled = c->unread = 0;
    c->owed = NULL;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void run(int port, int addresses) {
    static int listeners[ADDRESSES_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS];
    if (epoll < 0) fail("epoll");
    for (int i = 0; i < addresses; i++) {
        listeners[i] = listen_on(port, i);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event) < 0) fail("epoll_ctl");
    }
    while (true) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            void *of = events[i].data.ptr;
            struct connection *c = of;
            if (of >= (void *)listeners && of < (void *)(listeners + ADDRESSES_MAX)) {
                accept_one(*(int *)of, epoll);
            } else if ((events[i].events & EPOLLERR) || !serve(c, events[i].events)) {
                close(c->fd);
                free(c);
            }
        }
    }
}

int main(int count, char **words) {
    int addresses = count > 3 ? atoi(words[3]) : 1;
    if (count < 3 || addresses < 1 || addresses > ADDRESSES_MAX) {
        fprintf(stderr, "usage: origin PORT PROCESSES [ADDRESSES, 1 to %d]\n", ADDRESSES_MAX);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    fill_file();
    for (int left = atoi(words[2]); left > 1; left--) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        }
    }
    run(atoi(words[1]), addresses);
}
