import AnalyticsService
import ArgumentParser
import AssistantService
import AuthService
import ContentService
import Contracts
import FilesService
import Foundation
import Logging
import NotificationsService
import SearchService
import ServiceKit
import UsersService

/// Writes OpenAPI and AsyncAPI from the declarations, or checks that what is in the repository is still what they say.
@main
struct Documents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-docs",
        abstract: "Writes Services/<Name>/openapi.json, Shared/Contracts/asyncapi.json and Shared/Kafka/ACCESS.md from the declarations.")

    @Flag(help: "Write nothing; exit 1 and name the files that differ.")
    var check = false

    @Option(help: "The root of the repository.")
    var root = "."

    func run() async throws {
        Telemetry.bootstrap(service: ServiceName(rawValue: "docs"), level: .critical)
        let scratch = FileManager.default.temporaryDirectory.appending(path: "trionex-docs-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: scratch) }
        // Programs are put together but not run: no server is needed.
        let environment = [
            "TRIONEX_AUTH_KEY_DIRECTORY": scratch.path(percentEncoded: false),
            "TRIONEX_FILES_DIRECTORY": scratch.path(percentEncoded: false),
            "TRIONEX_FILES_MASTER_KEY": Data(repeating: 7, count: 32).base64EncodedString(), "TRIONEX_SERVICE_SECRET": "documents",
            "TRIONEX_SEALING_KEY": Data(repeating: 7, count: 32).base64EncodedString(),
            "TRIONEX_LOG_LEVEL": "critical",
        ]
        var files: [(path: String, document: JSONValue)] = [("Shared/Contracts/asyncapi.json", AsyncAPI.document())]
        var access = KafkaAccess()
        func add<P: Program>(_ program: P.Type, _ folder: String) throws {
            let host = try ProgramHost(program, environment: environment)
            access.add(P.name, host.consumption)
            files.append(
                (
                    "Services/\(folder)/openapi.json",
                    OpenAPI.document(title: "Trionex \(P.name)", summary: P.summary, endpoints: host.endpoints)
                ))
        }
        try add(Auth.self, "Auth")
        try add(Users.self, "Users")
        try add(Content.self, "Content")
        try add(Assistant.self, "Assistant")
        try add(Analytics.self, "Analytics")
        try add(Notifications.self, "Notifications")
        try add(Files.self, "Files")
        try add(Search.self, "Search")
        let encoder = JSON.encoder()
        encoder.outputFormatting.insert(.prettyPrinted)
        try write(
            files.map { ($0.path, try encoder.encode($0.document) + Data("\n".utf8)) }
                + [("Shared/Kafka/ACCESS.md", Data(access.page.utf8))])
    }

    private func write(_ files: [(path: String, text: Data)]) throws {
        var drifted: [String] = []
        for file in files {
            let url = URL(filePath: root).appending(path: file.path)
            if (try? Data(contentsOf: url)) == file.text { continue }
            drifted.append(file.path)
            if !check { try file.text.write(to: url) }
        }
        if check, !drifted.isEmpty {
            throw ValidationError(
                "these are not what the code declares; run `make docs` and commit them: \(drifted.joined(separator: ", "))")
        }
        Swift.print(drifted.isEmpty ? "Every document is up to date." : "Written: \(drifted.joined(separator: ", "))")
    }
}
