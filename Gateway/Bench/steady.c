// A small HTTP/1.1 load generator for what wrk cannot do: a constant rate with latencies counted from the moment a request was
// due (so a stall of the server is seen, not left out), and another token with each request until there are no more.
//
//   steady PORT PATH CONNECTIONS SECONDS RATE TOKENS
//
// RATE 0: each connection sends as soon as it was answered. TOKENS: a file, one a line. With more than one line no token is
// sent twice, and the run ends early when they are used up; a single line is sent each time.
// It prints one line of JSON; times are microseconds.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 4096,
    MAX_REQUEST = 8192,
    MAX_HEAD = 16384,
    READ_SIZE = 65536,
    HISTOGRAM_MICROSECONDS = 10000000,
    DRAIN_MICROSECONDS = 1000000,
};

struct connection {
    int socket;
    int busy;
    uint64_t due;        // when its request should have been sent
    size_t head_length;  // bytes of the answer's head read so far
    long long body_left; // -1 while the head is being read
    int closing;
    char head[MAX_HEAD];
};

static struct connection *connections;
static struct connection **idle;  // a ring: every connection has its turn
static size_t idle_first, idle_count, idle_room;
static char **tokens;
static size_t token_count, next_token;
static uint32_t *histogram;
static uint64_t sent, completed, refused, broken, reconnects, last_completion;
static int poller;
static int port;
static const char *path;
static size_t in_flight;

static uint64_t now_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "steady: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void rest(struct connection *connection) { idle[(idle_first + idle_count++) % idle_room] = connection; }

static struct connection *wake(void) {
    struct connection *connection = idle[idle_first];
    idle_first = (idle_first + 1) % idle_room;
    idle_count--;
    return connection;
}

static void open_connection(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->socket < 0) die("socket");
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(connection->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->socket, &event) != 0) die("epoll_ctl");
    connection->busy = connection->closing = 0;
    connection->head_length = 0;
    connection->body_left = -1;
}

static void reopen(struct connection *connection) {
    close(connection->socket);
    reconnects++;
    open_connection(connection);
}

static void read_tokens(const char *file) {
    FILE *lines = fopen(file, "r");
    if (!lines) die(file);
    char *line = NULL;
    size_t capacity = 0, room = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, lines)) > 0) {
        while (length > 0 && line[length - 1] == '\n') line[--length] = 0;
        if (length == 0) continue;
        if (token_count == room) {
            room = room ? room * 2 : 1024;
            tokens = realloc(tokens, room * sizeof *tokens);
            if (!tokens) die("realloc");
        }
        tokens[token_count++] = strdup(line);
    }
    free(line);
    fclose(lines);
    if (token_count == 0) die("no token in the file");
}

static int tokens_are_left(void) { return token_count == 1 || next_token < token_count; }

static void send_request(struct connection *connection, uint64_t due) {
    char request[MAX_REQUEST];
    const char *token = token_count == 1 ? tokens[0] : tokens[next_token++];
    int length = snprintf(
        request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n", path, port, token);
    if (length < 0 || (size_t)length >= sizeof request) { errno = EMSGSIZE; die("request"); }
    connection->busy = 1;
    connection->due = due;
    connection->head_length = 0;
    connection->body_left = -1;
    sent++;
    in_flight++;
    // A request is smaller than any socket buffer, and the one before it was answered: a short write is a broken connection.
    if (send(connection->socket, request, (size_t)length, MSG_NOSIGNAL) != length) {
        broken++;
        in_flight--;
        reopen(connection);
        rest(connection);
    }
}

static void finish(struct connection *connection, uint64_t now) {
    uint64_t microseconds = now > connection->due ? (now - connection->due) / 1000 : 0;
    if (microseconds > HISTOGRAM_MICROSECONDS) microseconds = HISTOGRAM_MICROSECONDS;
    histogram[microseconds]++;
    completed++;
    in_flight--;
    last_completion = now;
    connection->busy = 0;
    if (connection->closing) reopen(connection);
    rest(connection);
}

static const char *field(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') return line + 3 + length + strspn(line + 3 + length, " ");
    }
    return NULL;
}

// False: the answer is not one this program can read.
static int read_head(struct connection *connection, size_t *used) {
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) { *used = connection->head_length; return connection->head_length < MAX_HEAD - 1; }
    end[2] = 0;
    const char *length = field(connection->head, "content-length"), *keep = field(connection->head, "connection");
    if (!length || connection->head_length < 12) return 0;
    if (connection->head[9] != '2') refused++;
    connection->closing = keep && strncasecmp(keep, "close", 5) == 0;
    connection->body_left = strtoll(length, NULL, 10);
    *used = (size_t)(end + 4 - connection->head);
    return 1;
}

static void receive(struct connection *connection) {
    static char buffer[READ_SIZE];
    for (;;) {
        ssize_t length = recv(connection->socket, buffer, sizeof buffer, 0);
        if (length < 0 && errno == EAGAIN) return;
        if (length <= 0) {
            if (connection->busy) {
                broken++;
                in_flight--;
                rest(connection);
            }
            reopen(connection);
            return;
        }
        size_t body = (size_t)length;
        if (connection->body_left < 0) {
            size_t before = connection->head_length, take = (size_t)length, used = 0;
            if (take > MAX_HEAD - 1 - before) take = MAX_HEAD - 1 - before;
            memcpy(connection->head + before, buffer, take);
            connection->head_length = before + take;
            connection->head[connection->head_length] = 0;
            if (!connection->busy || !read_head(connection, &used)) {
                broken++;
                if (connection->busy) { in_flight--; rest(connection); }
                reopen(connection);
                return;
            }
            if (connection->body_left < 0) continue;
            body = (size_t)length - (used - before);
        }
        connection->body_left -= (long long)body;
        if (connection->body_left <= 0) {
            finish(connection, now_nanoseconds());
            return;
        }
        if ((size_t)length < sizeof buffer) return;
    }
}

static uint64_t percentile(double share) {
    uint64_t wanted = (uint64_t)((double)completed * share), seen = 0;
    for (uint64_t value = 0; value <= HISTOGRAM_MICROSECONDS; value++) {
        seen += histogram[value];
        if (seen > wanted) return value;
    }
    return HISTOGRAM_MICROSECONDS;
}

int main(int count, char **arguments) {
    if (count != 7) {
        fprintf(stderr, "usage: steady PORT PATH CONNECTIONS SECONDS RATE TOKENS\n");
        return 2;
    }
    port = atoi(arguments[1]);
    path = arguments[2];
    int width = atoi(arguments[3]);
    double seconds = atof(arguments[4]), rate = atof(arguments[5]);
    if (width < 1 || width > MAX_CONNECTIONS || seconds <= 0 || rate < 0) {
        fprintf(stderr, "steady: a number is out of range\n");
        return 2;
    }
    read_tokens(arguments[6]);
    prctl(PR_SET_TIMERSLACK, 1);
    connections = calloc((size_t)width, sizeof *connections);
    idle = calloc((size_t)width, sizeof *idle);
    histogram = calloc(HISTOGRAM_MICROSECONDS + 1, sizeof *histogram);
    idle_room = (size_t)width;
    poller = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (!connections || !idle || !histogram || poller < 0 || timer < 0) die("start");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    for (int index = 0; index < width; index++) {
        open_connection(&connections[index]);
        rest(&connections[index]);
    }

    uint64_t start = now_nanoseconds(), end = start + (uint64_t)(seconds * 1e9), armed = 0;
    last_completion = start;
    for (;;) {
        uint64_t now = now_nanoseconds();
        int over = now >= end || !tokens_are_left();
        if (over && (in_flight == 0 || now >= end + DRAIN_MICROSECONDS * 1000ull)) break;
        uint64_t next_due = end;
        while (!over && idle_count > 0 && tokens_are_left()) {
            uint64_t due = rate > 0 ? start + (uint64_t)((double)sent * 1e9 / rate) : now_nanoseconds();
            if (rate > 0 && due > now) { next_due = due; break; }
            send_request(wake(), due);
        }
        if (rate > 0 && idle_count > 0 && !over && next_due != armed) {
            struct itimerspec when = {.it_value = {.tv_sec = (time_t)(next_due / 1000000000u), .tv_nsec = (long)(next_due % 1000000000u)}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
            armed = next_due;
        }
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, 100);
        for (int index = 0; index < ready; index++) {
            if (events[index].data.ptr) {
                receive(events[index].data.ptr);
            } else {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timer");
            }
        }
    }
    double elapsed = (double)(last_completion - start) / 1e9;
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"refused\": %llu, \"broken\": %llu, \"unanswered\": %zu, \"reconnects\": %llu, "
           "\"p50\": %llu, \"p99\": %llu, \"p999\": %llu, \"exhausted\": %s}\n",
           (unsigned long long)completed, elapsed, (unsigned long long)refused, (unsigned long long)broken, in_flight,
           (unsigned long long)reconnects, (unsigned long long)percentile(0.5), (unsigned long long)percentile(0.99),
           (unsigned long long)percentile(0.999), tokens_are_left() ? "false" : "true");
    return 0;
}
