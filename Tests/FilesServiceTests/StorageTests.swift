import Contracts
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Postgres
import ServiceKit
import Synchronization
import TestKit
import Testing

@testable import FilesService

/// The service on a disk that has room for a little more than a megabyte.
private enum FullDiskFiles: Program {
    typealias Settings = FilesSettings
    static let name = ServiceName.files
    static let port = 8087
    static let summary = "files on a small disk"
    static let room = 1_000_000

    static func assemble(_ settings: FilesSettings, _ house: Foundations) throws -> Assembly {
        let written = Counter()
        let calls = FileCalls(
            write: { descriptor, bytes in
                guard written.add(bytes.count) <= room else {
                    errno = ENOSPC
                    return -1
                }
                return FileCalls.system.write(descriptor, bytes)
            },
            synchronize: FileCalls.system.synchronize)
        return try Files.assemble(settings, house, storage: LocalStorage(directory: settings.directory, calls: calls))
    }
}

/// The service on a disk that takes everything and then cannot make it durable.
private enum UnsureDiskFiles: Program {
    typealias Settings = FilesSettings
    static let name = ServiceName.files
    static let port = 8087
    static let summary = "files on a broken disk"

    static func assemble(_ settings: FilesSettings, _ house: Foundations) throws -> Assembly {
        let calls = FileCalls(write: FileCalls.system.write) { _ in
            errno = EIO
            return -1
        }
        return try Files.assemble(settings, house, storage: LocalStorage(directory: settings.directory, calls: calls))
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)
    func add(_ more: Int) -> Int {
        count.withLock { count in
            count += more
            return count
        }
    }
}

@Suite("Storage and its limits")
struct StorageTests {
    private func expectNothing(_ files: FilesHost, _ tenant: TestTenant, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        #expect(files.incoming.isEmpty, sourceLocation: sourceLocation)
        #expect(files.contents(of: tenant.id) == 0, sourceLocation: sourceLocation)
        let api = try await files.client(tenant.user)
        #expect(try await api.get("/api/v1/files")["data"].array.isEmpty, sourceLocation: sourceLocation)
        #expect(try await files.host.outbox(tenant.id).isEmpty, sourceLocation: sourceLocation)
        #expect(try await files.host.database.first(UsageStore.used, as: tenant.user.caller) ?? 0 == 0, sourceLocation: sourceLocation)
    }

    @Test("A full disk answers 507 and leaves nothing half done")
    func fullDisk() async throws {
        let files = try await FilesHost.start(FullDiskFiles.self)
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let response = try await api.upload(Data.sample(3_000_000))
        #expect(response.status == 507)
        #expect(response.problem == "storage-full")
        try await expectNothing(files, tenant)
    }

    /// `mount -t tmpfs -o size=1m tmpfs /mnt/small` makes one.
    @Test(
        "A file system that is really full does the same, and works again when there is room",
        .enabled(if: Self.smallDisk != nil, "TRIONEX_TEST_SMALL_DISK names a directory on a file system of about 1 MB"))
    func reallyFull() async throws {
        let files = try await FilesHost.start(directory: try #require(Self.smallDisk) + "/\(UUID().uuidString)")
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let response = try await api.upload(Data.sample(3_000_000))
        #expect(response.status == 507)
        #expect(response.problem == "storage-full")
        try await expectNothing(files, tenant)
        #expect(try await api.upload(Data.sample(300_000)).status == 201)
    }

    private static let smallDisk = ProcessInfo.processInfo.environment["TRIONEX_TEST_SMALL_DISK"]

    @Test("A disk that cannot make content durable answers 503 and keeps no row")
    func unsureDisk() async throws {
        let files = try await FilesHost.start(UnsureDiskFiles.self)
        let tenant = TestTenant()
        let response = try await files.client(tenant.user).upload(Data.sample(1000))
        #expect(response.status == 503)
        #expect(response.headers.contains(name: "retry-after"))
        try await expectNothing(files, tenant)
    }

    @Test("The quota is held, also by uploads at the same time, and freed by deleting")
    func quota() async throws {
        let files = try await FilesHost.start(Files.self, ["TRIONEX_FILES_QUOTA_BYTES": "100000"])
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<6 { group.addTask { try await api.upload(Data.sample(60_000)).status } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.sorted() == [201, 413, 413, 413, 413, 413])
        let refused = try await api.upload(Data.sample(60_000))
        #expect(refused.problem == "quota-exceeded")
        let unannounced = try await api.uploadStream(piece: ByteBuffer(bytes: Data.sample(30_000)), pieces: 2)
        #expect(unannounced.problem == "quota-exceeded")
        #expect(files.contents(of: tenant.id) == 1)
        #expect(files.incoming.isEmpty)
        #expect(try await files.host.database.first(UsageStore.used, as: tenant.user.caller) == 60_000)
        let listed = try await api.get("/api/v1/files")["data"].array
        #expect(listed.count == 1)
        #expect(try await api.delete("/api/v1/files/\(try #require(listed[0]["id"].string))").status == 204)
        #expect(try await api.upload(Data.sample(100_000)).status == 201)
        // Another organization has a quota of its own.
        #expect(try await files.client(TestTenant().user).upload(Data.sample(60_000)).status == 201)
    }

    @Test("A file larger than any may be is refused, announced or not, as a body and in a form")
    func tooLarge() async throws {
        let files = try await FilesHost.start(Files.self, ["TRIONEX_FILES_MAX_UPLOAD_BYTES": "200000"])
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let announced = try await api.upload(Data.sample(200_001))
        #expect(announced.status == 413)
        #expect(announced.problem == "file-too-large")
        #expect(try await api.uploadStream(piece: ByteBuffer(bytes: Data.sample(50_000)), pieces: 5).problem == "file-too-large")
        let head = Data("--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n".utf8)
        #expect(try await api.uploadForm(head + Data.sample(200_001) + Data("\r\n--XX--".utf8)).problem == "file-too-large")
        try await expectNothing(files, tenant)
        #expect(try await api.upload(Data.sample(200_000)).status == 201)
    }

    @Test("An upload that breaks off leaves nothing", arguments: [true, false])
    func aborted(_ announced: Bool) async throws {
        let files = try await FilesHost.start()
        let tenant = TestTenant()
        let token = try await tenant.user.token()
        let length = announced ? "content-length: 900000" : "transfer-encoding: chunked"
        let head = [
            "POST /api/v1/files HTTP/1.1", "host: localhost", "authorization: Bearer \(token)",
            "content-disposition: attachment; filename=a", length, "", "",
        ].joined(separator: "\r\n")
        let body = (announced ? "" : "493e0\r\n") + String(repeating: "x", count: 300_000)
        let url = try #require(URLComponents(string: files.host.url))
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(
            host: url.host ?? "", port: url.port ?? 0
        ).get()
        try await channel.writeAndFlush(ByteBuffer(string: head + body))
        try await files.host.eventually("the upload has begun") { files.incoming.count == 1 }
        try await channel.close()
        try await files.host.eventually("the upload was given up") { files.incoming.isEmpty }
        try await expectNothing(files, tenant)
    }

    @Test("The sweep removes old leftovers and orphans, and nothing else")
    func sweep() async throws {
        let files = try await FilesHost.start()
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        var ids: [String] = []
        for name in ["kept", "orphan", "fresh"] { ids.append(try #require(try await api.upload(Data(name.utf8), name: name)["id"].string)) }
        let (kept, orphan, fresh) = (ids[0], ids[1], ids[2])
        for id in [orphan, fresh] {
            let file = try #require(FileID(id))
            try await files.host.database.execute("DELETE FROM files WHERE id = \(file)", as: tenant.user.caller)
        }
        let unknown = "\(files.directory)/content/\(TenantID.make())/00/\(FileID.make())"
        let old = "\(files.directory)/incoming/\(FileID.make())"
        let young = "\(files.directory)/incoming/\(FileID.make())"
        for path in [unknown, old, young] {
            try FileManager.default.createDirectory(at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("x".utf8).write(to: URL(filePath: path))
        }
        for path in [files.path(kept, of: tenant.id), files.path(orphan, of: tenant.id), unknown, old] {
            try FileManager.default.setAttributes([.modificationDate: Date().addingTimeInterval(-7200)], ofItemAtPath: path)
        }
        // A second program on the same directory sweeps when it starts.
        let second = try await FilesHost.start(directory: files.directory)
        try await second.host.eventually("the sweep has run") {
            !FileManager.default.fileExists(atPath: old) && !FileManager.default.fileExists(atPath: files.path(orphan, of: tenant.id))
        }
        #expect(FileManager.default.fileExists(atPath: young))
        #expect(FileManager.default.fileExists(atPath: files.path(fresh, of: tenant.id)))
        #expect(FileManager.default.fileExists(atPath: unknown), "content of an organization that the database does not know")
        #expect(try await api.content(kept).text == "kept")
    }

    @Test("Settings that cannot be used are refused before anything starts")
    func settings() {
        var reader = SettingsReader(environment: [
            "TRIONEX_FILES_MASTER_KEY": "c2hvcnQ=", "TRIONEX_FILES_QUOTA_BYTES": "-1", "TRIONEX_FILES_MAX_UPLOAD_BYTES": "lots",
        ])
        _ = FilesSettings(&reader)
        #expect(reader.problems.count == 3)
        #expect(!reader.problems.contains { $0.contains("c2hvcnQ=") })
    }

    @Test("Readiness names the storage")
    func readiness() async throws {
        let files = try await FilesHost.start()
        let ready = try await files.client(nil).get("/ready")
        #expect(ready.status == 200)
        #expect(ready["dependencies"]["storage"]["status"].string == "up")
        try FileManager.default.removeItem(atPath: files.directory)
        #expect(try await files.client(nil).get("/ready").status == 503)
    }
}
