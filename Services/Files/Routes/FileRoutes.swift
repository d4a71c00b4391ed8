import Contracts
import Foundation
import HTTPTypes
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

struct FileRoutes {
    let database: Database
    let vault: Vault
    let limits: StorageLimits
    let now: @Sendable () -> Date
    let logger: Logger
    let metrics: FileMetrics

    var endpoints: Endpoints {
        Endpoints("files") {
            Endpoint.upload(
                .post, "", "Store a file: a form with one file, or the content itself with Content-Disposition", may: "files:write",
                maxBodyBytes: limits.uploadBytes + UploadBody.formOverhead, upload)
            Endpoint.get("", "List the organization's files", may: "files:read", list)
            Endpoint.get(":id", "Read what is known of a file", may: "files:read", read)
            Endpoint.get(":id/content", "Download a file, or a range of it", may: "files:read", download)
            Endpoint.delete(":id", "Delete a file", may: "files:write", delete)
        }
    }

    // MARK: - Upload

    /// The row is inserted after the content is durable: a row always stands for content that can be read. Whatever goes wrong
    /// before leaves nothing behind.
    func upload(_ request: CallerRequest) async throws -> Created<FileView> {
        let body = try UploadBody(request)
        let allowance = limits.allowance(used: try await database.first(UsageStore.used, as: request.caller) ?? 0)
        try body.check(allowance)
        let id = FileID.make(at: request.now)
        var incoming = try await vault.begin(id, as: request.caller, allowance: allowance)
        let file: StoredFile
        do {
            let named = try await body.copy(into: &incoming)
            let sha256 = try await incoming.commit()
            file = StoredFile(
                id: id, name: named.name, contentType: named.contentType, size: incoming.size, sha256: sha256,
                uploadedBy: request.caller.user, createdAt: now())
        } catch {
            await incoming.abandon()
            throw error
        }
        try await insert(file, keyVersion: incoming.keyVersion, request)
        metrics.uploaded.increment(by: Int64(file.size))
        request.note("fileId", file.id.description)
        return Created(FileView(file), at: "/api/v1/files/\(file.id)")
    }

    private func insert(_ file: StoredFile, keyVersion: Int, _ request: CallerRequest) async throws {
        let quota = limits.quotaBytes
        let entry = audit("files.file.upload", was: nil, now: file, request)
        do {
            try await database.transaction(as: request.caller) { tx in
                try UsageStore.add(file.size, quota: quota, in: tx)
                try FileStore.insert(file, keyVersion: keyVersion, in: tx)
                try Outbox(tx).append([file.uploaded, entry])
            }
        } catch {
            // A connection lost during the commit may have committed: then only the sweep can tell whether the content is an orphan.
            let isUnknown = error is DependencyFailure || error is CancellationError
            if !isUnknown { await discard(file.id, of: request.caller.tenant) }
            throw error
        }
    }

    // MARK: - Reading

    func list(_ request: CallerRequest, _ query: FileQuery) async throws -> Page<FileView> {
        let limit = query.limit ?? .standard
        if let cursor = query.cursor, cursor.timeAndID == nil {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        let files = try await database.query(
            FileStore.list(query.sort ?? .newestFirst, after: query.cursor?.timeAndID, limit: limit.value + 1), as: request.caller)
        return Page(files.map(FileView.init), limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func read(_ request: CallerRequest) async throws -> FileView {
        FileView(try await find(request))
    }

    func download(_ request: CallerRequest) async throws -> StreamedResult {
        let id = try request.path("id", as: FileID.self)
        let caller = request.caller
        guard let sealed = try await database.first(FileStore.findSealed(id), as: caller) else { throw ResourceFailure.notFound }
        let metrics = metrics
        var logger = logger
        logger[metadataKey: "fileId"] = "\(id)"
        logger[metadataKey: "tenantId"] = "\(caller.tenant)"
        let log = logger
        let answer = ContentAnswer(file: sealed.file, request: request) { error in
            metrics.damaged.increment()
            log.error("stored content is damaged", metadata: ["reason": "\(error)"])
        } sent: { bytes in
            metrics.downloaded.increment(by: Int64(bytes))
        }
        do {
            return StreamedResult(try await answer.response { try await vault.open(sealed, of: caller.tenant) })
        } catch let error as DamagedContent {
            // Deleted between the row and the content: then it is simply not there.
            guard try await database.first(FileStore.find(id), as: caller) != nil else { throw ResourceFailure.notFound }
            answer.damaged(error)
            throw error
        } catch let error as MasterKey.CannotUnwrap {
            log.error("an organization's key cannot be unwrapped with this master key")
            throw error
        }
    }

    // MARK: - Deleting

    /// The row goes first: content without a row is swept up, a row without content would be a lie.
    func delete(_ request: CallerRequest) async throws -> NoContent {
        let file = try await find(request)
        try request.requireMatch(EntityTag(version: 1))
        let entry = audit("files.file.delete", was: file, now: nil, request)
        try await database.transaction(as: request.caller) { tx in
            guard try FileStore.delete(file.id, in: tx) else { throw ResourceFailure.notFound }
            try UsageStore.release(file.size, in: tx)
            try Outbox(tx).append([file.deleted, entry])
        }
        await discard(file.id, of: request.caller.tenant)
        return NoContent()
    }

    private func find(_ request: CallerRequest) async throws -> StoredFile {
        let id = try request.path("id", as: FileID.self)
        guard let file = try await database.first(FileStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return file
    }

    /// Removes content that has no row. If that fails the sweep does it later.
    private func discard(_ id: FileID, of tenant: TenantID) async {
        let vault = vault
        // A task of its own, because the request's may have been cancelled.
        let removed = await Task { (try? await vault.remove(id, of: tenant)) != nil }.value
        if !removed { logger.warning("content without a file is left to the sweep", metadata: ["fileId": "\(id)"]) }
    }

    private func audit(_ action: String, was: StoredFile?, now: StoredFile?, _ request: CallerRequest) -> AuditEntryRecorded {
        func values(_ file: StoredFile) -> [String: JSONValue] {
            ["name": .string(file.name.rawValue), "size": .integer(file.size), "sha256": .string(file.sha256)]
        }
        return AuditEntryRecorded(
            action: action, resourceType: "file", resourceID: (now ?? was)?.id.description, actor: request.caller.principalText,
            outcome: "allowed", riskLevel: "low", address: request.clientAddress, userAgent: request.userAgent,
            changed: now.map(values) ?? [:], previous: was.map(values), requestID: request.requestID,
            impersonator: request.caller.impersonator, user: request.caller.user)
    }
}
