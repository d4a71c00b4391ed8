import Foundation

/// The files of a new service, and the lines where services are listed.
///
/// It is written with one resource, notes, that passes through every room: routes, domain, store, an event handled, a
/// migration and tests. Whoever makes the service replaces it with what the service is for.
package struct ServiceTemplate: Sendable {
    /// `Billing`.
    package let name: String
    /// `billing`: the executable, image, schema, role, topic and metrics prefix.
    package var word: String { name.lowercased() }

    /// Throws a `StackFailure` when the name is not one capitalized word of 2 to 24 letters.
    package init(name: String) throws {
        guard name.wholeMatch(of: /[A-Z][a-z]{1,23}/) != nil else {
            throw StackFailure(
                "\"\(name)\" cannot be the name of a service: it is one word of 2 to 24 letters with a capital first, such as Billing.")
        }
        self.name = name
    }

    /// Writes everything, or nothing when something is in the way. Returns a line for each file written or changed.
    ///
    /// Throws a `StackFailure` when a file is there already, or a list has not the form that is expected.
    package func write(into checkout: String) throws -> [String] {
        let lists = try ServiceLists(checkout: checkout)
        let port = lists.nextPort
        var written = Self.texts.map { (path: fill($0.path, port), text: fill($0.text, port)) }
        written += try manifests(in: checkout, port: port)
        for file in written where FileManager.default.fileExists(atPath: "\(checkout)/\(file.path)") {
            throw StackFailure("\(file.path) is there already; nothing was written.")
        }
        let changed = try lists.adding(self, port: port)
        for file in written + changed {
            let target = URL(filePath: "\(checkout)/\(file.path)")
            try FileManager.default.createDirectory(at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(file.text.utf8).write(to: target)
        }
        return written.map { "wrote    \($0.path)" } + changed.map { "changed  \($0.path)" } + [
            "",
            "\(name) answers on port \(port), at /api/v1/\(word). Next: make test ONLY=\(name), make docs,",
            "and a line in Services/README.md that says what it is for.",
        ]
    }

    private func fill(_ text: String, _ port: Int) -> String {
        text.replacing("{{Name}}", with: name).replacing("{{word}}", with: word).replacing("{{WORD}}", with: word.uppercased())
            .replacing("{{port}}", with: "\(port)")
    }

    /// Kubernetes: those of search under the new name, where there are any, so that they follow every change of the others.
    private func manifests(in checkout: String, port: Int) throws -> [(path: String, text: String)] {
        let model = "k8s/base/search"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: "\(checkout)/\(model)").sorted() else { return [] }
        return try names.map { file in
            let text = try String(contentsOfFile: "\(checkout)/\(model)/\(file)", encoding: .utf8)
            func renamed(_ text: String) -> String {
                text.replacing("search", with: word).replacing("SEARCH", with: word.uppercased()).replacing("8088", with: "\(port)")
            }
            return ("k8s/base/\(word)/\(renamed(file))", renamed(text))
        }
    }
}

/// The places where services are listed. Each is changed beside the line of search, the last of the nine.
struct ServiceLists {
    private let checkout: String
    private var texts: [String: String] = [:]

    private static let manifest = "Package.swift"
    private static let names = "Shared/Contracts/Identity/Caller.swift"
    private static let programs = "Shared/DevStack/Stack/StackProgram.swift"
    private static let neighbours = "Shared/ServiceKit/Configuration/CommonSettings.swift"
    private static let documents = "Shared/ServiceKit/Docs/Main.swift"
    private static let routes = "Gateway/Domain/RoutingTable.swift"
    private static let identities = "Services/Auth/Routes/KeyRoutes.swift"
    private static let groups = "Shared/Messaging/Operating/KnownGroups.swift"
    private static let deployments = "k8s/base/kustomization.yaml"
    private static let addresses = "k8s/base/platform/configuration.yaml"

    /// Throws a `StackFailure` when the folder is not a checkout.
    init(checkout: String) throws {
        self.checkout = checkout
        for path in [
            Self.manifest, Self.names, Self.programs, Self.neighbours, Self.documents, Self.routes, Self.identities, Self.deployments,
            Self.addresses, Self.groups,
        ] {
            guard let text = try? String(contentsOfFile: "\(checkout)/\(path)", encoding: .utf8) else {
                throw StackFailure("There is no \(path) here: run this in the checkout.")
            }
            texts[path] = text
        }
    }

    /// The one after the last of the services'; the gateway has the first.
    var nextPort: Int {
        let ports = (texts[Self.programs] ?? "").matches(of: /port: (\d+)/).compactMap { Int($0.1) }
        return (ports.max() ?? 8_088) + 1
    }

    /// The files with the new service in them. Throws a `StackFailure` when one has not the form that is expected.
    func adding(_ service: ServiceTemplate, port: Int) throws -> [(path: String, text: String)] {
        var lists = self
        let (name, word) = (service.name, service.word)
        try lists.insert(
            "    service(\"\(name)\"),\n", after: "    service(\"Search\", testedWith: [\"FilesService\"], documents: [\"Bench\"]),\n",
            in: Self.manifest)
        try lists.insert("\n            \"\(name)Service\",", after: "\"SearchService\",", in: Self.manifest)
        try lists.insert("  - \(word)\n", after: "  - search\n", in: Self.deployments)
        try lists.insert(
            "  TRIONEX_\(word.uppercased())_URL: http://\(word):\(port)\n", after: "  TRIONEX_SEARCH_URL: http://search:8088\n",
            in: Self.addresses)
        let constant = "    package static let "
        try lists.insert(
            "\(constant)\(word) = ServiceName(rawValue: \"\(word)\")\n", after: "\(constant)search = ServiceName(rawValue: \"search\")\n",
            in: Self.names)
        let program = "        StackProgram("
        try lists.insert("\(program).\(word), port: \(port)),\n", after: "\(program).search, port: 8088),\n", in: Self.programs)
        try lists.insert(" (.\(word), \(port)),", after: "(.search, 8088),", in: Self.neighbours)
        let add = "        try add("
        try lists.insert("\(add)\(name).self, \"\(name)\")\n", after: "\(add)Search.self, \"Search\")\n", in: Self.documents)
        try lists.insertImport("\(name)Service", in: Self.documents)
        // A path that another service had is the new one's from now on.
        lists.texts[Self.routes] = lists.texts[Self.routes]?.replacing("\"/api/v1/\(word)\", ", with: "")
        let route = "        (."
        try lists.insert("\(route)\(word), [\"/api/v1/\(word)\"]),\n", after: "\(route)search, [\"/api/v1/search\"]),\n", in: Self.routes)
        try lists.insert(" .\(word),", after: ".files, .search,", in: Self.identities)
        let group = "        \"trionex."
        try lists.insert("\(group)\(word).organizations\",\n", after: "\(group)search.index\",\n", in: Self.groups)
        return lists.texts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private mutating func insert(_ line: String, after anchor: String, in path: String) throws {
        guard let text = texts[path], let place = text.ranges(of: anchor).first, text.ranges(of: anchor).count == 1 else {
            throw StackFailure(
                "\(path) has not exactly one \"\(anchor.trimmingCharacters(in: .whitespacesAndNewlines))\"; nothing was written.")
        }
        guard !text.contains(line) else { throw StackFailure("\(path) lists the service already; nothing was written.") }
        texts[path] = text.replacingCharacters(in: place.upperBound..<place.upperBound, with: line)
    }

    /// Imports stand in the order of the alphabet.
    private mutating func insertImport(_ module: String, in path: String) throws {
        var lines = (texts[path] ?? "").components(separatedBy: "\n")
        let imports = lines.indices.filter { lines[$0].hasPrefix("import ") }
        guard let last = imports.last else { throw StackFailure("\(path) imports nothing; nothing was written.") }
        let line = "import \(module)"
        lines.insert(line, at: imports.first { lines[$0].lowercased() > line.lowercased() } ?? last + 1)
        texts[path] = lines.joined(separator: "\n")
    }
}
