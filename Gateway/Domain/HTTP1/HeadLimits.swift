/// Numbers that a head must stay within.
struct HeadLimits: Sendable, Equatable {
    /// All of it, with the first line and the empty one.
    var bytes = 32_768
    var fields = 100
    /// What all lines of `Connection` name together: each is held against every field.
    var options = 32
    /// The request target: path and query.
    var target = 8_192
    /// Bytes before the end of the first line: the longest target, the longest method and the version, with some to spare.
    var firstLine: Int { target + 64 }
    static let standard = HeadLimits()
}

/// Why a head is refused. Nothing is repaired: what two programs could read differently goes no further.
enum HeadRefusal: Error, Sendable, Equatable {
    case malformedLine
    case malformedField
    case malformedTarget
    case targetTooLong
    case headTooLarge
    case tooManyFields
    case tooManyOptions
    case unsupportedVersion
    case malformedHost
    case ambiguousLength
    case unsupportedTransferCoding
    case repeatedField
    /// Two access tokens, or two API keys.
    case repeatedCredential
    case unsupportedExpectation
}

/// How the end of a body is known (RFC 9112, section 6.3).
enum BodyFraming: Sendable, Equatable {
    case none
    case length(Int)
    case chunked
    /// The end of the connection is the end of the body: of answers only.
    case untilClose
}
