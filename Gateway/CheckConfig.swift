import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import ServiceKit

/// `gateway check-config`: says what is wrong with a gateway file before a gateway has to, or what it makes of the routes.
package struct CheckConfig {
    /// EX_USAGE of sysexits.h.
    package static let usageExitCode: Int32 = 64
    static let name = "check-config"

    /// What is said, and how the process ends: 0 when all is well, 1 when something is wrong.
    package struct Outcome: Sendable {
        package let text: String
        package let exitCode: Int32
    }

    /// What `gateway --help` says of it, beneath the settings.
    package static let help = """

        Commands:
          check-config [FILE] [--documents FOLDER|URL]  says what is wrong with a gateway file, or what becomes of the routes

        """

    private static let usage = """
        Usage: gateway check-config [FILE] [--documents FOLDER|URL]
          Checks the gateway file, TRIONEX_GATEWAY_FILE when none is named, together with the settings of the environment.
          --documents: the services' OpenAPI documents, to check that every rule matches something: a folder with JSON files, also
          within folders, or the address of a document such as https://api.example.org/api/v1/openapi.json

        """

    /// Nil when the arguments are not this command's.
    package static func run(_ arguments: [String], environment: [String: String]) async -> Outcome? {
        guard arguments.first == name else { return nil }
        var path: String?, documents: String?, rest = arguments.dropFirst()
        while let argument = rest.popFirst() {
            if argument == "--documents", let next = rest.popFirst() {
                documents = next
            } else if !argument.hasPrefix("-"), path == nil {
                path = argument
            } else {
                return Outcome(text: usage, exitCode: usageExitCode)
            }
        }
        var reader = SettingsReader(environment: environment)
        let common = CommonSettings(&reader, service: Gateway.name, port: Gateway.port, usesDatabase: Gateway.usesDatabase)
        let settings = GatewaySettings(&reader)
        path = path ?? settings.file
        let defaults = GatewayDefaults(settings, maximumHeader: common.http.maxHeaderBytes)
        var faults = reader.problems
        do throws(ProgramHost.SettingsRefused) { _ = try Upstreams(common.neighbours) } catch { faults += error.problems }
        let routing = RoutingState(defaults: defaults)
        if let documents {
            do {
                routing.use(try await operations(documents))
            } catch {
                faults.append("--documents \(documents): \((error as? Unreadable)?.reason ?? "cannot be read")")
            }
        }
        do throws(GatewayFaults) {
            if let path { try routing.use(GatewayFileWatch.read(path, defaults)) }
        } catch {
            faults += error.faults.map { "\(path ?? ""):\($0.line > 0 ? "\($0.line):" : "") \($0.message)" }
        }
        guard faults.isEmpty else {
            let count = faults.count == 1 ? "One thing is wrong" : "\(faults.count) things are wrong"
            return Outcome(text: faults.joined(separator: "\n") + "\n\n\(count).\n", exitCode: 1)
        }
        return Outcome(text: report(routing, path, hasDocuments: documents != nil), exitCode: 0)
    }

    private struct Unreadable: Error {
        let reason: String
    }

    /// An operation belongs to the service whose prefix it has, whichever document it is in.
    private static func operations(_ source: String) async throws -> [ServiceName: [OperationIndex.Operation]] {
        let texts = source.contains("://") ? [try await fetch(source)] : try files(source)
        var found: [ServiceName: [OperationIndex.Operation]] = [:]
        for text in texts {
            guard let document = try? JSON.decode(JSONValue.self, from: text) else { continue }
            for operation in OperationIndex.operations(document) {
                let segments = operation.template.split(separator: "/").map(String.init)
                if let service = RoutingTable.platform.service(for: segments) { found[service, default: []].append(operation) }
            }
        }
        guard !found.isEmpty else { throw Unreadable(reason: "there is no operation of the platform in it") }
        return found
    }

    private static func files(_ folder: String) throws -> [Data] {
        guard let names = FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }), !names.isEmpty else {
            throw Unreadable(reason: "there is no such folder, or it is empty")
        }
        return names.filter { $0.hasSuffix(".json") }.sorted().compactMap { FileManager.default.contents(atPath: folder + "/" + $0) }
    }

    private static func fetch(_ address: String) async throws -> Data {
        let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: address), timeout: ServiceDocuments.timeout)
        guard response.status == .ok else { throw Unreadable(reason: "it was answered with \(response.status.code)") }
        return Data(buffer: try await response.body.collect(upTo: ServiceDocuments.maximumBytes))
    }

    private static func report(_ routing: RoutingState, _ path: String?, hasDocuments: Bool) -> String {
        let snapshot = routing.current
        var text =
            path.map { "OK: \($0), version \(snapshot.file.version), \(snapshot.file.rules.count) rules\n" } ?? "OK: no gateway file\n"
        if !hasDocuments { text += "Without --documents the operations of the services are not known; rules are not held against them.\n" }
        for warning in routing.warnings { text += "Note, \(warning)\n" }
        let routes = RouteView.all(snapshot.table)
        text += "\n" + columns(RouteView.columns, routes.map(\.row))
        let limits = LimitView.all(snapshot.file)
        return text + "\n" + columns(LimitView.columns, limits.map(\.row))
    }

    /// Aligned for a terminal.
    private static func columns(_ titles: [String], _ rows: [[String]]) -> String {
        let widths = titles.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
        return ([titles.map { $0.uppercased() }] + rows).map { row in
            let cells = row.indices.map {
                $0 == row.count - 1 ? row[$0] : row[$0].padding(toLength: widths[$0], withPad: " ", startingAt: 0)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}
