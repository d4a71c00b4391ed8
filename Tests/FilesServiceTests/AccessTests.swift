import Contracts
import Foundation
import TestKit
import Testing

@testable import FilesService

@Suite("Who may do what with files")
struct AccessTests {
    @Test("Every endpoint refuses nobody, the powerless, strangers and forged tokens")
    func sweep() async throws {
        let files = try await FilesHost.shared.value
        let id = try #require(try await files.client(TestTenant().user).upload(Data("mine".utf8))["id"].string)
        try await EndpointSweep.check(files.host, objects: ["id": id])
    }

    @Test("Another organization sees nothing of a file, by any call")
    func strangers() async throws {
        let files = try await FilesHost.shared.value
        let owner = try await files.client(TestTenant().owner)
        let stranger = try await files.client(TestTenant().owner)
        let id = try #require(try await owner.upload(Data("mine".utf8))["id"].string)
        for response in [
            try await stranger.get("/api/v1/files/\(id)"), try await stranger.content(id), try await stranger.delete("/api/v1/files/\(id)"),
            try await stranger.content(id, headers: ["range": "bytes=900-"]),
        ] {
            #expect(response.status == 404)
            #expect(response.problem == "not-found")
        }
        #expect(try await stranger.get("/api/v1/files")["data"].array.isEmpty)
        #expect(try await owner.content(id).body == Data("mine".utf8))
    }

    @Test("A viewer reads and does not write")
    func viewer() async throws {
        let files = try await FilesHost.shared.value
        let tenant = TestTenant()
        let id = try #require(try await files.client(tenant.editor).upload(Data("ours".utf8))["id"].string)
        let viewer = try await files.client(tenant.viewer)
        #expect(try await viewer.content(id).status == 200)
        #expect(try await viewer.delete("/api/v1/files/\(id)").status == 403)
        #expect(try await viewer.upload(Data("no".utf8)).status == 403)
    }

    @Test("An id that is none is not found, whatever it says", arguments: ["x", "..%2F..%2Fetc%2Fpasswd", "%00", "0197b1c0"])
    func oddIdentifiers(_ id: String) async throws {
        let api = try await FilesHost.shared.value.client(TestTenant().user)
        #expect(try await api.get("/api/v1/files/\(id)").status == 404)
        #expect(try await api.content(id).status == 404)
    }
}
