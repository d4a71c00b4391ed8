import Contracts
import Foundation
import ServiceKit

/// A file as the API shows it.
struct FileView: View {
    let id: FileID
    let name: String
    let contentType: String
    /// Bytes.
    let size: Int
    /// Lowercase hexadecimal.
    let sha256: String
    let uploadedBy: UserID?
    let createdAt: Date

    init(_ file: StoredFile) {
        id = file.id
        name = file.name.rawValue
        contentType = file.contentType.text
        size = file.size
        sha256 = file.sha256
        uploadedBy = file.uploadedBy
        createdAt = file.createdAt
    }

    /// A file never changes, so there is one version of what is said about it.
    var entityTag: EntityTag? { EntityTag(version: 1) }
}

/// In which order files are listed.
enum FileOrder: String, Codable, CaseIterable {
    case newestFirst = "-createdAt"
    case oldestFirst = "createdAt"
}

struct FileQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let sort: FileOrder?
}
