import Foundation

/// A file whose text is still to be asked for.
struct AwaitedText: Equatable, Sendable {
    let id: DocumentID
    /// Of the document that the text is for.
    let version: Int
    /// How often it was asked for, this time included.
    let attempts: Int

    /// Within this, whoever asks has the text or is gone.
    static let lease: TimeInterval = 90
    /// Seconds to the second try, doubled with each further one up to the longest.
    static let firstPause: TimeInterval = 1
    static let longestPause: TimeInterval = 600
    /// Files that are deleted are taken off by their event. So one that is not there is asked for some two hours longer: files may be of a
    /// release that does not give texts yet.
    static let absencesBeforeGivingUp = 20

    var pause: TimeInterval { min(Self.longestPause, Self.firstPause * pow(2, Double(min(attempts, 30) - 1))) }
}
