import Contracts
import Foundation
import NIOHTTP1
import Postgres
import TestKit
import Testing

@testable import FilesService

@Suite("Downloading")
struct DownloadTests {
    private func stored(_ bytes: Data, name: String = "report.txt", type: String = "text/html") async throws -> (
        api: TestClient, id: String
    ) {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        let created = try await api.upload(bytes, name: name, type: type)
        return (api, try #require(created["id"].string))
    }

    @Test("Ranges of all kinds, across the borders of chunks too")
    func ranges() async throws {
        let bytes = Data.sample(200_000)
        let (api, id) = try await stored(bytes)
        let cases: [(String, Range<Int>)] = [
            ("bytes=0-0", 0..<1), ("bytes=0-99", 0..<100), ("bytes=65530-65545", 65_530..<65_546), ("bytes=65536-131071", 65_536..<131_072),
            ("bytes=199999-", 199_999..<200_000), ("bytes=-1", 199_999..<200_000), ("bytes=-70000", 130_000..<200_000),
            ("bytes=100-999999999999999999999", 100..<200_000), ("bytes=-999999", 0..<200_000), ("Bytes=5-9", 5..<10),
        ]
        for (header, range) in cases {
            let part = try await api.content(id, headers: ["range": header])
            #expect(part.status == 206, "\(header)")
            #expect(part.body == bytes[range], "\(header)")
            #expect(part.headers.first(name: "content-range") == "bytes \(range.lowerBound)-\(range.upperBound - 1)/200000")
            #expect(part.headers.first(name: "content-length") == "\(range.count)")
        }
    }

    @Test("A range outside the content is refused with its length")
    func unsatisfiable() async throws {
        let (api, id) = try await stored(Data.sample(1000))
        for header in ["bytes=1000-", "bytes=5000-6000", "bytes=-0"] {
            let refused = try await api.content(id, headers: ["range": header])
            #expect(refused.status == 416, "\(header)")
            #expect(refused.problem == "range-not-satisfiable")
            #expect(refused.headers.first(name: "content-range") == "bytes */1000")
        }
    }

    @Test(
        "A range that is none, or several, is answered with the whole",
        arguments: ["bytes=", "bytes=a-b", "bytes=9-5", "bytes=0-1,4-5", "lines=0-1", "bytes 0-1", "bytes=--1", "bytes=1-2-3"])
    func ignored(_ header: String) async throws {
        #expect(ByteRange(header: header, size: 1000) == .whole)
    }

    @Test("An empty content has no range")
    func empty() {
        #expect(ByteRange(header: "bytes=-5", size: 0) == .whole)
        #expect(ByteRange(header: "bytes=0-", size: 0) == .unsatisfiable)
    }

    @Test("The ETag is the checksum: a known content is not sent again, a changed one whole")
    func conditions() async throws {
        let bytes = Data.sample(5000)
        let (api, id) = try await stored(bytes)
        let tag = "\"\(bytes.sha256)\""
        let whole = try await api.content(id)
        #expect(whole.headers.first(name: "etag") == tag)
        let known = try await api.content(id, headers: ["if-none-match": tag])
        #expect(known.status == 304)
        #expect(known.body.isEmpty)
        #expect(try await api.content(id, headers: ["if-range": tag, "range": "bytes=0-9"]).status == 206)
        let changed = try await api.content(id, headers: ["if-range": "\"other\"", "range": "bytes=0-9"])
        #expect(changed.status == 200)
        #expect(changed.body == bytes)
        #expect(try await api.content(id, headers: ["if-range": "W/\(tag)", "range": "bytes=0-9"]).status == 200)
        #expect(try await api.content(id, headers: ["if-range": "Sat, 21 Nov 2026 06:00:00 GMT", "range": "bytes=0-9"]).status == 200)
        #expect(try await api.content(id, headers: ["if-match": "\"other\""]).status == 412)
    }

    @Test("What somebody uploaded as a page is not run as one")
    func safely() async throws {
        let (api, id) = try await stored(Data("<script>alert(1)</script>".utf8), name: "naïve \\\"plan\\\".html")
        let content = try await api.content(id)
        #expect(content.headers.first(name: "content-type") == "text/html")
        #expect(content.headers.first(name: "x-content-type-options") == "nosniff")
        #expect(content.headers.first(name: "content-security-policy") == "default-src 'none'; sandbox")
        #expect(
            content.headers.first(name: "content-disposition")
                == "attachment; filename=\"na_ve _plan_.html\"; filename*=UTF-8''na%C3%AFve%20%22plan%22.html")
    }

    @Test("HEAD tells the length and sends nothing")
    func head() async throws {
        let (api, id) = try await stored(Data.sample(70_000))
        let head = try await api.head("/api/v1/files/\(id)/content", headers: ["range": "bytes=0-9"])
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(head.headers.first(name: "content-length") == "70000")
        #expect(head.headers.first(name: "accept-ranges") == "bytes")
        #expect(try await api.head("/api/v1/files/\(id)").status == 200)
    }

    @Test("A deleted file is gone everywhere, and its room is free again")
    func deleted() async throws {
        let files = try await FilesHost.shared.value
        let tenant = TestTenant()
        let api = try await files.client(tenant.user)
        let id = try #require(try await api.upload(Data.sample(1000))["id"].string)
        #expect(try await api.delete("/api/v1/files/\(id)", headers: ["if-match": "\"v9\""]).status == 412)
        let deleted = try await api.delete("/api/v1/files/\(id)")
        #expect(deleted.status == 204)
        #expect(deleted.body.isEmpty)
        #expect(try await api.get("/api/v1/files/\(id)").status == 404)
        #expect(try await api.content(id).status == 404)
        #expect(try await api.delete("/api/v1/files/\(id)").status == 404)
        #expect(!FileManager.default.fileExists(atPath: files.path(id, of: tenant.id)))
        #expect(try await files.host.database.first(UsageStore.used, as: tenant.user.caller) == 0)
    }
}
