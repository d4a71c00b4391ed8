import AsyncHTTPClient
import Contracts
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import ServiceKit
import TestKit

@testable import FilesService

/// The service on a directory of its own.
struct FilesHost {
    let host: TestHost
    let directory: String

    /// For tests that look at nothing but answers.
    static let shared = Task { try await FilesHost.start() }

    /// With an environment or a directory of its own, for tests that look at the disk or fill it.
    static func start(
        _ program: any Program.Type = Files.self, directory: String = newDirectory(), _ environment: [String: String] = [:]
    ) async throws -> FilesHost {
        var settings = ["TRIONEX_FILES_DIRECTORY": directory]
        settings.merge(environment) { $1 }
        func open<P: Program>(_ program: P.Type) async throws -> TestHost { try await TestHost.start(program, environment: settings) }
        return FilesHost(host: try await open(program), directory: directory)
    }

    private static let root: String = {
        let path = NSTemporaryDirectory() + "trionex-files-tests-\(UUID().uuidString)"
        atexit { try? FileManager.default.removeItem(atPath: FilesHost.root) }
        return path
    }()

    static func newDirectory() -> String { "\(root)/\(UUID().uuidString)" }

    func client(_ person: TestPerson?) async throws -> TestClient { try await host.client(person) }

    /// Where the sealed content of a file lies.
    func path(_ file: String, of tenant: TenantID) -> String { "\(directory)/content/\(tenant)/\(file.suffix(2))/\(file)" }

    /// Names of uploads under way, or left over.
    var incoming: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory + "/incoming")) ?? [] }

    /// How many contents an organization has on the disk.
    func contents(of tenant: TenantID) -> Int {
        let walk = FileManager.default.enumerator(atPath: "\(directory)/content/\(tenant)")
        return walk?.compactMap { $0 as? String }.count { $0.contains("/") } ?? 0
    }
}

/// The answer to an upload that was streamed.
struct Streamed: Sendable {
    let status: Int
    let json: JSONValue
    subscript(key: String) -> JSONValue { json[key] }
    var problem: String? { json["type"].string?.split(separator: "/").last.map(String.init) }
}

extension TestClient {
    func upload(
        _ bytes: Data, name: String = "report.txt", type: String? = "text/plain", headers: [String: String] = [:]
    ) async throws -> TestResponse {
        var all = headers
        all["content-disposition"] = all["content-disposition"] ?? "attachment; filename=\"\(name)\""
        if let type { all["content-type"] = type }
        return try await send(.POST, "/api/v1/files", bytes: bytes, headers: all)
    }

    /// A form as given, byte for byte.
    func uploadForm(_ form: Data, boundary: String = "XX") async throws -> TestResponse {
        try await send(.POST, "/api/v1/files", bytes: form, headers: ["content-type": "multipart/form-data; boundary=\(boundary)"])
    }

    /// Sends a body of `pieces` pieces of `piece`, without saying how long it will be.
    func uploadStream(piece: ByteBuffer, pieces: Int, length: Int? = nil) async throws -> Streamed {
        var request = HTTPClientRequest(url: base + "/api/v1/files")
        request.method = .POST
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        request.headers.add(name: "content-disposition", value: "attachment; filename=\"stream.bin\"")
        let stream = AsyncStream<ByteBuffer> { continuation in
            for _ in 0..<pieces { continuation.yield(piece) }
            continuation.finish()
        }
        request.body = .stream(stream, length: length.map { .known(Int64($0)) } ?? .unknown)
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
        let body = try await response.body.collect(upTo: 1_000_000)
        return Streamed(
            status: Int(response.status.code), json: (try? JSON.decode(JSONValue.self, from: Data(body.readableBytesView))) ?? .null)
    }

    func content(_ id: String, headers: [String: String] = [:]) async throws -> TestResponse {
        try await get("/api/v1/files/\(id)/content", headers: headers)
    }
}

extension Data {
    /// Bytes that do not repeat and are the same for the same seed.
    static func sample(_ count: Int, seed: UInt64 = 1) -> Data {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        var data = Data(capacity: count + 8)
        while data.count < count {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            Swift.withUnsafeBytes(of: state) { data.append(contentsOf: $0) }
        }
        return data.prefix(count)
    }

    var sha256: String { SHA256.hash(data: self).map { String(format: "%02x", $0) }.joined() }
}
