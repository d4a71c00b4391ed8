import Contracts
import Foundation

/// Names one file's content in storage.
struct ContentKey: Hashable, Sendable {
    let tenant: TenantID
    let file: FileID
}

/// Where sealed content lies. It is given ciphertext alone and needs no trust.
///
/// A protocol, though there is one implementation in the program so far, because object storage (S3) takes the same place.
protocol ContentStorage: Sendable {
    /// Begins to take content under a name of its own, which nobody reads.
    func begin(_ key: ContentKey) async throws -> any IncomingContent
    /// Throws `DamagedContent.missing` when there is none.
    func open(_ key: ContentKey) async throws -> any KeptContent
    /// Removing what is not there is no error.
    func remove(_ key: ContentKey) async throws
    /// Removes what was begun before `date` and never committed; returns how many there were.
    func removeLeftovers(before date: Date) async throws -> Int
    /// Visits everything that was committed before `date`, in batches of one organization.
    func visit(committedBefore date: Date, _ batch: @Sendable (TenantID, [ContentKey]) async throws -> Void) async throws
    /// Throws when content cannot be written just now.
    func ping() async throws
}

/// Content on its way in. Nothing of it is visible until `commit` returns.
protocol IncomingContent: Sendable {
    /// Throws `FileFailure.storageFull` when there is no room.
    func append(_ bytes: Data) async throws
    /// Makes it durable, then visible under its name.
    func commit() async throws
    /// Leaves nothing behind. Does its work also when the task was cancelled.
    func abandon() async
}

/// Content that can be read at any place.
protocol KeptContent: Sendable {
    /// Fewer bytes than asked for only at the end of the content.
    func read(at offset: Int, count: Int) async throws -> Data
}
