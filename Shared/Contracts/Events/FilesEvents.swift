import Foundation

/// A file was stored completely.
package struct FileUploaded: Event {
    package static let topic = Topic.files
    package static let name = "file.uploaded"
    package static let summary = "A file was stored completely."

    package let fileID: FileID
    package let name: String
    package let contentType: String
    package let size: Int
    package let sha256: String
    package let uploadedBy: UserID?

    package var aggregateID: String { fileID.description }

    package init(fileID: FileID, name: String, contentType: String, size: Int, sha256: String, uploadedBy: UserID?) {
        self.fileID = fileID
        self.name = name
        self.contentType = contentType
        self.size = size
        self.sha256 = sha256
        self.uploadedBy = uploadedBy
    }

    package static let example = FileUploaded(
        fileID: FileID(.example(5)), name: "Analytical Engines",
        contentType: "application/pdf", size: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", uploadedBy: UserID(.example(1)))
}

/// A file is gone and its room given back.
package struct FileDeleted: Event {
    package static let topic = Topic.files
    package static let name = "file.deleted"
    package static let summary = "A file is gone and its room given back."

    package let fileID: FileID
    package let size: Int

    package var aggregateID: String { fileID.description }

    package init(fileID: FileID, size: Int) {
        self.fileID = fileID
        self.size = size
    }

    package static let example = FileDeleted(
        fileID: FileID(.example(5)),
        size: 3)
}
