/// What a faulty upstream can do, by the name in the path. `?x=` names what can be set.
enum Fault: String, CaseIterable, Sendable {
    // MARK: Never, late or cut short

    /// Takes the request, body and all, and never answers.
    case silence
    /// Reads the head of the request and nothing more, and never answers.
    case deaf
    /// Closes without an answer, by FIN.
    case closeAtOnce = "close-at-once"
    /// Closes without an answer, by RST.
    case resetAtOnce = "reset-at-once"
    /// Closes its side before the answer, and waits for the client to close its own.
    case halfCloseAtOnce = "half-close-at-once"
    /// The head of an answer with 100 bytes to come, and then nothing.
    case headThenHang = "head-then-hang"
    /// Half of a head, and then nothing.
    case halfHead = "half-head"
    /// 10,000 of 1,000,000 bytes (`?bytes=`), then FIN.
    case dieMidBody = "die-mid-body"
    /// 10,000 of 1,000,000 bytes (`?bytes=`), then RST.
    case resetMidBody = "reset-mid-body"
    /// One chunk and the size of another, then FIN.
    case dieMidChunk = "die-mid-chunk"
    /// A chunk, and FIN in place of the last one.
    case noLastChunk = "no-last-chunk"
    /// 200 after `?ms=` milliseconds (100).
    case late
    /// The first `?failures=` requests with the same `?key=` are reset (or, with `?status=`, answered so), the others answered.
    case flaky
    /// Any `?code=` (503), with a small body.
    case status

    // MARK: Connections

    /// Answers, and closes its side at once while it goes on reading.
    case halfClose = "half-close"
    /// Answers as if the connection would stay, and closes it.
    case closeAfter = "close-after"
    /// Answers the first request of a connection; the second is met with RST, as when a kept connection was about to be closed.
    case stale
    /// Answers with `Connection: close` and closes.
    case sayClose = "say-close"
    /// Two answers to one request, in one write.
    case twoAnswers = "two-answers"
    /// An answer before the request is whole; the rest of the request is read.
    case early
    /// 413 before the request is whole, then it closes with the rest unread.
    case earlyRefusal = "early-refusal"

    // MARK: Framing, good and bad

    /// 100 Continue when asked for, then an answer with the count of the body.
    case expectContinue = "continue"
    /// Never says 100 Continue, and reads the body all the same.
    case noContinue = "no-continue"
    /// 417 in place of 100 Continue.
    case refuseContinue = "refuse-continue"
    /// 103 with two links, and then the answer.
    case earlyHints = "early-hints"
    /// `?count=` (1) heads of 103, each with a length that means nothing, and then the answer.
    case interims
    /// Chunked, with two trailers.
    case trailers
    /// Chunks without length at the end, until FIN (HTTP/1.1 without framing).
    case untilClose = "until-close"
    /// An HTTP/1.0 answer without a length.
    case http10
    /// An HTTP/1.0 answer in chunks, of which that version knows nothing.
    case http10Chunked = "http10-chunked"
    /// A chunk size that is no number.
    case badChunk = "bad-chunk"
    /// A chunk size beyond 64 bits.
    case hugeChunk = "huge-chunk"
    /// A chunk longer than its size.
    case longChunk = "long-chunk"
    /// 50 of 100 bytes, then FIN.
    case shortBody = "short-body"
    /// 10 bytes where the head says 5.
    case longBody = "long-body"
    /// Two lengths that differ.
    case twoLengths = "two-lengths"
    /// A length and chunks.
    case lengthAndChunks = "length-and-chunks"
    /// A body after 204.
    case bodyOn204 = "body-on-204"
    /// A body after the head that HEAD asked for.
    case bodyOnHead = "body-on-head"
    /// 101 that nobody asked for.
    case switching
    /// Something that is not HTTP.
    case notHTTP = "not-http"
    /// NUL in a field.
    case nul
    /// Lines that end with LF alone.
    case bareLF = "bare-lf"
    /// A space before the colon of the length.
    case spacedColon = "spaced-colon"
    /// A field that goes on in the next line.
    case folded
    /// Fields of `?bytes=` in all (1,048,576).
    case hugeHeaders = "huge-headers"
    /// A status line without end.
    case endlessHead = "endless-head"

    // MARK: Bodies

    /// A head of single bytes, `?ms=` (20) between them.
    case trickleHead = "trickle-head"
    /// `?count=` (50) single bytes, `?ms=` (20) between them.
    case trickle
    /// Chunks without end.
    case infinite
    /// A body of `?bytes=` with its length: the pattern of `FaultScripts.pattern`.
    case body
    /// The request's body as it comes, with its length or in chunks, and its trailers.
    case echo
    /// Reads the body and answers `{"bytes": n, "sha256": "…"}`.
    case count
    /// The same, reading 64 KB at a time with `?ms=` (20) between them.
    case slowRead = "slow-read"
    /// Server-sent events, `?count=` (5; 0: without end) of them, `?ms=` (20) between them.
    case events
    /// A WebSocket that sends back what it gets (RFC 6455).
    case websocket
    /// The request's head as JSON lines: what reached the upstream.
    case head
}
