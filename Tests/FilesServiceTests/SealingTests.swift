import Contracts
import Crypto
import Foundation
import TestKit
import Testing

@testable import FilesService

@Suite("Encryption at rest")
struct SealingTests {
    private struct Kept {
        let files: FilesHost
        let tenant: TestTenant
        let api: TestClient
        let id: String
        var path: String { files.path(id, of: tenant.id) }
    }

    private func keep(_ bytes: Data, tenant: TestTenant = TestTenant()) async throws -> Kept {
        let files = try await FilesHost.shared.value
        let api = try await files.client(tenant.user)
        return Kept(files: files, tenant: tenant, api: api, id: try #require(try await api.upload(bytes)["id"].string))
    }

    private func damage(_ path: String, _ change: (inout Data) -> Void) throws {
        var lying = try Data(contentsOf: URL(filePath: path))
        change(&lying)
        try lying.write(to: URL(filePath: path))
    }

    private func expectRefused(_ kept: Kept, _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let response = try await kept.api.content(kept.id)
        #expect(response.status == 500, what, sourceLocation: sourceLocation)
        #expect(response.problem == "internal-error", what, sourceLocation: sourceLocation)
        let log = kept.files.host.log.lines.filter { $0.contains("stored content is damaged") && $0.contains(kept.id) }
        #expect(log.count == 1, what, sourceLocation: sourceLocation)
    }

    @Test("A changed byte is found, wherever it is", arguments: [0, 5, 9, 20, 44, 500, 1043, 1050])
    func changed(_ offset: Int) async throws {
        let kept = try await keep(Data.sample(1000))
        try damage(kept.path) { $0[offset] ^= 1 }
        try await expectRefused(kept, "byte \(offset)")
    }

    @Test("Content that is cut, emptied or gone is found")
    func cut() async throws {
        let whole = try await keep(Data.sample(1000))
        try damage(whole.path) { $0 = $0.prefix(900) }
        try await expectRefused(whole, "cut")
        let emptied = try await keep(Data.sample(1000))
        try damage(emptied.path) { $0 = Data() }
        try await expectRefused(emptied, "emptied")
        let gone = try await keep(Data.sample(1000))
        try FileManager.default.removeItem(atPath: gone.path)
        try await expectRefused(gone, "gone")
    }

    @Test("Another file's content, and another organization's, is found")
    func swapped() async throws {
        let tenant = TestTenant()
        let first = try await keep(Data.sample(1000, seed: 1), tenant: tenant)
        let second = try await keep(Data.sample(1000, seed: 2), tenant: tenant)
        let foreign = try await keep(Data.sample(1000, seed: 3))
        try damage(first.path) { $0 = (try? Data(contentsOf: URL(filePath: second.path))) ?? Data() }
        try await expectRefused(first, "of the same organization")
        try damage(second.path) { $0 = (try? Data(contentsOf: URL(filePath: foreign.path))) ?? Data() }
        try await expectRefused(second, "of another organization")
    }

    @Test("Damage in a later chunk ends the download before its announced length; no wrong byte is sent")
    func later() async throws {
        let bytes = Data.sample(300_000)
        let kept = try await keep(bytes)
        try damage(kept.path) { $0[ContentCipher.offset(of: 2) + 7] ^= 1 }
        do {
            let response = try await kept.api.content(kept.id)
            Issue.record("a damaged download ended well with \(response.body.count) bytes")
        } catch {
            #expect(kept.files.host.log.lines.contains { $0.contains("stored content is damaged") && $0.contains(kept.id) })
        }
        // What lies before and after the damage can still be had.
        #expect(try await kept.api.content(kept.id, headers: ["range": "bytes=0-131071"]).body == bytes[0..<131_072])
        #expect(try await kept.api.content(kept.id, headers: ["range": "bytes=200000-"]).body == bytes[200_000...])
        #expect(try await kept.api.content(kept.id, headers: ["range": "bytes=131072-131072"]).status == 500)
    }

    @Test("Chunks out of order, and a chunk that poses as the last, are found")
    func order() async throws {
        let length = ContentCipher.chunkBytes + ContentCipher.tagBytes
        let kept = try await keep(Data.sample(3 * ContentCipher.chunkBytes))
        try damage(kept.path) { lying in
            let start = ContentCipher.headerBytes
            lying =
                lying.prefix(start) + lying[start + length..<start + 2 * length] + lying[start..<start + length]
                + lying[(start + 2 * length)...]
        }
        try await expectRefused(kept, "exchanged")
        let cipher = ContentCipher(new: key(), tenantKey: MasterKey.newDataKey())
        let chunk = try cipher.seal(Data("end".utf8), chunk: 3, isLast: false)
        #expect(throws: DamagedContent.notAuthentic) { try cipher.open(chunk, chunk: 3, isLast: true) }
        #expect(throws: DamagedContent.notAuthentic) { try cipher.open(chunk, chunk: 4, isLast: false) }
        #expect(try cipher.open(chunk, chunk: 3, isLast: false) == Data("end".utf8))
    }

    private func key(_ tenant: TenantID = .make(), _ file: FileID = .make()) -> ContentKey { ContentKey(tenant: tenant, file: file) }

    @Test("Another organization's key opens neither content nor a wrapped key")
    func foreignKey() throws {
        let (mine, theirs, file) = (TenantID.make(), TenantID.make(), FileID.make())
        let (myKey, theirKey) = (MasterKey.newDataKey(), MasterKey.newDataKey())
        let sealing = ContentCipher(new: key(mine, file), tenantKey: myKey)
        let sealed = try sealing.seal(Data("secret".utf8), chunk: 0, isLast: true)
        let withTheirKey = try ContentCipher(header: sealing.header, of: key(mine, file), tenantKey: theirKey)
        #expect(throws: DamagedContent.notAuthentic) { try withTheirKey.open(sealed, chunk: 0, isLast: true) }
        let asTheirs = try ContentCipher(header: sealing.header, of: key(theirs, file), tenantKey: myKey)
        #expect(throws: DamagedContent.notAuthentic) { try asTheirs.open(sealed, chunk: 0, isLast: true) }
        let master = MasterKey(MasterKey.newDataKey())
        let wrapped = try master.wrap(myKey, for: mine, version: 1)
        #expect(try master.unwrap(wrapped, for: mine, version: 1) == myKey)
        #expect(throws: MasterKey.CannotUnwrap.self) { try master.unwrap(wrapped, for: theirs, version: 1) }
        #expect(throws: MasterKey.CannotUnwrap.self) { try master.unwrap(wrapped, for: mine, version: 2) }
        #expect(throws: MasterKey.CannotUnwrap.self) { try MasterKey(MasterKey.newDataKey()).unwrap(wrapped, for: mine, version: 1) }
    }

    @Test("The same content is sealed differently each time")
    func salted() async throws {
        let tenant = TestTenant()
        let first = try await keep(Data("same".utf8), tenant: tenant)
        let second = try await keep(Data("same".utf8), tenant: tenant)
        let lying = try [first, second].map { try Data(contentsOf: URL(filePath: $0.path)).suffix(20) }
        #expect(lying[0] != lying[1])
    }

    @Test("Without a setting a key is made beside the directory, for its owner's eyes only, and found again")
    func keyFile() async throws {
        let directory = FilesHost.newDirectory()
        let first = try await FilesHost.start(directory: directory)
        let tenant = TestTenant()
        let id = try #require(try await first.client(tenant.user).upload(Data("kept".utf8))["id"].string)
        let attributes = try FileManager.default.attributesOfItem(atPath: directory + ".key")
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        #expect(first.host.log.lines.contains { $0.contains("fit for development only") })
        let second = try await FilesHost.start(directory: directory)
        #expect(try await second.client(tenant.user).content(id).text == "kept")
        let other = Data(repeating: 7, count: 32).base64EncodedString()
        let third = try await FilesHost.start(directory: directory, ["TRIONEX_FILES_MASTER_KEY": other])
        #expect(try await third.client(tenant.user).content(id).status == 500)
        #expect(third.host.log.lines.contains { $0.contains("cannot be unwrapped") })
        #expect(!third.host.log.lines.contains { $0.contains(other) })
    }
}
