import Foundation
import TestKit
import Testing

@testable import DevStack

@Suite final class ServiceTemplateTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-template-test") }
    deinit { scratch.remove() }

    /// The sources of this repository in a temporary copy.
    func copyOfRepository() async throws -> String {
        let copy = scratch.path + "/checkout"
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        for name in ["Package.swift", ".swift-format", "Gateway", "Services", "Shared", "Tests", "migrations", "k8s"] {
            try FileManager.default.copyItem(atPath: Repository.path(name), toPath: "\(copy)/\(name)")
        }
        return copy
    }

    func run(_ command: String, in folder: String) async throws -> (exit: ProcessExit, output: String) {
        let launch = ProcessLaunch("/bin/sh", ["-c", command], directory: folder, log: scratch.path + "/\(UUID()).log")
        return try await ManagedProcess.run(launch, atMost: .seconds(300))
    }

    @Test("A new service has every room, stands in every list, and is formatted as the rest")
    func writes() async throws {
        let checkout = try await copyOfRepository()
        let lines = try ServiceTemplate(name: "Billing").write(into: checkout)
        let written = lines.filter { $0.hasPrefix("wrote") }.map { String($0.dropFirst("wrote    ".count)) }
        for room in ["README.md", "Billing.swift", "Configuration.swift", "Main/Main.swift", "Routes/", "Domain/", "Store/", "Events/"] {
            #expect(written.contains { $0.hasPrefix("Services/Billing/\(room)") }, "\(room)")
        }
        #expect(written.contains { $0.hasPrefix("migrations/billing/0001_") && $0.hasSuffix(".sql") })
        #expect(written.contains { $0.hasPrefix("Tests/BillingServiceTests/") })
        for file in written {
            let text = try String(contentsOfFile: "\(checkout)/\(file)", encoding: .utf8)
            #expect(!text.contains("{{") && !text.contains("}}"), "\(file)")
        }
        let format = try await run(
            "swift format lint --strict --recursive Services/Billing Tests/BillingServiceTests", in: checkout)
        #expect(format.exit.succeeded, "\(format.output)")
        let manifest = try await run("swift package --disable-sandbox dump-package", in: checkout)
        #expect(manifest.exit.succeeded, "\(manifest.output.suffix(500))")
        for target in ["\"BillingService\"", "\"billing\"", "\"BillingServiceTests\""] { #expect(manifest.output.contains(target)) }
        let programs = try String(contentsOfFile: checkout + "/Shared/DevStack/Stack/StackProgram.swift", encoding: .utf8)
        #expect(programs.contains("StackProgram(.billing, port: 8089)"))
        let deployment = try String(contentsOfFile: checkout + "/k8s/base/billing/deployment.yaml", encoding: .utf8)
        #expect(deployment.contains("containerPort: 8089") && !deployment.contains("8088") && !deployment.contains("search"))
        #expect(try String(contentsOfFile: checkout + "/k8s/base/kustomization.yaml", encoding: .utf8).contains("- billing"))
        let routes = try String(contentsOfFile: checkout + "/Gateway/Domain/RoutingTable.swift", encoding: .utf8)
        #expect(routes.ranges(of: "\"/api/v1/billing\"").count == 1)
    }

    /// The whole of the copy would be built anew; holding the new module against the modules that are built takes a second.
    @Test("Its sources compile against the shared parts")
    func compiles() async throws {
        let checkout = try await copyOfRepository()
        _ = try ServiceTemplate(name: "Billing").write(into: checkout)
        // Contracts as it is built does not know the new name yet.
        try "package import Contracts\n\nextension ServiceName { package static let billing = ServiceName(rawValue: \"billing\") }\n"
            .write(toFile: checkout + "/Services/Billing/Name.swift", atomically: true, encoding: .utf8)
        let sources = "$(find Services/Billing -name '*.swift' -not -path '*/Main/*')"
        let (exit, output) = try await run("\(try typeCheck()) -module-name BillingService \(sources)", in: checkout)
        #expect(exit.succeeded, "\(output.suffix(3_000))")
    }

    /// The compiler with the flags that SwiftPM gives it for a target of this package.
    func typeCheck() throws -> String {
        let build = try #require(
            [BuildFolder.path, Repository.path(".build/debug")].first {
                FileManager.default.fileExists(atPath: $0 + "/Modules/ServiceKit.swiftmodule")
            },
            "the modules lie beside the tests or in .build/debug")
        let features = ["ExistentialAny", "InternalImportsByDefault", "MemberImportVisibility"].map { "-enable-upcoming-feature \($0)" }
        // SwiftPM names a root package by its folder, with `_` for what no identifier has.
        let package = String(URL(filePath: Repository.root).lastPathComponent.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "_" })
        let headers = ["/usr/include/postgresql", "/usr/include/libxml2"].map { "-Xcc -I\($0)" }
        let places = [Repository.path("Shared/System"), Repository.path(".build/checkouts") + "/*/Sources", build + "/"].joined(
            separator: " ")
        let maps =
            "$(find \(places) -name module.modulemap -not -path '*-tool.build/*' -not -path '*.build/include/*'"
            + " | sed 's/^/-Xcc -fmodule-map-file=/')"
        return (["swiftc -typecheck -swift-version 6 -package-name \(package) -I \(build)/Modules"] + features + headers + [maps])
            .joined(separator: " ")
    }

    @Test("A service that is there already is not written over")
    func twice() async throws {
        let checkout = try await copyOfRepository()
        let template = try ServiceTemplate(name: "Billing")
        _ = try template.write(into: checkout)
        let manifest = try String(contentsOfFile: checkout + "/Package.swift", encoding: .utf8)
        #expect(throws: StackFailure("Services/Billing/README.md is there already; nothing was written.")) {
            try template.write(into: checkout)
        }
        #expect(try String(contentsOfFile: checkout + "/Package.swift", encoding: .utf8) == manifest)
        let another = try ServiceTemplate(name: "Payroll").write(into: checkout)
        #expect(another.contains { $0.hasPrefix("Payroll answers on port 8090") })
    }

    @Test("A list of another form stops everything before anything is written")
    func unexpectedForm() async throws {
        let checkout = try await copyOfRepository()
        let routes = checkout + "/Gateway/Domain/RoutingTable.swift"
        let text = try String(contentsOfFile: routes, encoding: .utf8).replacing("(.search,", with: "(.find,")
        try text.write(toFile: routes, atomically: true, encoding: .utf8)
        let failure = #expect(throws: StackFailure.self) { try ServiceTemplate(name: "Billing").write(into: checkout) }
        #expect(failure?.description.hasPrefix("Gateway/Domain/RoutingTable.swift has not exactly one") == true)
        #expect(!FileManager.default.fileExists(atPath: checkout + "/Services/Billing"))
    }

    @Test("Only one capitalized word can be a name", arguments: ["billing", "BillingService", "B", "Bill ing", "Bill-ing", "../Etc", ""])
    func names(name: String) {
        #expect(throws: StackFailure.self) { try ServiceTemplate(name: name) }
    }
}
