/// The text of a stored file: `GET /internal/v1/files/{fileID}/text?organization=`, which search asks of files. 404 when the organization
/// has no such file.
package struct FileText: Codable, Sendable, Equatable {
    /// The most code points that are answered. What lies beyond is left out.
    package static let maximumLength = 200_000

    /// Plain text without control characters but line feeds and tabs; empty where a file has none, or is of a kind that is not read.
    package let text: String
    /// The file has more text, or may have.
    package let isCut: Bool

    package init(text: String, isCut: Bool) {
        self.text = text
        self.isCut = isCut
    }
}
