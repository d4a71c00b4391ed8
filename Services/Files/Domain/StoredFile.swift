import Contracts
import Foundation

/// A file that is stored completely. It never changes: another content is another file.
struct StoredFile: Sendable, Equatable {
    let id: FileID
    let name: FileName
    let contentType: MediaType
    /// Bytes of the content itself, without what encryption adds.
    let size: Int
    /// Lowercase hexadecimal.
    let sha256: String
    let uploadedBy: UserID?
    let createdAt: Date

    var uploaded: FileUploaded {
        FileUploaded(
            fileID: id, name: name.rawValue, contentType: contentType.text, size: size, sha256: sha256, uploadedBy: uploadedBy)
    }

    var deleted: FileDeleted { FileDeleted(fileID: id, size: size) }
}

/// How much may be stored.
struct StorageLimits: Sendable {
    /// The largest single file, in bytes.
    let uploadBytes: Int
    /// All files of one organization, in bytes.
    let quotaBytes: Int

    /// What one upload may take when the organization already stores `used` bytes.
    func allowance(used: Int) -> Allowance { Allowance(uploadBytes: uploadBytes, room: max(0, quotaBytes - used)) }

    struct Allowance: Sendable {
        let uploadBytes: Int
        let room: Int

        /// Refuses as soon as it is known that the content is too much, not when all of it has arrived.
        func check(_ size: Int) throws(FileFailure) {
            if size > uploadBytes { throw .fileTooLarge }
            if size > room { throw .quotaExceeded }
        }
    }
}
