import Contracts

/// Why a form could not be read.
enum MultipartFailure: String, Failure {
    case malformed = "malformed-multipart"
    case headTooLarge = "multipart-head-too-large"
    case tooManyParts = "multipart-too-many-parts"
    case noBoundary = "multipart-without-boundary"

    var kind: FailureKind { .invalid }

    var detail: String? {
        switch self {
        case .malformed: "The body is not multipart/form-data as RFC 7578 has it, or ends before its last boundary. Nothing was kept."
        case .headTooLarge: "The head of a part has more than \(MultipartParser.maximumHeadBytes) bytes or too many lines."
        case .tooManyParts: "A form has at most \(MultipartParser.maximumParts) parts."
        case .noBoundary: "The Content-Type of a form names its boundary: 1 to \(MultipartParser.maximumBoundaryBytes) characters."
        }
    }
}
