package import Contracts

/// Why a command has no answer. Every caller decides what it does without Redis; thrown on, each answers 503.
package enum RedisFailure: Failure, Equatable {
    /// No connection, and commands are refused at once until there is one; or the connection broke before the answer,
    /// so that the command may or may not have been done.
    case away
    /// No answer within the time allowed. The command may or may not have been done.
    case timedOut
    /// More commands are waiting than `queueLimit`; this one was not sent.
    case busy
    /// Redis answered with an error: its own words, which begin with a code such as `WRONGTYPE`.
    case server(String)
    /// Redis answered with something that this command does not have as an answer.
    case unexpectedAnswer

    package var code: String { "dependency-unavailable" }
    package var kind: FailureKind { .unavailable(retryAfter: 1) }
    package var detail: String? { "A part of the platform (cache) does not answer just now. Try again shortly." }
}
