import Contracts

/// Refusals of this service that are not about one field.
enum FileFailure: String, Failure {
    /// The file is larger than any may be.
    case fileTooLarge = "file-too-large"
    /// The organization has no room left for it.
    case quotaExceeded = "quota-exceeded"
    /// The disk or its quota is full: nothing that the caller can change.
    case storageFull = "storage-full"
    /// The connection ended before the body did.
    case uploadIncomplete = "upload-incomplete"
    case rangeNotSatisfiable = "range-not-satisfiable"
    /// As many PDF files are being read for their text as may be.
    case textsBusy = "texts-busy"

    var kind: FailureKind {
        switch self {
        case .fileTooLarge, .quotaExceeded: .tooLarge
        case .storageFull: .insufficientStorage
        case .uploadIncomplete: .invalid
        case .rangeNotSatisfiable: .rangeNotSatisfiable
        case .textsBusy: .unavailable(retryAfter: 1)
        }
    }

    var detail: String? {
        switch self {
        case .fileTooLarge: "The file is larger than this installation takes."
        case .quotaExceeded: "The file does not fit into what is left of the organization's storage: delete files or ask for more."
        case .storageFull: "There is no room to store the file just now. Nothing was kept."
        case .uploadIncomplete: "The connection ended before the whole file had arrived. Nothing was kept."
        case .rangeNotSatisfiable: "The range lies outside the file; Content-Range says how long it is."
        case .textsBusy: "As many texts are being read as may be at once."
        }
    }
}

/// Content that cannot be given back as it was stored: changed, cut short, moved or gone. Never answered with other bytes.
enum DamagedContent: String, Error {
    case missing, truncated, notAuthentic, unknownFormat
}
