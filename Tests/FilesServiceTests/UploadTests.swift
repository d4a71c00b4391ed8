import Contracts
import Foundation
import NIOCore
import NIOHTTP1
import TestKit
import Testing

@testable import FilesService

@Suite("Uploading")
struct UploadTests {
    @Test("20 MB come back as they went in, with their checksum, in a list and alone")
    func large() async throws {
        let files = try await FilesHost.shared.value
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let bytes = Data.sample(20_000_000)
        let created = try await api.upload(bytes, name: "engine.bin", type: "application/x-engine")
        #expect(created.status == 201)
        let id = try #require(created["id"].string)
        #expect(created.headers.first(name: "location") == "/api/v1/files/\(id)")
        #expect(created["sha256"].string == bytes.sha256)
        #expect(created["size"].int == 20_000_000)
        #expect(created["contentType"].string == "application/x-engine")
        #expect(created["uploadedBy"].string == tenant.user.id.description)
        let read = try await api.get("/api/v1/files/\(id)")
        #expect(read.json == created.json)
        let listed = try await api.get("/api/v1/files")
        #expect(listed["data"].array == [created.json])
        #expect(listed["nextCursor"].isNull)
        let content = try await api.content(id)
        #expect(content.status == 200)
        #expect(content.body == bytes)
    }

    @Test("What lies on the disk is not the content")
    func sealed() async throws {
        let files = try await FilesHost.shared.value
        let tenant = TestTenant()
        let text = Data(String(repeating: "The engine weaves patterns. ", count: 100).utf8)
        let created = try await files.client(tenant.user).upload(text)
        let lying = try Data(contentsOf: URL(filePath: files.path(try #require(created["id"].string), of: tenant.id)))
        #expect(lying.range(of: Data("engine".utf8)) == nil)
        #expect(lying.count == ContentCipher.headerBytes + text.count + ContentCipher.tagBytes)
    }

    @Test(
        "Contents around the size of a chunk, and none at all, come back whole",
        arguments: [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
    func sizes(_ size: Int) async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let bytes = Data.sample(size)
        let created = try await api.upload(bytes)
        #expect(created["sha256"].string == bytes.sha256)
        let content = try await api.content(try #require(created["id"].string))
        #expect(content.body == bytes)
        #expect(content.headers.first(name: "content-length") == "\(size)")
    }

    @Test("A body without an announced length is taken as it comes")
    func chunked() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let piece = Data.sample(10_000)
        let created = try await api.uploadStream(piece: ByteBuffer(bytes: piece), pieces: 30)
        #expect(created.status == 201)
        #expect(created["size"].int == 300_000)
        let content = try await api.content(try #require(created["id"].string))
        #expect(content.body == (0..<30).reduce(into: Data()) { whole, _ in whole += piece })
    }

    @Test("Memory stays flat while three hundred megabytes pass")
    func flat() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let piece = ByteBuffer(bytes: Data.sample(1_000_000))
        _ = try await api.uploadStream(piece: piece, pieces: 2)
        let before = try residentBytes()
        let watch = Task {
            var most = 0
            while !Task.isCancelled {
                most = max(most, try residentBytes())
                try? await Task.sleep(for: .milliseconds(20))
            }
            return most
        }
        let created = try await api.uploadStream(piece: piece, pieces: 300)
        watch.cancel()
        #expect(created["size"].int == 300_000_000)
        // The other tests of the process run at the same time; the content held whole would be 300 MB on top of theirs.
        #expect(try await watch.value - before < 200_000_000)
    }

    private func residentBytes() throws -> Int {
        let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return (Int(pages[1]) ?? 0) * 4096
    }

    @Test("Names: quoted, in UTF-8, with a path before them")
    func names() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let cases = [
            "attachment; filename=plain.txt": "plain.txt",
            "attachment; filename=\"with; semicolon.txt\"": "with; semicolon.txt",
            "attachment; filename=\"a \\\"quote\\\".txt\"": "a \"quote\".txt",
            "attachment; filename=\"fallback.txt\"; filename*=UTF-8''na%C3%AFve%20plan.txt": "naïve plan.txt",
            "attachment; filename=\"C:\\Users\\ada\\notes.txt\"": "notes.txt",
            "attachment; filename=\"../../etc/passwd\"": "passwd",
        ]
        for (header, name) in cases {
            let created = try await api.upload(Data("x".utf8), headers: ["content-disposition": header])
            #expect(created.status == 201, "\(header)")
            #expect(created["name"].string == name)
        }
    }

    @Test("A name that is missing, empty, too long or broken is refused and nothing is kept")
    func badNames() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let headers = [
            "attachment", "attachment; filename=\"\"", "attachment; filename=\"..\"", "attachment; filename=\"a/\"",
            "attachment; filename=\"\(String(repeating: "x", count: 256))\"", "attachment; filename=\"open",
            "attachment; filename=a; filename=b",
            "attachment; filename*=UTF-8''%FF", "attachment; filename=\"\u{202E}gnp.exe\"", ";",
        ]
        for header in headers {
            let refused = try await api.upload(Data("x".utf8), headers: ["content-disposition": header])
            #expect(refused.status == 400, "\(header)")
            #expect(refused.problem == "validation-failed")
            #expect(refused.badFields == ["Content-Disposition"])
        }
        let missing = try await api.send(.POST, "/api/v1/files", bytes: Data("x".utf8), headers: ["content-type": "text/plain"])
        #expect(missing.status == 400)
        #expect(try await api.get("/api/v1/files")["data"].array.isEmpty)
    }

    @Test("A media type that is none becomes application/octet-stream", arguments: ["text", "text/", "a b/c", "text/html\u{7F}"])
    func mediaTypes(_ type: String) async throws {
        #expect(MediaType(declared: type) == .unknown)
        #expect(MediaType(declared: "text/html; charset=utf-8").text == "text/html; charset=utf-8")
    }

    @Test("The same Idempotency-Key stores one file")
    func idempotent() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let key = ["idempotency-key": UUID().uuidString]
        let first = try await api.upload(Data("once".utf8), headers: key)
        let second = try await api.upload(Data("once".utf8), headers: key)
        #expect(first.status == 201)
        #expect(second.status == 201)
        #expect(second.headers.first(name: "idempotency-replayed") == "true")
        #expect(first["id"] == second["id"])
        #expect(try await api.get("/api/v1/files")["data"].array.count == 1)
    }

    @Test("Uploading and deleting are announced, with an audit entry each")
    func events() async throws {
        let files = try await FilesHost.shared.value
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let created = try await api.upload(Data("told".utf8), name: "told.txt")
        let id = try #require(created["id"].string)
        #expect(try await api.delete("/api/v1/files/\(id)").status == 204)
        let told = try await files.host.outbox(tenant.id)
        #expect(
            told.map(\.type) == [
                FileUploaded.type, AuditEntryRecorded.type, FileDeleted.type, AuditEntryRecorded.type,
            ])
        #expect(told[0].payload["sha256"].string == Data("told".utf8).sha256)
        #expect(told[0].payload["name"].string == "told.txt")
        #expect(told[1].payload["action"].string == "files.file.upload")
        #expect(told[2].payload["size"].int == 4)
    }

    @Test("Files are listed page by page, none twice and none left out, while others are added")
    func pages() async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        var expected: [String] = []
        for number in 0..<7 {
            expected.append(try #require(try await api.upload(Data("\(number)".utf8), name: "\(number).txt")["id"].string))
        }
        var seen: [String] = []
        var path = "/api/v1/files?limit=3"
        while true {
            let page = try await api.get(path)
            seen += page["data"].array.compactMap { $0["id"].string }
            guard let next = page["nextCursor"].string else { break }
            #expect(page.headers.first(name: "link")?.contains("rel=\"next\"") == true)
            _ = try await api.upload(Data("later".utf8), name: "later.txt")
            path = "/api/v1/files?limit=3&cursor=\(next)"
        }
        #expect(seen == expected.reversed())
        let oldest = try await api.get("/api/v1/files?sort=createdAt&limit=2")
        #expect(oldest["data"].array.compactMap { $0["id"].string } == Array(expected.prefix(2)))
        let bad = try await api.get("/api/v1/files?limit=0&sort=name&colour=red&cursor=!")
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["?limit", "?sort", "?colour", "?cursor"])
    }
}
