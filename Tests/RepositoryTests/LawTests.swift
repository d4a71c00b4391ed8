import Foundation
import TestKit
import Testing

/// The law of the house, executable (ARCHITECTURE.md, "Style").
@Suite("The law")
struct LawTests {
    @Test(
        "every service has its rooms: README, composition root, main, migrations, tests and a Kubernetes base", arguments: Checkout.services
    )
    func rooms(service: String) {
        let name = service.lowercased()
        for path in [
            "Services/\(service)/README.md", "Services/\(service)/\(service).swift", "Services/\(service)/Main/Main.swift",
            "Services/\(service)/openapi.json", "k8s/base/\(name)/kustomization.yaml",
        ] {
            #expect(FileManager.default.fileExists(atPath: Repository.path(path)), "\(path) is missing")
        }
        #expect(Checkout.files.contains { $0.path.hasPrefix("migrations/\(name)/0001_") }, "migrations/\(name) has no first migration")
        #expect(Checkout.swift.contains { $0.path.hasPrefix("Tests/\(service)ServiceTests/") && $0.text.contains("@Test") })
    }

    @Test("a service imports no other service")
    func walls() {
        for file in Checkout.sources where file.path.hasPrefix("Services/") || file.path.hasPrefix("Gateway/") {
            for service in Checkout.services + ["Gateway"] where file.text.contains("import \(service)Service") {
                let own = file.path.hasPrefix("Services/\(service)/Main/") || file.path == "Gateway/Main/Main.swift"
                #expect(own, "\(file.path) imports \(service)Service")
            }
        }
    }

    @Test("the domain knows Contracts and Foundation only; the gateway's, which is about bytes, what bytes and digests need besides")
    func domain() {
        let allowed: Set<String> = ["Contracts", "Foundation"], ofBytes: Set<String> = ["NIOCore", "Synchronization", "Glibc", "Crypto"]
        for file in Checkout.sources where file.path.contains("/Domain/") {
            let own = file.path.hasPrefix("Gateway/") ? allowed.union(ofBytes) : allowed
            for imported in imports(file) where !own.contains(imported) {
                Issue.record("\(file.path) imports \(imported)")
            }
        }
    }

    @Test("SQL stands in Store rooms, in the clients that own a table, and in migrations")
    func sql() {
        let owners = [
            "/Store/", "Shared/Postgres/", "Shared/Messaging/", "Shared/ServiceKit/HTTP/Idempotency.swift",
            "Shared/ServiceKit/Program/Operations.swift",
            "Shared/DevStack/Bench/",
        ]
        let statement = try? Regex(#"\b(SELECT\s+\S+.*\sFROM|INSERT INTO|DELETE FROM|UPDATE \w+\s+SET)\b"#)
        for file in Checkout.sources where !owners.contains(where: { file.path.contains($0) }) && !file.path.contains("DevStack/Template") {
            guard let statement else { return }
            #expect(file.text.firstMatch(of: statement) == nil, "\(file.path) has SQL in it")
        }
    }

    @Test("C libraries are imported by the clients that own them alone")
    func pointers() {
        let owners = [
            "CLibPQ": ["Shared/Postgres/"], "CHiredis": ["Shared/Redis/"], "CRdKafka": ["Shared/Kafka/"], "CArgon2": ["Services/Auth/"],
            "CCrypt": ["Services/Auth/"], "CFido2": ["Services/Auth/"], "CQREncode": ["Services/Auth/"],
            // Two readers of HTML: what is shown again is made safe, what is searched is made text.
            "CLibXML2": ["Services/Content/Sanitizer/", "Services/Files/Clients/Texts/"],
            "CCurl": ["Services/Notifications/"], "CNghttp2": ["Gateway/Wire/"], "CZlib": ["Gateway/Wire/"],
            "CZstd": ["Gateway/Wire/"], "CBrotli": ["Gateway/Wire/"],
        ]
        for file in Checkout.sources {
            for imported in imports(file) {
                guard let own = owners[imported] else { continue }
                #expect(own.contains(where: file.path.hasPrefix), "\(file.path) imports \(imported)")
            }
        }
    }

    @Test("no banned words: each has a replacement")
    func words() {
        let banned = [
            ("fatalError(", "throw, or preconditionFailure with a sentence"), ("try!", "a do/catch"), ("as!", "as? and a guard"),
            ("TODO", "an issue"), ("FIXME", "an issue"), ("public func", "package"), ("public struct", "package"),
        ]
        for file in Checkout.sources {
            for (word, instead) in banned where file.lines.contains(where: { $0.contains(word) && !isComment($0) }) {
                Issue.record("\(file.path) says \(word): use \(instead)")
            }
        }
    }

    @Test("what blocks a thread, or leaves structured concurrency, stands in a client or a tool, never in a service")
    func blocking() {
        // The access log writes from a thread of its own, so that no event loop waits for the disk.
        let rooms = ["Shared/", "Gateway/Telemetry/AccessLog.swift"]
        for file in Checkout.sources where !rooms.contains(where: file.path.hasPrefix) && !file.path.contains("/Clients/") {
            for word in ["Thread.sleep", "DispatchQueue", "DispatchSemaphore", "usleep("] {
                #expect(!file.lines.contains { $0.contains(word) && !isComment($0) }, "\(file.path) says \(word)")
            }
        }
    }

    @Test("what is not checked by the compiler says why")
    func unchecked() {
        for file in Checkout.sources {
            for (index, line) in file.lines.enumerated() where line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)")
            {
                if line.trimmingCharacters(in: .whitespaces).hasPrefix("//") { continue }
                let around = file.lines[max(0, index - 4)...index]
                #expect(around.contains { $0.contains("//") }, "\(file.path):\(index + 1) needs its reason beside it")
            }
        }
    }

    @Test("names say what a thing is")
    func names() {
        for file in Checkout.sources {
            let stem = file.name.replacingOccurrences(of: ".swift", with: "")
            for bad in ["Utils", "Manager", "Helper", "Impl", "Misc", "Common.swift"] {
                #expect(!stem.hasSuffix(bad), "\(file.path) is named after nothing")
            }
        }
    }

    @Test("files stay short enough to read")
    func sizes() {
        for file in Checkout.swift {
            #expect(
                file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines: 400 is where to stop and think, 500 where to split")
        }
    }

    @Test("links between documents resolve")
    func links() throws {
        let link = try Regex(#"\]\(([^)#\s]+)(#[^)]*)?\)"#)
        for file in Checkout.files where file.path.hasSuffix(".md") {
            for match in file.text.matches(of: link) {
                let target = String(match.output[1].substring ?? "")
                if target.contains("://") || target.hasPrefix("mailto:") { continue }
                let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
                let path = URL(filePath: Repository.path(folder)).appending(path: target).standardized.path(percentEncoded: false)
                #expect(FileManager.default.fileExists(atPath: path), "\(file.path) links to \(target), which is not there")
            }
        }
    }

    @Test("nothing that does not belong is kept: no build products, no secrets")
    func tracked() {
        for file in Checkout.files {
            #expect(file.name != "Package.resolved" || !file.path.contains("Sources"))
            if file.path.hasPrefix("Tests/") { continue }
            #expect(
                !file.text.contains("BEGIN PRIVATE KEY") && !file.text.contains("BEGIN RSA PRIVATE KEY"), "\(file.path) holds a private key"
            )
        }
    }

    @Test("work for no tenant is named, and every use is known")
    func platformWork() throws {
        let use = try Regex(#"PlatformWork\("([^"]+)"\)"#)
        var found: Set<String> = []
        for file in Checkout.sources {
            let room = file.path.split(separator: "/").prefix(2).joined(separator: "/")
            for match in file.text.matches(of: use) { found.insert("\(room): \(match.output[1].substring ?? "")") }
        }
        let golden = try String(contentsOfFile: Repository.path("Tests/RepositoryTests/platform-work.txt"), encoding: .utf8)
        let known = Set(golden.split(separator: "\n").map(String.init))
        #expect(found == known, "new: \(found.subtracting(known).sorted()), gone: \(known.subtracting(found).sorted())")
    }

    private func isComment(_ line: Substring) -> Bool { line.trimmingCharacters(in: .whitespaces).hasPrefix("//") }

    private func imports(_ file: Checkout.File) -> [String] {
        file.lines.compactMap { line in
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(of: "import"), index <= 1, words.count > index + 1, !line.hasPrefix("//") else { return nil }
            return String(words[index + 1])
        }
    }
}
