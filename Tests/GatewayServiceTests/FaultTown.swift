import DevStack
import Foundation
import Testing

@testable import GatewayService

/// A gateway before a faulty upstream: content's routes are its, everything else is as in a `Town`.
struct FaultTown {
    let town: Town
    let upstream: FaultyUpstream

    /// Times short enough for tests, and limits that do not get in the way.
    static let settings = [
        "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "10000000", "TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "10000000",
        "TRIONEX_UPSTREAM_CONNECT_MILLISECONDS": "500", "TRIONEX_UPSTREAM_FIRST_BYTE_MILLISECONDS": "800",
        "TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "1000",
    ]

    static func with<T>(_ more: [String: String] = [:], _ body: (FaultTown) async throws -> T) async throws -> T {
        let upstream = try await FaultyUpstream.start()
        var environment = settings.merging(more) { _, own in own }
        let scratch = try ScratchDirectory("trionex-fault-town")
        defer { scratch.remove() }
        if environment["TRIONEX_GATEWAY_FILE"] == nil {
            // By itself only realtime's paths speak WebSocket.
            let file = scratch.path + "/gateway.yaml"
            try Data("routes: [{ match: GET \(path(.websocket)), upgrade: true }]".utf8).write(to: URL(fileURLWithPath: file))
            environment["TRIONEX_GATEWAY_FILE"] = file
        }
        if environment["TRIONEX_CONTENT_URL"] == nil { environment["TRIONEX_CONTENT_URL"] = upstream.url }
        do {
            let result = try await Town.with(environment) { try await body(FaultTown(town: $0, upstream: upstream)) }
            await upstream.kill()
            return result
        } catch {
            await upstream.kill()
            throw error
        }
    }

    static func path(_ fault: Fault, _ query: String = "") -> String { "/api/v1/content/fault/\(fault.rawValue)\(query)" }

    static func request(
        _ fault: Fault, _ query: String = "", method: String = "GET", _ fields: [String] = [], body: String? = nil
    ) -> String {
        let length = body.map { ["Content-Length: \($0.utf8.count)"] } ?? []
        return (["\(method) \(path(fault, query)) HTTP/1.1", "Host: localhost"] + length + fields).joined(separator: "\r\n") + "\r\n\r\n"
            + (body ?? "")
    }

    /// One request on a connection of its own, and all that comes back.
    func ask(
        _ fault: Fault, _ query: String = "", method: String = "GET", _ fields: [String] = [], body: String? = nil,
        patience: Duration = .seconds(10)
    ) async throws -> RawAnswer {
        let socket = try RawSocket(port: town.port)
        try await socket.send(Self.request(fault, query, method: method, fields + ["Connection: close"], body: body))
        let (bytes, ended) = try await socket.receiveAll(patience: patience)
        return RawAnswer(bytes, ended: ended, isHead: method == "HEAD")
    }

    /// Whether the gateway serves others as if nothing had been.
    func expectWell(_ after: Comment, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let answer = try await ask(.echo, method: "POST", body: "well")
        #expect(answer.status == 200 && answer.text == "well" && answer.isWhole && answer.hasEnded, after, sourceLocation: sourceLocation)
    }
}
